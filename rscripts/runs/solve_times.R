# Times of nodekitr beside deSolve's lsoda, each computation in turn, round after round; for `make benchmarks`.
#
#   Rscript rscripts/runs/solve_times.R --output <file.csv> --seconds <of each comparison>
#
# The file has a row a round and series: work, series, round, seconds, evaluations (of the R function; of a session's
# start, empty) and error (the largest of the solution, against lsoda at tolerances of 1e-11; empty where none is meant).
# The package is installed from its folder into a library that is gone afterwards. Python is that on the path, unless
# RETICULATE_PYTHON names another.

lotka_volterra <- function(t, y, parms) {
  eaten <- 0.2 * y[1] * y[2]
  list(c(y[1] - eaten, 0.5 * eaten - 0.4 * y[2]))
}
decay <- function(t, y, parms) list(-0.3 * y)
start <- c(prey = 4, predator = 2)
doses <- data.frame(var = "amount", time = 1:1000, value = 1, method = "add")

#' What is compared: for each work the computations, as functions; those that solve return the solution.
comparisons <- function() {
  small <- function(method) function() nk_ode(start, 0:10, lotka_volterra, method = method)
  dosed <- function(solver, ...) function() solver(c(amount = 1), 0:1000, decay, NULL, events = list(data = doses), ...)
  in_r <- evaluations(small("auto")())
  from_python <- evaluations(small("bosh3")())
  alone <- function(count) function() for (i in seq_len(count)) lotka_volterra(0, start, NULL)
  list(
    "R function, two states" = list(
      nodekitr = small("auto"), lsoda = function() deSolve::ode(start, 0:10, lotka_volterra, NULL),
      "function alone" = alone(in_r)
    ),
    "R function called from Python, two states" = list(nodekitr = small("bosh3"), "function alone" = alone(from_python)),
    "R function, 1000 doses" = list(nodekitr = dosed(nk_ode), lsoda = dosed(deSolve::ode))
  )
}

evaluations <- function(out) if (is.matrix(out)) attr(out, "istate")[3] else NA

#' One computation in turn with the others, each once untimed, then for so many seconds, five rounds at least and 200 at
#' most: thousands of the quickest would say no more, and are kept in a file that people read.
in_turn <- function(work, computations, seconds) {
  results <- lapply(computations, function(run) run())
  exact <- if (grepl("doses", work)) exact_doses() else exact_predation()
  errors <- vapply(results, function(out) if (is.matrix(out)) max(abs(unclass(out)[, -1] - exact)) else NA_real_, 1)
  counts <- vapply(results, function(out) as.numeric(evaluations(out)), 1)
  rounds <- list()
  began <- now()
  while (length(rounds) < 5 || (length(rounds) < 200 && now() - began < seconds)) {
    taken <- vapply(computations, seconds_of, 1)
    rounds[[length(rounds) + 1]] <- data.frame(work, series = names(computations), round = length(rounds), seconds = taken,
      evaluations = counts, error = errors, row.names = NULL)
  }
  do.call(rbind, rounds)
}

exact_predation <- function() unclass(deSolve::ode(start, 0:10, lotka_volterra, NULL, rtol = 1e-11, atol = 1e-11))[, -1]
# Before each dose what is left of those before: y(n) = q (y(n - 1) + 1), but for the first time, which has none.
exact_doses <- function() Reduce(function(y, n) exp(-0.3) * (y + (n > 1)), 1:1000, 1, accumulate = TRUE)

now <- function() as.numeric(Sys.time())

seconds_of <- function(run) {
  began <- now()
  run()
  now() - began
}

#' Seconds that a new session takes from library() on, for each first call.
sessions <- function(library, rounds = 5) {
  first <- c(
    nodekitr = "nk_ode(c(y = 1), 0:10, function(t, y, parms) list(-y))",
    "nodekitr, steps from Python" = "nk_ode(c(y = 1), 0:10, function(t, y, parms) list(-y), method = 'bosh3')"
  )
  program <- "t <- Sys.time(); library(nodekitr); %s; cat(as.numeric(difftime(Sys.time(), t, units = 'secs')))"
  once <- function(call) {
    command <- c("--vanilla", "-e", shQuote(sprintf(program, paste0("invisible(", call, ")"))))
    said <- system2(file.path(R.home("bin"), "Rscript"), command, stdout = TRUE, env = paste0("R_LIBS=", shQuote(library)))
    as.numeric(utils::tail(said, 1))
  }
  vapply(first, once, 1) # what the machine has not yet read, it reads now
  taken <- lapply(seq_len(rounds) - 1, function(round) {
    data.frame(work = "library() to the first result", series = names(first), round, seconds = vapply(first, once, 1),
      evaluations = NA, error = NA, row.names = NULL)
  })
  do.call(rbind, taken)
}

if (sys.nframe() == 0) {
  folder <- dirname(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))))
  for (file in c("arguments.R", "files.R")) source(file.path(folder, file))
  options <- command_options(list(output = NULL, seconds = 10))
  library <- tempfile("library")
  dir.create(library)
  command <- c("CMD", "INSTALL", "--no-docs", "--no-test-load", paste0("--library=", shQuote(library)))
  status <- system2(file.path(R.home("bin"), "R"), c(command, shQuote(file.path(folder, "nodekitr"))))
  if (status) stop("nodekitr could not be installed from ", folder)
  if (!nzchar(Sys.getenv("RETICULATE_PYTHON"))) Sys.setenv(RETICULATE_PYTHON = Sys.which("python"))
  library(nodekitr, lib.loc = library)
  compared <- comparisons()
  rows <- Map(in_turn, names(compared), compared, options$seconds)
  write_csv(do.call(rbind, c(rows, list(sessions(paste(c(library, .libPaths()), collapse = .Platform$path.sep))))),
    options$output)
}
