# What each document writes for the same things: five documents, five alphabets.

#' The section of notation.
write_notation <- function(study) {
  notation <- yaml::read_yaml(file.path(study$root, "rscripts", "report", "notation.yaml"))
  columns <- names(notation$columns)
  of_row <- function(key) vapply(notation$rows, function(row) row[[key]], character(1))
  cells <- lapply(columns, function(column) escape_with_indices(of_row(column)))
  document <- of_row("document")
  link <- paste0("<a href=\"#document-", escape(document), "\">", escape(document), "</a>")
  first <- paste0(
    ifelse(document %in% documents_of(study), link, escape(document)), "<small>", escape(of_row("place")), "</small>"
  )
  cat("\n\n# What the documents call things {#notation}\n\n")
  cat(
    "Each document writes the same equation with its own letters, and the adjoint with either sign. As a row, the adjoint",
    "stands before the Jacobian as it is; as a column, it is transposed first.\n\n"
  )
  raw_html(html_table(c(list(first), cells), c("Document", unlist(notation$columns, use.names = FALSE)), "notation"))
}

#' The same as escape(), where t_0 stands for an index.
escape_with_indices <- function(text) gsub("_([0-9A-Za-z])", "<sub>\\1</sub>", escape(text))
