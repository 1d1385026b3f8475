# The parts of the page, each written from the study that read_study() returns.

# The mark of each verdict, and the class that gives it its colour.
VERDICT_LOOKS <- list(
  reproduced = c("\u2713", "good"), `not reproduced` = c("\u2717", "bad"), undecided = c("?", "unsure"),
  `not comparable` = c("\u25cb", "open"), `not run at size` = c("\u2013", "open")
)

verdict_badge <- function(verdict, text = verdict) {
  looks <- lapply(verdict, function(one) if (one %in% names(VERDICT_LOOKS)) VERDICT_LOOKS[[one]] else c("", "open"))
  part <- function(k) vapply(looks, `[`, character(1), k)
  paste0("<span class=\"verdict ", part(2), "\">", part(1), " ", escape(text), "</span>")
}

#' Counts of verdicts, a badge each.
verdict_badges <- function(counts) paste(verdict_badge(names(counts), paste(counts, names(counts))), collapse = " ")

#' Everything of one document: what it is, and each of its experiments.
write_document <- function(study, document) {
  about <- study$texts$documents[[document]]
  title <- if (is.null(about)) document else about$title
  cat("\n\n# ", plain_markdown(title), " {#document-", document, "}\n\n", sep = "")
  if (!is.null(about)) {
    source <- paste(c(about$author[nzchar(about$author)], document), collapse = " \u00b7 ")
    raw_html("<p class=\"source\">", escape(source), "</p>")
    cat(about$text, "\n\n")
  }
  write_also(study, document)
  write_index(study, document)
  for (id in experiments_of(study, document)) write_experiment(study, id)
}

#' Links to the experiments of other documents that answer this one, too: by its claims and its errata.
write_also <- function(study, document) {
  errata <- read_errata(study)
  named <- c(study$claims$id[study$claims$document %in% document], errata$see[errata$document %in% document])
  also <- setdiff(intersect(names(study$experiments), named), experiments_of(study, document))
  if (!length(also)) return(invisible())
  titles <- vapply(also, function(id) study$experiments[[id]]$title, character(1))
  links <- paste0("<a href=\"#", also, "\">", also, "</a> (", escape(titles), ")")
  raw_html("<p class=\"quiet\">Also about this document: ", paste(links, collapse = ", "), ".</p>")
}

write_experiment <- function(study, id) {
  experiment <- study$experiments[[id]]
  cat("\n\n## ", id, " \u00b7 ", plain_markdown(experiment$title), " {#", id, "}\n\n", sep = "")
  raw_html("<p class=\"source\">", escape(paste0(experiment$document, ", ", experiment$place)), own_caveats(study, id), "</p>")
  if (!is.null(study$texts$experiments[[id]])) cat(study$texts$experiments[[id]], "\n\n")
  claims <- study$claims[study$claims$id == id, ]
  write_errata_about(study, id)
  if (nrow(claims)) write_claims(claims, study$references)
  for (figure in figures_of(study, id)) write_figure(figure)
  write_orders(study, id)
  write_measured(study, id, claims)
}

#' A figure and its animation, or one line where the run is too small for it to say anything of the document.
write_figure <- function(figure) {
  if (figure$left_out) {
    raw_html(
      "<p class=\"quiet\" id=\"figure-", escape(figure$name), "\">Left out: the figure \u201c", escape(figure$title),
      "\u201d. This run is too small for it to say anything; it is drawn in <code>figures/", escape(basename(figure$file)),
      "</code>.</p>"
    )
    return(invisible())
  }
  raw_html(html_figure(figure$file, figure$title, figure$place, figure$caption, figure$name))
  if (!is.null(figure$animation)) raw_html(html_animation(figure$animation, figure$title))
}

own_caveats <- function(study, id) {
  rows <- caveats(study)
  rows <- rows[rows$experiment == id, ]
  if (!nrow(rows)) return("")
  words <- ifelse(rows$kind == "reduced", paste("reduced:", rows$words), rows$words)
  paste0(" <span class=\"caveat\">", escape(words), "</span>", collapse = "")
}

#' Of how many values a number is the mean, as HTML; nothing for one.
values_said <- function(n, repeats) ifelse(is.na(n) | n < 2, "", paste0("<small>", n, " ", escape(repeats), "</small>"))

#' Published and reproduced side by side, and what larger runs found that are kept with the project.
write_claims <- function(claims, references = list()) {
  reproduced <- with_interval(claims$reproduced, claims$ci_low, claims$ci_high, claims$unit)
  kept <- Filter(Negate(is.null), lapply(references, reference_cells, claims))
  cells <- list(
    paste0(escape(claims$quantity), "<small>", escape(claims$place), "</small>"),
    escape(format_published(claims$published, claims$unit, claims$relation)),
    paste0(ifelse(is.na(claims$reproduced), "\u2013", reproduced), values_said(claims$n, claims$repeats))
  )
  shared <- said_of_many(claims$reason)
  write_shared_reasons(claims[claims$reason %in% shared, ])
  by_kept <- ifelse(claims$judged %in% "kept run", paste0("by the kept run (", claims$kept_in, ")"), "")
  own <- ifelse(claims$reason %in% shared, "", claims$reason)
  reason <- escape(paste0(by_kept, ifelse(nzchar(by_kept) & nzchar(own), ": ", ""), own))
  last <- list(paste0(verdict_badge(claims$verdict), ifelse(nzchar(reason), paste0("<small>", reason, "</small>"), "")))
  beside <- vapply(references[names(kept)], reference_head, character(1))
  heads <- c("Quantity", "Published", "Reproduced", beside, "Verdict")
  numeric <- c(FALSE, TRUE, TRUE, rep(TRUE, length(kept)), FALSE)
  raw_html(html_table(c(cells, unname(kept), last), unname(heads), "claims", numeric))
}

#' The reasons that are those of three rows or more, which one line above the table says once.
said_of_many <- function(reasons, many = 3) names(which(table(reasons) >= many))

write_shared_reasons <- function(claims) {
  for (part in split(claims, factor(claims$reason, unique(claims$reason)))) {
    counts <- verdict_badges(verdict_counts(part)[unique(part$verdict)])
    raw_html("<p class=\"quiet\">", counts, ": ", escape(part$reason[1]), ".</p>")
  }
}

#' Every measured quantity, and the command that measures it, for those who ask.
write_measured <- function(study, id, claims) {
  own <- study$metrics[study$metrics$experiment == id, ]
  if (!nrow(own)) return(invisible())
  key <- factor(paste(own$variant, own$quantity), unique(paste(own$variant, own$quantity)))
  parts <- split(own, key)
  first <- do.call(rbind, lapply(parts, function(part) part[1, ]))
  mean <- vapply(parts, function(part) mean(part$value), numeric(1))
  spread <- vapply(parts, function(part) {
    ends <- unique(format_value(range(part$value), part$unit[c(1, 1)], FALSE))
    if (length(ends) < 2) "" else paste(ends, collapse = " to ")
  }, character(1))
  cells <- list(
    escape(variant_names(first$variant, first)), escape(gsub("_", " ", first$quantity)), escape(format_value(mean, first$unit)),
    escape(spread)
  )
  heads <- c("Variant", "Quantity", "Mean", "Range over seeds")
  # Columns that would say nothing are left out.
  keep <- c(length(unique(own$variant)) > 1, TRUE, TRUE, any(nzchar(spread)))
  commands <- unique(claims$command[!is.na(claims$command)])
  raw_html(html_details(
    "All measured quantities and how to measure them again",
    html_table(cells[keep], heads[keep], "", c(FALSE, FALSE, TRUE, TRUE)[keep]),
    "<p class=\"quiet\">Data: ", escape(paste(said(own, "data_source"), collapse = "; ")), ".</p>",
    if (length(commands)) html_code(commands), of = id
  ))
}
