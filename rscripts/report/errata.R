# What the documents say that their own numbers, their listings or a computation contradict.

ERRATUM_KINDS <- c(
  mistake = "mistake", appears = "appears to be a mistake", convention = "two conventions, both right",
  measured = "another measurement differs", holds = "doubted, and right"
)

ERRATUM_COLUMNS <- c("id", "document", "place", "kind", "words", "so", "shown", "numbers", "confirmed", "see")

#' What the checks of the errata found; none where none were evaluated.
read_errata <- function(study) {
  file <- table_path(study, "tables/errata.csv")
  if (!file.exists(file)) return(NULL)
  errata <- read_table(file)
  require_table(errata, ERRATUM_COLUMNS, file)
  errata$confirmed <- as.logical(errata$confirmed)
  errata
}

#' How many errata are about an experiment, and a link to each.
write_errata_about <- function(study, id) {
  errata <- read_errata(study)
  errata <- errata[errata$see %in% id, ]
  if (!NROW(errata)) return(invisible())
  links <- paste0("<a href=\"#erratum-", escape(errata$id), "\">", escape(gsub("_", " ", errata$id)), "</a>")
  counted <- if (nrow(errata) == 1) "1 erratum" else paste(nrow(errata), "errata")
  raw_html("<p class=\"quiet\">", counted, " about this: ", paste(links, collapse = ", "), ".</p>")
}

#' The section of errata; nothing where none were evaluated.
write_errata <- function(study) {
  errata <- read_errata(study)
  if (is.null(errata)) return(invisible())
  cat("\n\n# Errata {#errata}\n\n")
  shown <- errata$confirmed %in% TRUE
  cat(
    "Places where a document's words and its own numbers, its listing or a computation disagree, and some where they ",
    "only seem to. What is so is not only said here: a check computes it. Of ", nrow(errata), " entries ", sum(shown),
    " are confirmed by theirs. A link leads to the experiment that an entry is about.\n\n",
    sep = ""
  )
  for (document in unique(errata$document)) {
    about <- study$texts$documents[[document]]
    cat("\n\n## ", plain_markdown(if (is.null(about)) document else about$title), " {#errata-", document, "}\n\n", sep = "")
    raw_html(errata_table(study, errata[errata$document == document, ]))
  }
}

errata_table <- function(study, errata) {
  run <- errata$see %in% names(study$experiments)
  link <- ifelse(run, paste0("<small>see <a href=\"#", escape(errata$see), "\">", escape(errata$see), "</a></small>"), "")
  cells <- list(
    paste0("<q id=\"erratum-", escape(errata$id), "\">", escape(errata$words), "</q><small>", escape(errata$place), "</small>"),
    paste0(escape_with_code(errata$so), "<small>", escape(ERRATUM_KINDS[errata$kind]), "</small>", link),
    paste0(escape(errata$shown), "<small>", lines_of(errata$numbers), "</small>"),
    erratum_badge(errata$confirmed)
  )
  html_table(cells, c("The document's words", "What is so", "Shown by", "Check"), "errata")
}

#' What is separated by semicolons, a line each, as HTML.
lines_of <- function(text) {
  parts <- strsplit(ifelse(is.na(text), "", text), "; ", fixed = TRUE)
  vapply(parts, function(part) paste(escape(part), collapse = "<br>"), character(1))
}

#' Whether the check confirmed what is said to be so, in words and a colour.
erratum_badge <- function(confirmed) {
  state <- ifelse(is.na(confirmed), "not comparable", ifelse(confirmed, "reproduced", "not reproduced"))
  words <- c(`not comparable` = "not run", reproduced = "confirmed", `not reproduced` = "not confirmed")
  verdict_badge(state, words[state])
}
