# The parameters of a known model, from data.

#' Estimate the parameters of a model from data
#'
#' Fits an ordinary differential equation, written for [nk_ode()] or deSolve, to one or more observed trajectories by
#' maximum likelihood, with exact gradients ([nk_gradient()]) and [stats::nlminb()]. Observations are the solution plus
#' normal noise, whose standard deviation is estimated for each observed column. What comes back knows its standard
#' errors.
#'
#' @inheritParams nk_fit
#' @param data a data frame, one row an observation; `NA` is a value not observed.
#' @param func the model, as in [nk_ode()].
#' @param parms parameters to start from: numbers with names, or a list of such numbers (all else in it stays).
#' @param y the initial state at the first time of each trajectory: numbers with names; a function of `parms`, which
#'   estimates initial states among them; or `NULL`: the first observation of each trajectory, taken as exact. Where it
#'   starts before it was first observed - a dose at time 0 -, begin with a row of that time with `NA`. Several
#'   columns are then to be named by `observed`, in the order of the slopes that `func` returns.
#' @param observed names of the columns with observations: states, or further values of `func`. By default all columns
#'   that are one.
#' @param log names of the parameters that are searched on the scale of their logarithm, as they are positive.
#' @param lower,upper bounds of the parameters, by name.
#' @param method,rtol,atol,... as in [nk_gradient()]; further ones are for it and for `func`, by name. Tables of `forcings`
#'   and `events` (`list(data = )`) with a column of ids act each on its own trajectory.
#' @param control of [stats::nlminb()].
#' @return An object of class `nk_estimate` for `print`, `summary`, `coef`, `vcov`, `confint`, `logLik` (and so `AIC`,
#'   `BIC`), `nobs`, `df.residual`, `sigma`, `fitted`, `residuals`, `predict`, `simulate`, and `tidy` and `glance` of the
#'   package generics.
#' @section Standard errors: from the second derivatives of the log likelihood, differences of its exact gradients;
#'   intervals are symmetric on the scale that was searched, so that those of `log` parameters are positive.
#'
#'   As for [stats::lm()] and [stats::nls()], `sigma()` divides squares by `df.residual()`, the number of observed values
#'   less that of parameters within their bounds, where maximum likelihood divides by the number of values; standard
#'   errors are by `sigma()`, and intervals by the t distribution. Several observed columns share the parameters as each
#'   determines them, by its second derivatives, and the degrees of freedom of an error are those of the columns that it
#'   comes from (Satterthwaite, 1946). `logLik()` is the greatest likelihood, with the noise of maximum likelihood, and
#'   so is that of `nls()`; each standard deviation of noise counts as a parameter in it.
#'
#'   With one observed column intervals hold what they say; with several, of few values each, less, as their weights are
#'   estimated, too. In simulations 95 % Wald intervals held the two parameters of a decay (8 values) in 94 and 96 % of 400
#'   repetitions, those of an outbreak (13 values) in 94 and 96 % of 500, and the three of Lotka and Volterra's equations
#'   (2 columns of 9 values) in 90 to 93 % of 120; the profile of the first parameter of each in 93, 94 and 97 %; the
#'   bootstrap of the decay in 96 and 95 % of 400. `tests/r/coverage.R` of nodekit's source measures it. Starts that are
#'   taken as exact, `y = NULL`, but were observed with noise make errors too small: with three trajectories
#'   of four values, 95 % intervals held 92 %.
#'   Estimate them then: `y = function(parms) ...`.
#' @seealso [nk_objective()] for a loss of your own; [nk_fit()] where the equation is not known.
#' @examples
#' set.seed(1)
#' times <- 0:10
#' seen <- data.frame(time = times, size = 3 / (1 + 29 * exp(-0.9 * times)) + rnorm(11, sd = 0.03))
#' logistic <- function(t, y, parms) with(as.list(c(y, parms)), list(r * size * (1 - size / K)))
#' if (nk_available()) {
#'   fit <- nk_estimate(seen, logistic, c(r = 0.5, K = 2, size0 = 0.05), log = c("r", "K", "size0"),
#'     y = function(parms) c(size = parms[["size0"]]))
#'   print(fit)
#'   confint(fit)
#' }
#' @export
nk_estimate <- function(data, func, parms, y = NULL, id = intersect("id", names(data)), time = "time",
                        observed = NULL, log = NULL, lower = -Inf, upper = Inf, method = "auto", rtol = 1e-8,
                        atol = 1e-8, ..., control = list()) {
  given <- list(...)
  of_solver <- names(given) %in% names(formals(nk_gradient))
  further <- do.call(arguments_of, c(list(func, names(formals(nk_gradient))), given[!of_solver]), quote = TRUE)
  scale <- as_scale(parms, log, lower, upper)
  if (is.null(y) && is.null(observed)) {
    if (missing(id)) ask_for_id(data, time, "observed")
    ask_for_order(setdiff(names(data), c(id, time)), "observed", "func")
  }
  observed <- observed %||% setdiff(names(data), c(id, time))
  rows <- as_trajectories(data, id, time, observed, starts_complete = is.null(y))
  solver <- c(list(method = method, rtol = rtol, atol = atol), given[of_solver])
  pieces <- lapply(split(in_order(rows, time), in_order(rows, time)$.series), function(rows) {
    c(as_piece(rows, time, observed, y, scale$form), list(solver = solver_for(solver, id, rows, data)))
  })
  start <- c(scale$start, log_sd = initial_spread(pieces, func, parms, further))
  likelihood <- likelihood_of(pieces, func, scale, observed, further)
  found <- minimised(likelihood, start, scale, control)
  noise <- exp(found$par[-seq_along(scale$start)])
  exact <- noise < 1e-6 * vapply(rows[observed], function(x) max(abs(x), na.rm = TRUE), 1)
  if (any(exact)) {
    warn("The solution goes through the data of ", observed[exact][1], ": what is left are errors of the solver, and no ",
      "noise that errors of the parameters could be computed from.")
  } else if (found$convergence != 0) {
    warn("The search did not converge: ", found$message, ".")
  }
  structure(
    list(
      call = sys.call(), par = found$par, scale = scale, curvatures = curvatures_of(likelihood$gr, found$par, scale),
      value = found$objective, convergence = found[c("convergence", "message", "iterations", "evaluations")],
      data = rows, id = id, time = time, observed = observed, pieces = pieces, func = func,
      further = further
    ),
    class = "nk_estimate"
  )
}

# The searched numbers, on their scales, and the way back to the form of `parms`.
as_scale <- function(parms, log, lower, upper) {
  start <- unlist(parms_of_numbers(parms))
  names <- names(start)
  if (is.null(names) || any(names == "") || anyDuplicated(names)) {
    abort("value_error", "The parameters have no names of their own.", remedy = "Name each: parms = c(rate = 0.5, ...).")
  }
  as_numbers(start, "parms")
  on_log <- names %in% log
  check_names(log, names, "log")
  if (any(start[on_log] <= 0)) {
    abort("value_error", "'", names[on_log & start <= 0][1], "' is not positive, but in 'log'.",
      remedy = "Start it above 0."
    )
  }
  bounds <- function(given, default, name) {
    if (is.null(names(given))) {
      if (length(given) != 1) abort("value_error", "'", name, "' has no names.", remedy = "Name the parameters it is for.")
      given <- stats::setNames(rep(given, length(start)), names)
    }
    check_names(names(given), names, name)
    all <- stats::setNames(rep(default, length(start)), names)
    all[names(given)] <- given
    all[on_log] <- log(pmax(all[on_log], 0))
    all
  }
  natural <- function(theta) {
    theta[on_log] <- exp(theta[on_log])
    theta
  }
  form <- function(theta) {
    values <- natural(theta)
    if (!is.list(parms)) return(values[seq_along(start)])
    used <- 0
    walk <- function(x) {
      if (is.list(x)) {
        for (i in seq_along(x)) if (!is.null(x[[i]])) x[[i]] <- walk(x[[i]])
        return(x)
      }
      if (!count_numbers(x)) return(x)
      part <- values[used + seq_along(x)]
      used <<- used + length(x)
      names(part) <- names(x)
      if (!is.null(dim(x))) dim(part) <- dim(x)
      part
    }
    walk(parms)
  }
  start[on_log] <- log(start[on_log])
  list(start = start, on_log = on_log, natural = natural, form = form, lower = bounds(lower, -Inf, "lower"),
    upper = bounds(upper, Inf, "upper"))
}

check_names <- function(given, known, argument) {
  unknown <- setdiff(given, known)
  if (length(unknown)) {
    abort("value_error", "'", argument, "' names '", unknown[1], "', which is no parameter.",
      remedy = paste0("Parameters: ", paste(known, collapse = ", "), ".")
    )
  }
}

# One trajectory: its times, what was observed, and where it starts.
as_piece <- function(rows, time, observed, y, form) {
  values <- as.matrix(rows[observed])
  first <- if (is.null(y)) stats::setNames(as.double(values[1, ]), observed)
  if (is.null(y)) values[1, ] <- NA
  list(
    times = as.double(rows[[time]]), values = values, series = rows$.series[1],
    start = first %||% if (is.function(y)) function(p) y(form(p$.theta)) else y, start_of = if (is.function(y)) y
  )
}

# The arguments of the solver for one trajectory: of tables of events and forcings with a column of ids, its own rows.
solver_for <- function(solver, id, rows, data) {
  own <- function(table, argument) {
    if (!is.data.frame(table) || !length(id) || !id %in% names(table)) return(table)
    strange <- is.na(match_ids(table[[id]], data[[id]]))
    if (any(strange)) {
      abort("value_error", "'", argument, "' has the ", id, " '", table[[id]][strange][1], "', which is no trajectory.",
        remedy = "Give ids of the data."
      )
    }
    table[match_ids(table[[id]], rows[[id]][1]) %in% 1, setdiff(names(table), id)]
  }
  solver$forcings <- own(solver$forcings, "forcings")
  if (!is.null(solver$events$data)) {
    solver$events$data <- own(solver$events$data, "events$data")
    if (!nrow(solver$events$data)) solver$events <- NULL
  }
  solver
}

# A solution has rows at the times of events, too.
rows_at <- function(times, out) match(times, out[, "time"])
with_events_quietly <- function(expression) {
  withCallingHandlers(expression, nodekit_event_times = function(w) invokeRestart("muffleWarning"))
}

solved_piece <- function(piece, func, parms, further, times = piece$times) {
  start <- if (is.null(piece$start_of)) piece$start else piece$start_of(parms)
  solver <- piece$solver[names(piece$solver) %in% names(formals(nk_ode))]
  out <- with_events_quietly(do.call(nk_ode, c(list(start, times, func, parms), solver, further), quote = TRUE))
  unclass_ode(out)[rows_at(times, out), , drop = FALSE]
}

# Logarithms of the standard deviations with the parameters at the start.
initial_spread <- function(pieces, func, parms, further) {
  errors <- lapply(pieces, function(piece) {
    out <- solved_piece(piece, func, parms, further)
    absent <- setdiff(colnames(piece$values), colnames(out))
    if (length(absent)) {
      abort("value_error", "'", absent[1], "' is no state and no further value of func.", remedy = paste0(
        "Name the columns that were observed: observed = . The solution has ",
        paste(colnames(out)[-1], collapse = ", "), "."
      ))
    }
    piece$values - out[, colnames(piece$values), drop = FALSE]
  })
  log(pmax(apply(do.call(rbind, errors), 2, function(e) sqrt(mean(e^2, na.rm = TRUE))), 1e-8))
}

# The negative log likelihood and its gradient, by the searched numbers; the last solve is kept.
likelihood_of <- function(pieces, func, scale, observed, further) {
  # `p` holds the searched numbers, by names that no forcing has, and behind them the values of forcings at the time t.
  given <- function(p) with_inputs(scale$form(p$.theta), p[-(1:2)])
  model <- function(t, y, p, ...) func(t, y, given(p), ...)
  solver_of <- function(solver) {
    change <- solver$events$func
    if (!is.null(change)) solver$events$func <- function(t, y, p, ...) change(t, y, given(p), ...)
    solver
  }
  count <- length(scale$start)
  kept <- list(par = NULL)
  succeeded <- FALSE
  evaluate <- function(par) {
    if (identical(kept$par, par)) return(kept)
    p <- list(.theta = stats::setNames(par[seq_len(count)], names(scale$start)), .log_sd = unname(par[-seq_len(count)]))
    parts <- tryCatch(lapply(pieces, function(piece) {
      loss <- function(out, p) {
        total <- 0
        rows <- rows_at(piece$times, out)
        for (k in seq_along(observed)) {
          seen <- which(!is.na(piece$values[, k]))
          if (!length(seen)) next
          found <- out[rows[seen], observed[k]]
          total <- total - sum(stats::dnorm(piece$values[seen, k], found, exp(p$.log_sd[k]), log = TRUE))
        }
        total
      }
      with_events_quietly(do.call(nk_gradient, c(list(piece$start, piece$times, model, p, loss), solver_of(piece$solver),
        further), quote = TRUE))
    }), nodekit_solve_failed = function(e) if (succeeded) NULL else stop(e))
    value <- sum(vapply(parts, function(part) part$value, 1))
    failed <- is.null(parts) || !is.finite(value)
    succeeded <<- succeeded || !failed
    kept <<- list(
      par = par, value = if (failed) Inf else value,
      gradient = if (failed) rep(NaN, length(par)) else Reduce(`+`, lapply(parts, function(part) unlist(part$parms)))
    )
    kept
  }
  list(fn = function(par) evaluate(par)$value, gr = function(par) unname(evaluate(par)$gradient))
}

# The search from `start`, the parameters and behind them the logarithms of standard deviations. Parameters that are not
# searched as logarithms may be of very different sizes, with which the search would creep.
minimised <- function(likelihood, start, scale, control = list()) {
  rest <- length(start) - length(scale$start)
  stats::nlminb(start, likelihood$fn, likelihood$gr, scale = 1 / search_sizes(start, scale), control = control,
    lower = c(scale$lower, rep(-25, rest)), upper = c(scale$upper, rep(Inf, rest)))
}

# How large a change of each searched number is: of a logarithm one, of others by where they started.
search_sizes <- function(par, scale) {
  c(ifelse(scale$on_log | scale$start == 0, 1, abs(scale$start)), rep(1, length(par) - length(scale$start)))
}

# Second derivatives by the parameters of what each observed column gives to the negative logarithm of the likelihood, as
# central differences of the gradient. At its optimum the noise has none with the parameters.
curvatures_of <- function(gradient, par, scale) {
  searched <- seq_along(scale$start)
  steps <- 1e-4 * pmax(abs(par), 1e-2 * search_sizes(par, scale))
  lapply(seq_along(par)[-searched], function(column) {
    others <- setdiff(seq_along(par), c(searched, column))
    alone <- replace(par, others, par[others] + 30) # so noisy that they say nothing
    columns <- vapply(searched, function(i) {
      moved <- function(by) gradient(replace(alone, i, par[i] + by))[searched]
      (moved(steps[i]) - moved(-steps[i])) / (2 * steps[i])
    }, scale$start)
    found <- matrix(columns, length(searched), dimnames = list(names(scale$start), names(scale$start)))
    (found + t(found)) / 2
  })
}
