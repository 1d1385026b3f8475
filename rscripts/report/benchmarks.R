# The section on nodekit's own measurements, written where results/tables/benchmarks.csv exists.
#
# tables/benchmarks.csv, one row a goal and device:
#   id        names the row, e.g. "mnist_step"
#   work      what is computed, in words
#   goal      what was aimed at, in words, e.g. "at least 2 times torchdiffeq"
#   unit      of value, ci_low, ci_high and peer; may be empty
#   value     what was measured;  ci_low, ci_high: its 95% interval, may be empty
#   peer      what the peer needed for the same work, may be empty
#   met       TRUE or FALSE: whether the goal was reached; empty where it could not be measured
#   reason    why not, or what to know; may be empty
#   device    on what it was measured
# Figures: figures/benchmarks_*.png or .svg; their words are the entries of pipeline/figures.yaml of the same names.

BENCHMARK_COLUMNS <- c("id", "work", "goal", "unit", "value", "ci_low", "ci_high", "peer", "met", "reason", "device")

write_benchmarks <- function(study) {
  file <- file.path(study$results, "tables", "benchmarks.csv")
  if (!file.exists(file)) return(invisible())
  rows <- read_table(file)
  require_table(rows, BENCHMARK_COLUMNS, file)
  cat("\n\n# Benchmarks {#benchmarks}\n\nHow fast the library is, measured beside its peers on the same work and device.\n\n")
  met <- as.logical(rows$met)
  cells <- list(
    paste0(escape(rows$work), "<small>", escape(rows$goal), "</small>"),
    with_interval(rows$value, rows$ci_low, rows$ci_high, rows$unit),
    escape(format_value(rows$peer, rows$unit)),
    paste0(goal_badge(met), "<small>", escape(rows$reason), "</small>"),
    escape(rows$device)
  )
  kept <- c(TRUE, TRUE, any(!is.na(rows$peer)), TRUE, length(unique(rows$device)) > 1)
  heads <- c("Work and goal", "nodekit", "Peer", "Goal", "Device")
  if (!kept[5]) raw_html("<p class=\"source\">Measured on ", escape(rows$device[1]), "</p>")
  raw_html(html_table(cells[kept], heads[kept], "claims", c(FALSE, TRUE, TRUE, FALSE, FALSE)[kept]))
  for (figure in loose_figures(study, "benchmarks_*")) raw_html(do.call(html_figure, figure))
}

goal_badge <- function(met) {
  verdict <- ifelse(is.na(met), "not comparable", ifelse(met, "reproduced", "not reproduced"))
  verdict_badge(verdict, ifelse(is.na(met), "not measured", ifelse(met, "reached", "not reached")))
}

#' A value with the ends of its interval below it, as HTML.
with_interval <- function(value, low, high, unit) {
  ends <- paste0(escape(format_value(low, unit, FALSE)), " to ", escape(format_value(high, unit, FALSE)))
  paste0(escape(format_value(value, unit)), ifelse(is.na(low), "", paste0("<small>", ends, "</small>")))
}
