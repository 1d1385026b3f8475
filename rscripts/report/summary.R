# The study in ten lines, in words: everything in them is counted or read from the claims of this run.

#' The lines of the summary, as HTML, ten at the most; what has nothing to say is left out.
summary_lines <- function(study) {
  lines <- c(
    trimws(paste(line_overall(study), line_figures_only(study))),
    unlist(lapply(documents_of(study), function(document) line_document(study, document))),
    line_not_reproduced(study), line_simulated(study), line_reduced(study), line_references(study)
  )
  lines[nzchar(lines)]
}

write_brief <- function(study) {
  raw_html("<ol class=\"brief\"><li>", paste(summary_lines(study), collapse = "</li>\n<li>"), "</li></ol>")
}

line_overall <- function(study) {
  claims <- study$claims
  if (!nrow(claims)) return("")
  paste0(
    "<strong>", nrow(claims), " published numbers and testable statements</strong> of ", length(unique(claims$id)),
    " experiments: ", verdicts_in_words(claims), " with this run."
  )
}

#' How an experiment came out: "reproduced", "in part", "not reproduced" or "not comparable"; "" without claims.
outcome_of <- function(claims) {
  counts <- verdict_counts(claims)
  if (!nrow(claims)) return("")
  if (counts[["reproduced"]] == nrow(claims)) return("reproduced")
  if (counts[["reproduced"]] > 0) return("in part")
  if (counts[["not reproduced"]] > 0) "not reproduced" else "not comparable"
}

line_document <- function(study, document) {
  ids <- experiments_of(study, document)
  outcomes <- vapply(ids, function(id) outcome_of(study$claims[study$claims$id == id, ]), character(1))
  outcomes <- outcomes[nzchar(outcomes)]
  if (!length(outcomes)) return("")
  parts <- vapply(intersect(c("reproduced", "in part", "not reproduced", "not comparable"), outcomes), function(outcome) {
    named <- vapply(names(outcomes)[outcomes == outcome], function(id) {
      own <- study$claims[study$claims$id == id, ]
      share <- if (outcome == "in part") paste0(", ", sum(own$verdict == "reproduced"), " of ", nrow(own))
      paste0(escape(study$experiments[[id]]$title), " (", link_to(id), share, ")")
    }, character(1))
    paste0("<em>", outcome, "</em>: ", paste(named, collapse = "; "))
  }, character(1))
  link <- paste0("<a href=\"#document-", escape(document), "\"><strong>", escape(document), "</strong></a>")
  paste0(link, ": ", paste(parts, collapse = ". "), ".")
}

line_not_reproduced <- function(study, most = 4) {
  claims <- study$claims[study$claims$verdict == "not reproduced", ]
  if (!nrow(claims)) return("<strong>Nothing that can be compared failed to reproduce.</strong>")
  shown <- utils::head(claims, most)
  words <- paste0(
    escape(shown$quantity), ", ", escape(format_published(shown$published, shown$unit, shown$relation)),
    " published and ", escape(format_value(shown$reproduced, shown$unit)), " here (", link_to(shown$id), ")"
  )
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
    "<strong>Simulated data</strong> stand in for the real ones in ", link_to(ids, ", "),
    "; numbers from them neither support nor contradict the documents\u2019."
  )
}

line_reduced <- function(study) {
  rows <- caveats(study)
  ids <- unique(rows$experiment[rows$kind == "reduced"])
  if (!length(ids)) return("<strong>Nothing was reduced</strong>: every run has the document\u2019s own size.")
  paste0(
    "<strong>Smaller than the documents</strong> were the runs of ", link_to(ids, ", "),
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

#' The counts of verdicts, and a line for each experiment.
write_summary <- function(study) {
  counts <- verdict_counts(study$claims)
  reduced <- count_although_reduced(study$claims)
  below <- c(if (reduced) paste(reduced, "although reduced") else "", "", "")
  tiles <- paste0(
    "<div class=\"tile ", CLASSES[names(counts)], "\"><b>", counts, "</b> ", MARKS[names(counts)], " ",
    escape(names(counts)), ifelse(nzchar(below), paste0("<small>", below, "</small>"), ""), "</div>", collapse = "\n"
  )
  ids <- names(study$experiments)
  titles <- vapply(study$experiments, `[[`, character(1), "title")
  outcome <- vapply(ids, function(id) {
    own <- verdict_counts(study$claims[study$claims$id == id, ])
    own <- own[own > 0]
    if (!length(own)) return("<span class=\"quiet\">figure only</span>")
    verdict_badges(own)
  }, character(1))
  links <- paste0("<a href=\"#", escape(ids), "\">", escape(ids), "</a>")
  documents <- vapply(study$experiments, `[[`, character(1), "document")
  cells <- list(links, escape(titles), escape(documents), outcome)
  raw_html(
    "<div class=\"tiles\">", tiles, "</div>",
    html_table(cells, c("", "Experiment", "Document", "Published numbers"), "summary")
  )
}
