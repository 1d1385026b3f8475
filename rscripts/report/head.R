# The head of the page: which run this is, and what in it is simulated or reduced.

#' Profile, day and commit, in plain words.
run_words <- function(study) {
  about <- study$provenance
  paste0("Profile ", about$profile, " \u00b7 ", substr(about$created, 1, 10), " \u00b7 commit ", substr(about$commit, 1, 10))
}

#' The same, below the title and for whoever reads the page's description, as the printed report does.
run_html <- function(study) paste0("<p class=\"source\">", escape(run_words(study)), "</p>")
description_html <- function(study) paste0("<meta name=\"description\" content=\"", escape(run_words(study)), "\">")

#' A box of what must be known before any number is read; nothing where all was run as the documents ran it.
caveats_html <- function(study) {
  rows <- caveats(study)
  if (is.null(rows) || !nrow(rows)) return("")
  simulated <- rows[rows$kind == "simulated", ]
  incomplete <- rows[rows$kind == "incomplete", ]
  reduced <- rows[rows$kind == "reduced", ]
  paste0(
    "<div class=\"caveats\" role=\"note\"><p><strong>Before you read the numbers.</strong> Not everything was run as the ",
    "documents ran it.</p><ul>", caveat_lines(simulated, "Simulated data", " They say nothing of the real ones."),
    caveat_lines(incomplete, "Incomplete data"),
    if (nrow(reduced)) paste0(
      "<li><strong>Reduced</strong>: ", link_to(unique(reduced$experiment), ", "),
      ". <details><summary>By how much</summary><ul>", caveat_lines(reduced), "</ul></details></li>"
    ),
    "</ul></div>"
  )
}

#' One item of a list for each of the words, with links to the experiments that they are about.
caveat_lines <- function(rows, lead = NULL, after = "") {
  if (!nrow(rows)) return(NULL)
  parts <- split(rows, factor(rows$words, unique(rows$words)))
  paste0(vapply(parts, function(part) {
    lead <- if (!is.null(lead)) paste0("<strong>", lead, "</strong> in ")
    paste0("<li>", lead, link_to(unique(part$experiment), ", "), ": ", escape(part$words[1]), ".", after, "</li>")
  }, character(1)), collapse = "\n")
}
