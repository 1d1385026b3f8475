# Gradients through a solution of an R function.

#' Gradients through a solution
#'
#' The derivative of a number computed from a solution with respect to the initial state and the parameters, exact
#' to the rounding of the solve. For fitting with [stats::optim()] (see [nk_objective()]), for sensitivities, for
#' optimal control.
#'
#' # Models as they are
#' `func` is written as for [nk_ode()] and deSolve. It is called with plain numbers while the equation is solved, and
#' once more, for its derivatives, with numbers that remember how they were computed. These are understood by:
#' - `+ - * / ^ %% %/%`, comparisons (so that `if (I < 0)` and `ifelse()` work), `!`, `&`, `|`;
#' - `abs sign sqrt exp expm1 log log2 log10 log1p floor ceiling round trunc`, the trigonometric and hyperbolic
#'   functions and their inverses, `gamma lgamma digamma beta lbeta atan2 cumsum cumprod
#'   cummax cummin`;
#' - `sum prod mean var sd weighted.mean max min range pmax pmin`, with `na.rm`;
#' - `c unlist [ [[ $`, and assignment to them, also to places of a plain vector (`dy <- numeric(2); dy[1] <- ...`),
#'   `names rev rep head tail diff t`;
#' - `matrix array diag cbind rbind %*% crossprod outer solve rowSums colSums apply`;
#' - `lapply sapply vapply mapply Map Reduce with`, and loops over places;
#' - `dnorm dlnorm dexp dpois dbinom dnbinom dgamma dbeta dt dweibull dlogis`, with `log = TRUE`, and `pnorm pexp
#'   plogis qlogis`;
#' - functions made by `approxfun()` and `splinefun()`, of the time or of a state; `approx()` and `spline()` of a
#'   solution; your own functions that `func` calls.
#'
#' `t` is a plain number, so that what depends on it alone may be computed by anything. What is not understood is a
#' condition of class `nodekit_not_differentiable` that says what to write instead. Where a function has a corner
#' (`max(0, x)`) the gradient is that of the branch taken; by what decides between branches there is none. Where the
#' slopes jump when a state passes a threshold, that is not all of the gradient, as the time of the jump depends on
#' states and parameters, too: a warning of class `nodekit_slope_jumps` says so.
#'
#' @inheritParams nk_ode
#' @param y initial state, as in [nk_ode()], or a function of `parms` that returns it.
#' @param parms parameters: numbers, or a list that may hold numbers, arrays of them, and anything else.
#' @param loss function of the solution, or of the solution and `parms`, that returns one number. The solution is
#'   [nk_ode()]'s, a matrix with the columns `time`, states and further values of `func`; `out$prey` and
#'   `out[, "prey"]` are a column of it.
#' @param gradient how the solve is differentiated: `"checkpoint"`, `"backprop"`, `"adjoint"`, or another of the
#'   library's; `"none"`: the value alone.
#' @param events changes of the state at given times: `list(data = )` or `list(func = , time = )` as in [nk_ode()].
#' @param maxsteps steps allowed between two elements of `times`, on average. Fewer than in [nk_ode()], as an optimiser
#'   tries absurd parameters.
#' @param ... further arguments for `func`.
#' @return A list: `value`, the loss; `y` and `parms`, the gradients, in the shape of what you gave (of a list, its
#'   numeric entries); `steps`, how many steps were tried. Of `"none"`: `value`, `steps`, and the `evaluations` of `func`.
#' @seealso [nk_objective()]
#' @examples
#' decay <- function(t, y, parms) with(as.list(c(y, parms)), list(-rate * amount))
#' if (nk_available()) {
#'   # d/d(rate) of 10 exp(-2 rate) at rate = 0.5 is -20 exp(-1)
#'   g <- nk_gradient(c(amount = 10), c(0, 2), decay, c(rate = 0.5),
#'     loss = function(out) out$amount[2], rtol = 1e-9, atol = 1e-9)
#'   c(g$parms, expected = -20 * exp(-1))
#' }
#' @export
nk_gradient <- function(y, times, func, parms = NULL, loss, method = "auto", rtol = 1e-6, atol = 1e-6, ...,
                        gradient = "checkpoint", events = NULL, hini = NULL, hmin = 0, hmax = NULL, maxsteps = 500,
                        tcrit = NULL, ynames = TRUE, options = list(), forcings = NULL, fcontrol = list()) {
  further <- arguments_of(func, names(formals(nk_gradient)), ...)
  forced <- with_forcings(func, forcings, fcontrol, as_times(times), as_method(method),
    c(names(parms), if (!is.function(y)) names(y)))
  if (length(forced$options)) options <- utils::modifyList(forced$options, as.list(options))
  gradient_of(y, times, forced$func, parms, loss, method, rtol, atol, further, gradient, events,
    step_plan(hini, hmin, hmax, maxsteps, tcrit), ynames, options
  )
}

step_plan <- function(hini, hmin, hmax, maxsteps, tcrit) {
  function(method, options, times) step_options(method, options, hini, hmin, hmax, maxsteps, tcrit, times)
}

# The value, the gradients, and how many steps were tried.
gradient_of <- function(y, times, func, parms, loss, method, rtol, atol, further, gradient, events, steps, ynames,
                        options) {
  start <- y
  state <- as_state(if (is.function(start)) start(parms) else start)
  times <- as_times(times)
  if (!is.function(func) || inherits(func, "python.builtin.object")) {
    abort("type_error", "'func' is of class '", class(func)[1], "'.", remedy = "nk_gradient() takes an R function.")
  }
  check_function(loss, "loss")
  method <- as_method(method)
  if (!is.character(gradient) || length(gradient) != 1) {
    abort("type_error", "'gradient' must be one character string.", remedy = "For example \"checkpoint\".")
  }
  shape <- shape_of(state, ynames)
  derivative <- do.call(as_derivative, c(list(func, state, times[1], parms, FALSE, ynames), further), quote = TRUE)
  plan <- do.call(as_events, c(list(without_roots(events), NULL, state, times, parms, ynames), further), quote = TRUE)
  stepping <- list(
    method = method, rtol = as_tolerance(rtol, "rtol", state$n), atol = as_tolerance(atol, "atol", state$n),
    options = steps(method, options, times), watch = TRUE
  )
  if (gradient == "none") return(value_alone(derivative, state, plan, stepping, parms, loss))
  pieces <- pieces_between(plan, stepping)
  with_copies(func, {
    recorder <- recorder_of("func", func, shape, parms, further)
    changes <- change_recorder(plan, events, shape, parms, further)
    more <- function() !is.null(derivative$further())
    result <- from_python(bridge()$gradient, derivative$slope, recorder$pull,
      loss_recorder(loss, state, plan$rows, parms, shape, more, recorder$evaluate),
      if (!is.null(changes)) function(t, y) called_back(array(as.double(plan$change(t, y)))), changes$pull,
      array(state$values), array(as.double(unlist(numeric_entries(parms)))), array(plan$rows), pieces,
      method = method, rtol = stepping$rtol, atol = stepping$atol, gradient = gradient,
      explain = explain_failure(state, plan$rows, method, parms)
    )
    by_parms <- as.double(result$parms)
    if (is.function(start)) by_parms <- by_parms + start_gradient(start, parms, result$y)
  })
  list(
    value = result$value, y = shaped(as.double(result$y), shape_of(state)),
    parms = if (is.null(parms)) list() else with_numbers(as_doubles(parms), by_parms, drop_others = TRUE),
    steps = result$steps
  )
}

# The value, and what it took: no gradient is asked for, so that R may take the steps.
value_alone <- function(derivative, state, plan, stepping, parms, loss) {
  limit <- session$evaluations
  stepping$brief <- !is.null(limit)
  if (stepping$brief) derivative$slope <- at_most(limit, derivative$slope)
  solution <- solve_with_events(derivative, state, plan, stepping, parms)
  failure <- solution$failure
  if (!is.null(failure)) abort(failure$classes, failure$message, remedy = failure$remedy, fields = failure$fields)
  out <- as_deSolve(solution, state, derivative$further(), stepping$method)
  out <- structure(unclass_ode(out), class = "nk_columns")
  value <- if (takes_parms(loss)) loss(out, parms) else loss(out)
  check_loss(value)
  taken <- solution$statistics
  list(value = as.double(value), steps = taken$steps + taken$rejected, evaluations = taken$nfe)
}

# A derivative for Python that ends a solve of more evaluations than so many.
at_most <- function(limit, slope) {
  force(slope)
  count <- 0
  function(t, y) {
    count <<- count + 1
    if (count > limit) called_back(abort("solve_failed", "There is no solution within ", limit, " evaluations."))
    slope(t, y)
  }
}

# The gradient by parms of an initial state that is a function of them.
start_gradient <- function(start, parms, weights) {
  recorded({
    entries <- as_numbers_within(parms)
    y <- differentiably("y", differentiable(start)(entries$form), start(parms))
    as.double(unlist(pull_back(list(y), list(as.double(weights)), entries$leaves)))
  })
}

as_doubles <- function(x) {
  if (!is.list(x)) storage.mode(x) <- "double"
  if (is.data.frame(x)) as.list(x) else x
}

numeric_entries <- function(parms) {
  if (is.list(parms)) lapply(unname(parms), numeric_entries) else if (count_numbers(parms)) as.vector(parms)
}

without_roots <- function(events) {
  if (!isTRUE(events$root)) return(events)
  abort("value_error", "Events at roots have no gradient here.", remedy = "Give the times of events.")
}

# The pieces of a solve from event to event: which rows, and with which options.
pieces_between <- function(plan, stepping) {
  n <- length(plan$rows)
  inner <- setdiff(which(plan$rows %in% plan$times), c(1, n))
  from <- c(1L, inner)
  to <- c(inner, n)
  if (n == 1) return(list())
  Map(function(from, to) {
    list(from = as.integer(from - 1), to = as.integer(to), options = options_between(plan$rows[from:to], stepping),
      change = plan$rows[from] %in% plan$times)
  }, from, to)
}

# func on numbers that remember: `evaluate(t, y, parms)`, and `pull(t, y, g)` for Python: the gradients by y and parms
# of what it returns first, weighted by g.
recorder_of <- function(name, func, shape, parms, further) {
  copy <- differentiable(func)
  further_copy <- lapply(further, function(x) if (is.function(x)) differentiable(x) else x)
  evaluate <- function(t, y, entries) do.call(copy, c(list(t, y, entries), further_copy), quote = TRUE)
  slopes_at <- function(t, y, state, entries) {
    found <- differentiably(name, evaluate(t, state, entries$form), {
      do.call(func, c(list(t, y, parms), further), quote = TRUE)
    })
    slopes <- if (is.list(found)) found[[1L]] else found
    if (is.list(slopes)) unlisted(slopes) else slopes
  }
  watch_jumps <- jump_watcher(function(t, y) {
    recorded(as.double(value_of(slopes_at(t, y, new_number(y), as_numbers_within(parms)))))
  })
  pull <- function(t, y, g) called_back(recorded({
    y <- shaped(as.double(y), shape)
    state <- new_number(y)
    entries <- as_numbers_within(parms)
    found <- with_decisions(slopes_at(t, y, state, entries))
    slopes <- found$value
    if (name == "func") watch_jumps(t, y, found$made)
    gradients <- pull_back(list(slopes), list(as.double(g)), c(list(state), entries$leaves))
    array(as.double(unlist(gradients)))
  }))
  list(evaluate = evaluate, pull = pull)
}

# Evaluate `expression` on numbers that remember. What fails there, and not on plain numbers, cannot be differentiated.
differentiably <- function(name, expression, plainly) {
  tryCatch(expression, error = function(e) {
    if (inherits(e, "nodekit_error")) stop(e)
    force(plainly) # an error of its own arrives as it is
    of <- conditionCall(e)
    part <- if (!is.null(of)) paste0(", ", paste(deparse(of, nlines = 1), collapse = ""))
    abort_not_differentiable(paste0("'", name, "'", part), conditionMessage(e))
  })
}

# The changes at events, as as_events() plans them.
change_recorder <- function(plan, events, shape, parms, further) {
  if (is.null(plan$change)) return(NULL)
  change <- events$func %||% function(t, y, parms, ...) plan$change(t, y)
  recorder_of("events$func", change, shape, parms, further)
}

# The loss for Python: its value at the states of all rows, and its gradients by them and by parms.
loss_recorder <- function(loss, state, times, parms, shape, more, evaluate) {
  copy <- differentiable(loss)
  with_parms <- takes_parms(loss)
  function(values) called_back(recorded({
    states <- new_number(matrix(as.double(values), length(times)))
    entries <- as_numbers_within(parms)
    rows <- if (more()) lapply(seq_along(times), function(i) {
      unlisted(evaluate(times[i], relabelled(states[i, ], function(y) shaped(y, shape)), entries$form)[-1])
    })
    out <- solution_number(times, states, state, rows)
    value <- differentiably("loss", if (with_parms) copy(out, entries$form) else copy(out), {
      plain <- structure(value_of(out), class = "nk_columns")
      if (with_parms) loss(plain, parms) else loss(plain)
    })
    check_loss(value)
    found <- pull_back(list(value), list(1), c(list(states), entries$leaves))
    list(
      value = as.double(value_of(value)), states = array(found[[1]], dim(value_of(states))),
      parms = array(as.double(unlist(found[-1])))
    )
  }))
}

takes_parms <- function(loss) length(setdiff(names(formals(args(loss))), "...")) > 1

check_loss <- function(value) {
  if (is.numeric(value) && length(value) == 1) return(invisible())
  abort("value_error", "loss must return one number computed from the solution, it returned ",
    if (is.numeric(value)) length(value) else paste("an object of class", class(value)[1]), ".",
    remedy = "For example mean((out$x - data)^2)."
  )
}

# The solution as nk_ode() gives it, of numbers that remember.
solution_number <- function(times, states, state, rows) {
  names <- state$names %||% as.character(seq_len(state$n))
  further <- if (length(unlist(lapply(rows, value_of)))) bound(rbind, unname(rows))
  numbered <- if (!is.null(further)) names(value_of(rows[[1]])) %||% as.character(state$n + seq_len(ncol(further)))
  out <- bound(cbind, c(list(times, states), if (!is.null(further)) list(further)))
  out <- relabelled(out, function(v) `dimnames<-`(v, list(NULL, c("time", names, numbered))))
  attr(out, "times") <- length(times)
  out
}

# The same, plain: with `$` as there.
#' @export
`$.nk_columns` <- function(x, name) unclass(x)[, name]
#' @export
`[[.nk_columns` <- function(x, i, ...) if (is.character(i)) unclass(x)[, i] else unclass(x)[[i, ...]]
#' @export
as.data.frame.nk_columns <- function(x, ...) as.data.frame(unclass(x), ...)
