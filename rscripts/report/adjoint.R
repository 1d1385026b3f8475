# The derivation of the adjoint, a page of the documentation, within the report: who has only the report has it, too.

#' The section of the derivation, from docs/adjoint.md.
write_adjoint <- function(study) {
  lines <- readLines(file.path(study$root, "docs", "adjoint.md"), encoding = "UTF-8", warn = FALSE)
  if (!startsWith(lines[1], "# ")) stop("docs/adjoint.md: its first line is no title", call. = FALSE)
  cat("\n\n", lines[1], " {#adjoint}\n", sep = "")
  cat(numbered_formulas(without_neighbours(lines[-1])), sep = "\n")
}

#' Formulas with their numbers at the end, as pandoc's MathML knows no tags.
numbered_formulas <- function(lines) gsub("\\\\tag\\{([0-9]+)\\}", "\\\\qquad (\\1)", lines)

#' Markdown whose links to files beside the page are only their words: sent alone, the page has no files beside it.
without_neighbours <- function(lines) gsub("\\[([^]]+)\\]\\(\\.\\./[^)]+\\)", "`\\1`", lines)
