# Where the documents say different things of one question.

#' The section of disagreements; nothing where none were written.
write_disagreements <- function(study) {
  file <- table_path(study, "tables/disagreements.csv")
  if (!file.exists(file)) return(invisible())
  positions <- read_table(file)
  require_table(positions, c("id", "question", "document", "place", "words", "so", "errata", "see"), file)
  questions <- split(positions, factor(positions$id, unique(positions$id)))
  cat("\n\n# Where the documents disagree with each other {#disagreements}\n\n")
  cat(length(questions), "questions to which they give different answers, and what is so.\n\n")
  for (id in names(questions)) write_disagreement(study, questions[[id]])
}

write_disagreement <- function(study, positions) {
  cat("\n\n## ", plain_markdown(positions$question[1]), " {#disagreement-", positions$id[1], "}\n\n", sep = "")
  cells <- list(
    paste0("<strong>", escape(positions$document), "</strong><small>", escape(positions$place), "</small>"),
    paste0("<q>", escape(positions$words), "</q>")
  )
  raw_html(html_table(cells, c("Document", "Its words"), "positions"))
  errata <- named_in(positions$errata)
  run <- intersect(named_in(positions$see), names(study$experiments))
  shown <- c(
    if (length(run)) link_to(run),
    paste0("<a href=\"#erratum-", escape(errata), "\">erratum \u201c", escape(gsub("_", " ", errata)), "\u201d</a>")
  )
  raw_html(
    "<p>", escape_with_code(positions$so[1]), "</p>\n<p class=\"quiet\">Shown by ", paste(shown, collapse = ", "), ".</p>"
  )
}

#' The names in a cell that parts them by spaces; none in an empty one.
named_in <- function(cells) {
  if (is.na(cells[1])) character() else strsplit(cells[1], " ", fixed = TRUE)[[1]]
}
