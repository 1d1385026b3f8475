# What was found, in words, and the counts: everything here is counted or read from the claims of this run.

# Verdicts on what was found; of the others there is nothing to tell yet.
FOUND <- c("reproduced", "not reproduced", "undecided")
# How many of a document's findings and errata a first screen holds.
MOST_FOUND <- 10

#' The first screen: what was found in each document, each finding with its number, its verdict and a link.
write_findings <- function(study) {
  for (document in documents_of(study)) {
    found <- c(found_claims(study, document), found_errata(study, document), found_nothing(study, document))
    if (!length(found)) next
    about <- study$texts$documents[[document]]
    raw_html(
      "<h3><a href=\"#document-", escape(document), "\">", escape(if (is.null(about)) document else about$title),
      "</a></h3><ul class=\"findings\"><li>", paste(found, collapse = "</li>\n<li>"), "</li></ul>"
    )
  }
}

#' A document's claims that have a headline.
headlines_of <- function(study, document) study$claims[study$claims$document == document & !is.na(study$claims$headline), ]

#' Those that this run or a kept one answers, as HTML lines; where they are too many, what is undecided gives way.
found_claims <- function(study, document) {
  claims <- headlines_of(study, document)
  claims <- claims[claims$verdict %in% FOUND, ]
  most <- MOST_FOUND - length(study$texts$documents[[document]]$errata)
  claims <- claims[rank(claims$verdict == "undecided", ties.method = "first") <= most, ]
  if (!nrow(claims)) return(NULL)
  paste0(found_words(claims), ". ", verdict_badge(claims$verdict), " ", link_to(claims$id))
}

#' What was found for each of `claims`, as HTML: by its headline where it has one, beside the number that a document gives.
found_words <- function(claims) {
  value <- ifelse(claims$judged %in% "kept run", claims$kept, claims$reproduced)
  said <- ifelse(
    claims$kind %in% c("printed", "cited"),
    paste0(" (published: ", escape(format_published(claims$published, claims$unit, claims$relation)), ")"), ""
  )
  words <- ifelse(is.na(claims$headline), claims$quantity, claims$headline)
  paste0(escape(words), ": <strong>", escape(format_value(value, claims$unit)), "</strong>", said)
}

#' The confirmed errata of a document that the texts put on the first screen, and how many there are in all.
found_errata <- function(study, document) {
  errata <- read_errata(study)
  errata <- errata[errata$document == document & errata$confirmed %in% TRUE, ]
  if (!NROW(errata)) return(NULL)
  chosen <- errata[match(study$texts$documents[[document]]$errata, errata$id, nomatch = 0), ]
  own <- paste0(
    "<q>", escape(chosen$words), "</q> (", escape(chosen$place), "): ", escape_with_code(chosen$so), " ",
    erratum_badge(chosen$confirmed), " <a href=\"#erratum-", escape(chosen$id), "\">erratum</a>"
  )
  counted <- if (nrow(errata) == 1) "erratum" else "errata"
  link <- paste0("<a href=\"#errata-", escape(document), "\">", counted, " of this document</a>")
  c(own[seq_len(nrow(chosen))], paste0("A computation confirms <strong>", nrow(errata), "</strong> ", link, "."))
}

#' One line on the experiments whose headlines no run answers, and why.
found_nothing <- function(study, document) {
  claims <- headlines_of(study, document)
  claims <- claims[!claims$verdict %in% FOUND, ]
  parts <- vapply(unique(claims$verdict), function(verdict) {
    paste0(verdict_badge(verdict), " ", link_to(unique(claims$id[claims$verdict == verdict]), ", "))
  }, character(1))
  if (length(parts)) paste0("No answer yet: ", paste(parts, collapse = "; "), ".")
}

#' What there is to say of the whole run, as HTML; what has nothing to say is left out.
summary_lines <- function(study) {
  lines <- c(
    line_not_reproduced(study), line_figures_only(study), line_simulated(study), line_reduced(study),
    line_references(study)
  )
  lines[nzchar(lines)]
}

line_not_reproduced <- function(study, most = 6) {
  claims <- study$claims[study$claims$verdict == "not reproduced", ]
  if (!nrow(claims)) return("<strong>Nothing that can be decided failed to reproduce.</strong>")
  shown <- utils::head(claims, most)
  words <- paste(found_words(shown), link_to(shown$id))
  more <- nrow(claims) - nrow(shown)
  paste0(
    "<strong>Not reproduced</strong>: ", paste(words, collapse = "; "),
    if (more) paste0("; and ", more, " more"), "."
  )
}

line_simulated <- function(study) {
  rows <- caveats(study)
  ids <- unique(rows$experiment[rows$kind == "simulated"])
  if (!length(ids)) return("")
  paste0(
    "<strong>Simulated data</strong> replace the real ones in ", link_to(ids, ", "),
    "; their numbers are no evidence for or against the documents."
  )
}

line_reduced <- function(study) {
  rows <- caveats(study)
  ids <- unique(rows$experiment[rows$kind == "reduced"])
  if (!length(ids)) return("<strong>Nothing was reduced</strong>: every run has the document\u2019s own size.")
  paste0(
    "<strong>Smaller than in the documents</strong> are the runs of ", link_to(ids, ", "),
    "; each table and caption says by how much."
  )
}

line_figures_only <- function(study) {
  ids <- setdiff(names(study$experiments), study$claims$id)
  if (!length(ids)) return("")
  paste0("<strong>Shown without a published number</strong> to compare with: ", link_to(ids, ", "), ".")
}

line_references <- function(study) {
  if (!length(study$references)) return("")
  each <- vapply(study$references, function(run) {
    paste0("of ", nrow(run$claims), " numbers (", escape(reference_head(run)), ") ", verdicts_in_words(run$claims))
  }, character(1))
  paste0("<strong><a href=\"#reference\">Larger runs</a></strong> are kept beside this one: ", paste(each, collapse = "; "), ".")
}

#' Links to experiments of the page; joined to one text where `collapse` is given.
link_to <- function(ids, collapse = NULL) paste0("<a href=\"#", escape(ids), "\">", escape(ids), "</a>", collapse = collapse)

#' A tile for each kind of claim, with its verdicts counted, and a line for each experiment.
write_summary <- function(study) {
  kinds <- study$rule$kinds
  tiles <- vapply(names(kinds), function(kind) {
    own <- study$claims[study$claims$kind == kind, ]
    counts <- verdict_counts(own)
    paste0(
      "<div class=\"tile plain\"><b>", nrow(own), "</b> ", escape(kinds[[kind]]), "<br>",
      verdict_badges(counts[counts > 0]), "</div>"
    )
  }, character(1))
  raw_html("<div class=\"tiles\">", paste(tiles, collapse = "\n"), "</div>")
  raw_html("<ol class=\"brief\"><li>", paste(summary_lines(study), collapse = "</li>\n<li>"), "</li></ol>")
}

#' The verdicts and the rule that gives them, in the words of the file that the rule itself reads.
write_rule <- function(study) {
  verdicts <- study$rule$verdicts
  meanings <- paste0("<div><dt>", verdict_badge(names(verdicts)), "</dt><dd>", escape(unlist(verdicts)), "</dd></div>")
  raw_html("<dl>", meanings, "</dl>")
  raw_html(html_details(
    "The rule", "<ol><li>", paste(escape(unlist(study$rule$rule)), collapse = "</li>\n<li>"), "</li></ol>",
    "<p>What a number may depend on: ",
    escape(paste(names(study$rule$depends), unlist(study$rule$depends), sep = ", ", collapse = "; ")),
    ". The column <code>depends</code> of <code>claims.csv</code> says it of each.</p>"
  ))
}

#' A line for each experiment: its verdicts counted.
write_experiments <- function(study) {
  ids <- unlist(lapply(documents_of(study), experiments_of, study = study))
  outcome <- vapply(ids, function(id) {
    own <- verdict_counts(study$claims[study$claims$id == id, ])
    own <- own[own > 0]
    if (!length(own)) "<span class=\"quiet\">figure only</span>" else verdict_badges(own)
  }, character(1))
  field <- function(name) escape(vapply(study$experiments[ids], `[[`, character(1), name))
  cells <- list(link_to(ids), field("title"), field("document"), outcome)
  raw_html(html_table(cells, c("", "Experiment", "Document", "Numbers and statements"), "summary"))
}
