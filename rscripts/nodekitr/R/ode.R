#' Solve an ordinary differential equation
#'
#' The call and the result are those of [deSolve::ode()]: a model written for deSolve runs unchanged, and what comes
#' back is a matrix that deSolve's `plot`, `summary`, `subset`, `hist`, `image` and `diagnostics` understand.
#'
#' # The derivative
#' A function `func(t, y, parms, ...)` that returns a list: first the derivatives, in the order of `y`; then, if
#' wanted, further values, which become columns of the result. `y` has the names and the shape that you gave it.
#' Instead of an R function, `func` may be a model fitted by [nk_fit()] or a Python callable of `(t, y)` such as a
#' PyTorch module: then no R code runs while it is solved.
#'
#' With `tensors = TRUE` the function computes on PyTorch tensors: with named `y` on a named list with one tensor a
#' state, without names on one tensor; numeric `parms` are tensors too. See [tensor_arithmetic].
#'
#' # Methods
#' `names(nodekit()$METHODS)` lists them. Explicit with adaptive steps: `"dopri5"` (deSolve's `"ode45"`), `"tsit5"`,
#' `"bosh3"`, `"dopri8"`; for stiff problems an implicit one such as `"radauIIA5"`, `"kvaerno5"` or `"trbdf2"`. With
#' fixed steps (`"euler"`, `"rk4"`, ...) a step goes from one element of `times` to the next, or is `hini` long, as
#' in deSolve. `"auto"`, which deSolve's `"lsoda"` names too, begins explicit and is implicit where the problem turns out
#' to be stiff.
#'
#' An explicit method on a stiff problem would take steps without end. When it has long steps before it that only
#' stability keeps short, it stops with a condition of class `nodekit_stiff` that names the implicit methods;
#' `maxsteps = Inf` goes on all the same.
#'
#' # Where the steps are taken
#' Where `func` is an R function, explicit steps (of `"auto"`, `"dopri5"`, `"tsit5"`, and the fixed ones of `"euler"`,
#' `"heun"`, `"midpoint"`, `"ralston"`, `"rk4"`) are taken in R, with the coefficients and the control of steps of the
#' library: Python is not started, and a small solve takes about twice as long as with deSolve's `lsoda`. Implicit
#' steps, roots and most `options` are the library's, and so is whatever fails in R: it is solved again
#' from the start, which says what is wrong. `func` is then evaluated more often than the result's statistics say.
#'
#' # Short inputs
#' A method of adaptive steps could step over a pulse or a shower that lies between two of its evaluations. As in
#' deSolve, no step is therefore longer than the largest difference of `times`, unless `hmax` says so: 0 or `Inf` is
#' no limit. An input shorter than that needs finer `times` or a smaller `hmax`.
#'
#' # Where a solve fails
#' The condition, of class `nodekit_solve_failed`, has the rows before the failure as its field `reached`. With
#' `throw = FALSE` they are returned with a warning, as deSolve returns them; `attr(out, "istate")[1]` is then negative.
#'
#' # Events and roots
#' As in [deSolve::events]: `events = list(data = data.frame(var, time, value, method))`, or
#' `list(func = function(t, y, parms), time = )`, or, with `rootfunc`, `list(func = , root = TRUE)`, optionally
#' `terminalroot`. A `rootfunc` without events ends the solution at its first root. The row at an event's time
#' holds the state before the event; an event's time that differs from one of `times` by rounding is that one.
#'
#' # Forcings
#' Interpolating functions (`approxfun`) called in `func`; or, by table, `forcings`, whose values at the time `t` are then
#' entries of `parms` in `func`, by names that no parameter and no state has. No step goes over a time of the table.
#' Events and roots get `parms` as they are.
#'
#' @param y initial state: a numeric vector, named or not, a matrix or array, or a data frame of one row;
#'   see [nodekit_types].
#' @param times where the solution is wanted, the first of them being the initial time; up or down.
#' @param func the derivative.
#' @param parms parameters, handed on to `func` as they are.
#' @param method name of the method, see "Methods".
#' @param rtol,atol relative and absolute tolerance: a number, or one for each state.
#' @param ... further arguments for `func`, and for the event and root functions. deSolve's arguments that have no
#'   meaning here, and names that are like an argument's without being one, are said.
#' @param events,rootfunc see "Events and roots".
#' @param forcings a data frame with the column `time` and what acts from outside, see "Forcings".
#' @param fcontrol how it goes on between its times: `method`, `rule`, `f`, `ties` of [stats::approx()]; by default, as in
#'   [deSolve::forcings], `list(method = "linear", rule = 2, f = 0, ties = "ordered")`.
#' @param hini first step, or the step of methods with a fixed one. `NULL` or 0: chosen by the method; fixed steps go
#'   from one of `times` to the next, or are `hmax` long where that is given.
#' @param hmin,hmax smallest and largest step; see "Short inputs".
#' @param maxsteps steps allowed between two elements of `times`, on average; `Inf`: no limit.
#' @param tcrit a time that is not to be passed: `times` may not go beyond it.
#' @param ynames `FALSE`: `func` gets `y` without names.
#' @param throw whether a solve that fails is an error; see "Where a solve fails".
#' @param options further options of the library's `odeint`, as a named list.
#' @param tensors whether `func` computes on tensors.
#' @return A matrix of class `c("nk_ode", "deSolve", "matrix")`: the column `time`, one for each state, one for each
#'   further value of `func`; attributes as deSolve's.
#' @examples
#' lotka_volterra <- function(t, y, parms) {
#'   with(as.list(c(y, parms)), {
#'     eaten <- rate * prey * predator
#'     list(c(growth * prey - eaten, efficiency * eaten - death * predator), eaten = eaten)
#'   })
#' }
#' parms <- c(growth = 1, rate = 0.2, efficiency = 0.5, death = 0.4)
#' if (nk_available()) {
#'   out <- nk_ode(c(prey = 4, predator = 2), seq(0, 30, by = 0.5), lotka_volterra, parms)
#'   head(out)
#'   if (requireNamespace("deSolve", quietly = TRUE)) {
#'     plot(out)
#'     summary(out)
#'   }
#' }
#' @export
nk_ode <- function(y, times, func, parms = NULL, method = "auto", rtol = 1e-6, atol = 1e-6, ...,
                   events = NULL, rootfunc = NULL, hini = NULL, hmin = 0, hmax = NULL, maxsteps = 5000, tcrit = NULL,
                   ynames = TRUE, options = list(), tensors = FALSE, throw = TRUE, forcings = NULL,
                   fcontrol = list()) {
  state <- as_state(y)
  times <- as_times(times)
  further <- arguments_of(func, names(formals(nk_ode)), ...)
  solved <- function(...) {
    method <- as_method(method)
    forced <- with_forcings(func, forcings, fcontrol, times, method, c(names(parms), state$names))
    if (length(forced$options)) options <- utils::modifyList(forced$options, as.list(options))
    derivative <- as_derivative(forced$func, state, times[1], parms, tensors, ynames, ...)
    stepping <- list(
      method = method, rtol = as_tolerance(rtol, "rtol", state$n), atol = as_tolerance(atol, "atol", state$n),
      options = step_options(method, options, hini, hmin, hmax, maxsteps, tcrit, times),
      watch = !identical(as.double(maxsteps), Inf)
    )
    plan <- as_events(events, rootfunc, state, times, parms, ynames, ...)
    solution <- solve_with_events(derivative, state, plan, stepping, parms)
    if (is.null(solution$failure)) return(as_deSolve(solution, state, derivative$further(), method))
    failed_solve(solution, state, derivative$further(), method, throw)
  }
  do.call(solved, further, quote = TRUE)
}

#' @export
print.nk_ode <- function(x, ...) {
  refuse_unless(c(names(formals(print.data.frame)), names(formals(print.default))), ...)
  print(as.data.frame(unclass_ode(x)), ...)
  invisible(x)
}

# The plain matrix of a result.
unclass_ode <- function(x) {
  matrix(as.vector(x), nrow(x), ncol(x), dimnames = list(NULL, colnames(x)))
}

# How the derivative is called: `slope` by Python, on plain arrays; `in_r`, where it is an R function, by R; `further()`
# gives the function that R calls for the extra columns of a row, or NULL where there are none.
as_derivative <- function(func, state, t0, parms, tensors, ynames, ...) {
  none <- function() NULL
  if (inherits(func, "nk_fit")) return(list(slope = fitted_module(func, state$names), further = none))
  if (inherits(func, "python.builtin.object")) return(list(slope = func, further = none))
  if (is.character(func)) {
    abort("type_error", "'func' names compiled code, which nodekit cannot call.", remedy = "Give an R function.")
  }
  check_function(func, "func")
  shape <- shape_of(state, ynames)
  if (tensors) return(tensor_derivative(func, state, shape, t0, parms, ...))
  size <- state$n
  first <- func(t0, shaped(state$values, shape), parms, ...)
  check_derivative(first, size)
  more <- length(first) > 1
  in_r <- function(t, y) {
    # Whatever func makes of a state that overflowed, a stop included, the step is to be taken again, shorter.
    if (!is.finite(sum(y)) && !all(is.finite(y))) return(rep(NaN, size))
    attributes(y) <- shape
    found <- func(t, y, parms, ...)
    slopes <- found[[1L]]
    if (length(slopes) != size || !is.numeric(slopes) || !is.list(found)) check_derivative(found, size, t)
    if (length(found) > 1L && !more) more <<- TRUE
    slopes
  }
  slope <- function(t, y) {
    slopes <- called_back(in_r(t, y))
    if (!is.finite(sum(slopes)) && all(is.finite(y))) note_not_finite(t, slopes)
    array(as.double(slopes))
  }
  list(
    slope = slope, in_r = in_r,
    further = function() if (more) function(t, values) func(t, shaped(values, shape), parms, ...)[-1]
  )
}

# The attributes that `y` has in the user's function: what the user gave it.
shape_of <- function(state, ynames = TRUE) {
  if (!is.null(state$dim)) return(list(dim = state$dim, dimnames = state$dimnames))
  list(names = if (isTRUE(ynames)) state$names)
}

shaped <- function(values, shape) {
  attributes(values) <- shape
  values
}

check_derivative <- function(result, size, t = NULL) {
  at <- if (!is.null(t)) paste(" at t =", format(t))
  remedy <- "It must return list(dy, ...), dy holding one number for each state, in the order of y."
  if (!is.list(result)) {
    abort("type_error", "'func' returned no list but ", class(result)[1], at, ".", remedy = remedy)
  }
  slopes <- if (length(result)) result[[1]]
  if (!is.numeric(slopes)) {
    abort("type_error", "'func' returned derivatives of class '", class(slopes)[1], "'", at, ".", remedy = remedy)
  }
  if (length(slopes) != size) {
    abort("value_error", "'func' returned ", length(slopes), " derivatives for ", size, " states", at, ".",
      remedy = remedy
    )
  }
}
