# The section on nodekit's own measurements: those of `make benchmarks` here, in results/benchmarked, or else those that
# are kept with the project in data/reference/benchmarks.
#
# goals.csv, one row a goal:
#   id        names the row, e.g. "mnist_step"
#   work      what is computed, in words
#   goal      what was aimed at, in words, e.g. "at least 2 times torchdiffeq"
#   unit      of value, ci_low, ci_high; may be empty
#   value     what was measured;  ci_low, ci_high: its 95% interval, may be empty
#   met       TRUE or FALSE: whether the goal was reached; empty where it could not be measured
#   reason    why not, or what to know; may be empty
#   device    on what it was measured
#   others    what other programs took of the processors meanwhile, between 0 and 1; may be empty

BENCHMARK_COLUMNS <- c("id", "work", "goal", "unit", "value", "ci_low", "ci_high", "met", "reason", "device", "others")
BENCHMARK_FIGURES <- list(
  benchmarks_times = c(
    "Times beside the peers'",
    "Each computation in turn, round after round, in one run. Points are medians, lines the middle half of the rounds."
  ),
  benchmarks_growth = c(
    "How costs grow",
    paste(
      paste(
        "A solve of an MLP with its gradient, on logarithmic axes: seconds, or megabytes, against what grows;",
        "the number beside a line is its slope, the exponent of the growth. Steps of the midpoint rule, on a fixed",
        "grid; diffrax is compiled, the others are not."
      ),
      "Memory is the peak of the storage of all tensors; samples have steps of their own."
    )
  )
)

write_benchmarks <- function(study) {
  files <- c(
    here = file.path(study$results, "benchmarked", "goals.csv"),
    kept = file.path(study$root, "data", "reference", "benchmarks", "goals.csv")
  )
  file <- files[file.exists(files)][1]
  if (is.na(file)) return(invisible())
  rows <- read_table(file)
  require_table(rows, BENCHMARK_COLUMNS, file)
  cat(
    "\n\n# Benchmarks {#benchmarks}\n\nHow fast the library is, measured beside its peers in one run, each in turn;",
    "`make benchmarks` measures it on this machine. Errors are relative to a float64 solve at a tolerance of",
    "$10^{-10}$ ($10^{-8}$ for the ODE-Net). Below a number stand the ends of its 95% interval.\n\n"
  )
  met <- as.logical(rows$met)
  cells <- list(
    paste0(escape_with_code(rows$work), "<small>", escape(rows$goal), "</small>"),
    with_interval(rows$value, rows$ci_low, rows$ci_high, rows$unit),
    paste0(goal_badge(met), "<small>", escape_with_code(rows$reason), "</small>")
  )
  where <- if (names(file) == "here") "in this folder" else "and kept with the project"
  share <- format_value(100 * rows$others[1], "%")
  others <- if (is.na(rows$others[1])) "" else paste0("; other programs took ", share, " of its processors meanwhile")
  raw_html("<p class=\"source\">Measured on ", escape(rows$device[1]), ", ", where, others, "</p>")
  raw_html(html_table(cells, c("Work and goal", "Measured", "Goal"), "claims", c(FALSE, TRUE, FALSE)))
  for (name in names(BENCHMARK_FIGURES)) {
    words <- BENCHMARK_FIGURES[[name]]
    drawn <- drawn_file(study, name)
    if (!is.null(drawn) && file.exists(drawn)) raw_html(html_figure(drawn, words[1], NULL, words[2]))
  }
}

goal_badge <- function(met) {
  verdict <- ifelse(is.na(met), "not comparable", ifelse(met, "reproduced", "not reproduced"))
  verdict_badge(verdict, ifelse(is.na(met), "not measured", ifelse(met, "reached", "not reached")))
}

#' A value with the ends of its interval below it, as HTML.
with_interval <- function(value, low, high, unit) {
  ends <- paste0(escape(format_value(low, unit, FALSE)), "\u00a0to ", escape(format_value(high, unit, FALSE)))
  paste0(escape(format_value(value, unit)), ifelse(is.na(low), "", paste0("<small>", ends, "</small>")))
}
