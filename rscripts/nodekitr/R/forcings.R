# Forcings by table, for a model that R calls.

# `func` with the values of forcings at the time t among its parameters, and the times at which these jump or have a
# kink, as options for the solver. `taken` are the names of parameters and states.
with_forcings <- function(func, forcings, fcontrol, times, method, taken) {
  if (is.null(forcings)) return(list(func = func, options = list()))
  if (!is.function(func) || inherits(func, "python.builtin.object")) {
    abort("type_error", "'forcings' are for a model that is an R function.", remedy = "Leave them out.")
  }
  if (is.matrix(forcings)) forcings <- as.data.frame(forcings)
  covariates <- as_covariates(NULL, NULL, forcings, fcontrol, NULL, "time")
  doubled <- intersect(covariates$names, taken)
  if (length(doubled)) {
    abort("value_error", "'", doubled[1], "' is the name of a forcing, and of a parameter or a state.", remedy = "Rename one.")
  }
  if (any(lengths(covariates$levels))) {
    name <- names(Filter(length, covariates$levels))[1]
    abort("type_error", "'forcings$", name, "' is not numeric.", remedy = "Give numbers.")
  }
  control <- covariates$fcontrol
  data <- covariates$forcings$data
  tables <- lapply(stats::setNames(nm = covariates$names), function(name) {
    given <- !is.na(data[[name]])
    if (sum(given) < 2) {
      abort("value_error", "'forcings$", name, "' has less than two values.", remedy = "Give a table of times and values.")
    }
    table <- stats::approxfun(data$time[given], data[[name]][given], method = control$method, rule = control$rule,
      f = control$f, ties = control$ties)
    missing <- times[is.na(table(times))]
    if (length(missing)) {
      abort("value_error", "'", name, "' is not given at time = ", format(missing[1]), ".",
        remedy = "Extend its table, or hold its first and last values: fcontrol = list(rule = 2)."
      )
    }
    table
  })
  breaks <- sort(unique(data$time))
  breaks <- breaks[breaks >= min(times) & breaks < max(times)]
  option <- if (control$method == "constant") "jump_t" else "step_t"
  list(
    func = function(t, y, parms, ...) func(t, y, with_inputs(parms, lapply(tables, function(table) table(t))), ...),
    options = if (length(breaks) && is_adaptive(method)) stats::setNames(list(as.list(breaks)), option) else list()
  )
}
