# The section on how library and study were put to the test, written where data/reference/trust.csv exists.
#
# data/reference/trust.csv, kept with the project by the tests that count (tests/trust.py, `--record-trust`), one row a check:
#   check     what is held to what, in words, e.g. "gradients against finite differences"
#   tried     how many cases were tried
#   lost      how many of them failed
#   figure    the figure that was measured, in words with its unit, e.g. "largest relative error 3e-9"; may be empty
#   command   the command that tries them again; may be empty
#   commit, date   of the code that was tried
# Drawings: figures/trust_*.png or .svg; their words are the entries of pipeline/report/figures.yaml of the same names.

TRUST_COLUMNS <- c("check", "tried", "lost", "figure", "command", "commit", "date")

write_trust <- function(study) {
  file <- file.path(study$root, "data", "reference", "trust.csv")
  if (!file.exists(file)) return(invisible())
  rows <- read_table(file)
  require_table(rows, TRUST_COLUMNS, file)
  cat(
    "\n\n# Trust {#trust}\n\n",
    "What was tried to break the library and the study, how often, and how often it succeeded: ",
    "counts kept by the tests, on the commit named.\n\n",
    sep = ""
  )
  sound <- ifelse(rows$lost == 0, "reproduced", "not reproduced")
  cells <- list(
    paste0(escape(rows$check), "<small>", escape(rows$figure), "</small>"),
    escape(format_value(rows$tried)), escape(format_value(rows$lost)),
    verdict_badge(sound, ifelse(rows$lost == 0, "none lost", paste(format_value(rows$lost), "lost"))),
    paste0("<code>", escape(rows$commit), "</code><small>", escape(rows$date), "</small>")
  )
  raw_html(html_table(cells, c("Check", "Tried", "Lost", "Outcome", "Commit"), "claims", c(FALSE, TRUE, TRUE, FALSE, FALSE)))
  commands <- unique(rows$command[!is.na(rows$command)])
  if (length(commands)) raw_html(html_details("How to try again", html_code(commands)))
  for (figure in loose_figures(study, "trust_*")) raw_html(do.call(html_figure, figure))
}
