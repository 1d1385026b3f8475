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
#' With `tensors = TRUE` the function computes on PyTorch tensors: see [nk_gradient()], which needs that.
#'
#' # Methods
#' `names(nodekit()$METHODS)` lists them. Explicit with adaptive steps: `"dopri5"` (deSolve's `"ode45"`), `"tsit5"`,
#' `"bosh3"`, `"dopri8"`; for stiff problems an implicit one such as `"trbdf2"`, `"kvaerno5"` or `"radauIIA5"`. With
#' fixed steps (`"euler"`, `"rk4"`, ...) a step goes from one element of `times` to the next, or is `hini` long, as
#' in deSolve.
#'
#' # Events and roots
#' As in [deSolve::events]: `events = list(data = data.frame(var, time, value, method))`, or
#' `list(func = function(t, y, parms), time = )`, or, with `rootfunc`, `list(func = , root = TRUE)`, optionally
#' `terminalroot`. A `rootfunc` without events ends the solution at its first root. The row at an event's time
#' holds the state before the event. Forcings are interpolating functions (`approxfun`) called in `func`.
#'
#' @param y initial state: a numeric vector, named or not, a matrix or array, or a data frame of one row;
#'   see [nodekit_types].
#' @param times where the solution is wanted, the first of them being the initial time; up or down.
#' @param func the derivative.
#' @param parms parameters, handed on to `func` as they are.
#' @param method name of the method.
#' @param rtol,atol relative and absolute tolerance: a number, or one for each state.
#' @param ... further arguments for `func`, and for the event and root functions.
#' @param events,rootfunc see "Events and roots".
#' @param hini first step, or the step of methods with a fixed one; `NULL`: chosen by the method.
#' @param hmin,hmax smallest and largest step.
#' @param maxsteps steps allowed between two elements of `times`, on average.
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
nk_ode <- function(y, times, func, parms = NULL, method = "dopri5", rtol = 1e-6, atol = 1e-6, ...,
                   events = NULL, rootfunc = NULL, hini = NULL, hmin = 0, hmax = NULL, maxsteps = 5000,
                   options = list(), tensors = FALSE) {
  state <- as_state(y)
  times <- as_times(times)
  derivative <- as_derivative(func, state, times[1], parms, tensors, ...)
  stepping <- list(
    method = as_method(method), rtol = as_tolerance(rtol, "rtol", state$n), atol = as_tolerance(atol, "atol", state$n),
    options = step_options(method, options, hini, hmin, hmax, as_count(maxsteps, "maxsteps") * length(times))
  )
  plan <- as_events(events, rootfunc, state, times, parms, ...)
  solution <- solve_with_events(derivative$slope, state, plan, stepping)
  as_deSolve(solution, state, derivative$further, stepping$method)
}

#' @export
print.nk_ode <- function(x, ...) {
  print(as.data.frame(unclass_ode(x)), ...)
  invisible(x)
}

# The plain matrix of a result.
unclass_ode <- function(x) {
  matrix(as.vector(x), nrow(x), ncol(x), dimnames = list(NULL, colnames(x)))
}

# How the derivative is called: `slope` by Python, on plain arrays; `further` by R, for the extra columns of a row.
as_derivative <- function(func, state, t0, parms, tensors, ...) {
  if (inherits(func, "nk_fit")) return(list(slope = fitted_module(func, state$names)))
  if (inherits(func, "python.builtin.object")) return(list(slope = func))
  if (is.character(func)) {
    abort("type_error", "'func' names compiled code, which nodekit cannot call.", remedy = "Give an R function.")
  }
  check_function(func, "func")
  if (tensors) {
    return(list(slope = bridge()$TensorDerivative(tensor_slope(func, state, parms, ...), is.null(state$names))))
  }
  shape <- shape_of(state)
  size <- state$n
  first <- func(t0, shaped(state$values, shape), parms, ...)
  check_derivative(first, size)
  slope <- function(t, y) {
    called_back({
      attributes(y) <- shape
      slopes <- func(t, y, parms, ...)[[1L]]
      if (length(slopes) != size || !is.numeric(slopes)) check_derivative(list(slopes), size)
      if (!is.finite(sum(slopes))) note_not_finite(t, slopes)
    })
    array(as.double(slopes))
  }
  further <- if (length(first) > 1) function(t, values) func(t, shaped(values, shape), parms, ...)[-1]
  list(slope = slope, further = further)
}

# The attributes that `y` has in the user's function: what the user gave it.
shape_of <- function(state) {
  if (is.null(state$dim)) list(names = state$names) else list(dim = state$dim, dimnames = state$dimnames)
}

shaped <- function(values, shape) {
  attributes(values) <- shape
  values
}

check_derivative <- function(result, size) {
  remedy <- "It must return list(dy, ...), dy holding one number for each state, in the order of y."
  if (!is.list(result)) abort("type_error", "'func' returned no list but ", class(result)[1], ".", remedy = remedy)
  if (!is.numeric(result[[1]])) {
    abort("type_error", "'func' returned derivatives of class '", class(result[[1]])[1], "'.", remedy = remedy)
  }
  if (length(result[[1]]) != size) {
    abort("value_error", "'func' returned ", length(result[[1]]), " derivatives for ", size, " states.",
      remedy = remedy
    )
  }
}

# The first and the last time that the user's function returned something that is not finite. Steps that meet such
# values are tried again, shorter; only where the solve fails are they what went wrong.
note_not_finite <- function(t, slopes) {
  bad <- which(!is.finite(slopes))
  if (!length(bad)) return() # only their sum overflows
  seen <- list(t = t, state = bad[1], value = slopes[[bad[1]]])
  session$heard$last <- seen
  if (is.null(session$heard$first)) session$heard$first <- seen
}

# The library's failures in the words of nk_ode()'s arguments.
explain_failure <- function(state, times, method) {
  at <- function(t) paste("at t =", format(zapsmall(c(t, times), 12)[1]))
  function(failure) {
    kind <- failure$classes[[1]]
    if (!kind %in% names(SOLVE_REMEDIES)) return(failure)
    failure$remedy <- SOLVE_REMEDIES[[kind]]
    if (kind == "max_steps_reached") return(failure)
    if (kind == "step_size_underflow") {
      failure$message <- paste0("No step ", at(failure$fields$t), " is small enough for rtol and atol.")
    }
    seen <- session$heard$first
    if (nodekit()$METHODS[[method]]$adaptive) { # one of them is where it ended, or they have nothing to do with it
      ended <- function(seen) isTRUE(all.equal(seen$t, failure$fields$t))
      seen <- Find(ended, session$heard[c("last", "first")])
    }
    if (is.null(seen)) return(failure)
    name <- state$names[seen$state] %||% seen$state
    failure$message <- paste0("'func' returned ", seen$value, " for state '", name, "' ", at(seen$t), ".")
    failure$fields[c("t", "state")] <- list(seen$t, name)
    failure$remedy <- SOLVE_REMEDIES[["non_finite_derivative"]]
    failure
  }
}
SOLVE_REMEDIES <- list(
  non_finite_derivative = paste0(
    "It may not be defined there, or the solution may grow without bound: ask for times before that. With a method of ",
    "fixed steps, take smaller ones (hini)."
  ),
  step_size_underflow = paste0(
    "The solution may grow without bound there: ask for times before that. Otherwise loosen rtol and atol, or name the ",
    "times where the derivative jumps: options = list(jump_t = )."
  ),
  max_steps_reached = paste0(
    "Loosen rtol and atol, raise maxsteps, or, where the problem is stiff, use an implicit method such as ",
    "\"radauIIA5\"."
  ),
  newton_did_not_converge = "Loosen rtol and atol; with a method of fixed steps, take smaller ones (hini)."
)

# What to use here where a user of deSolve thinks of one of its methods: the first that there is.
DESOLVE_METHODS <- list(
  stiff = c("lsode", "lsodes", "vode", "daspk", "radau", "bdf", "bdf_d", "lsoda"),
  nonstiff = c("ode45", "rk45dp7", "ode23", "lsodar", "adams", "impAdams", "impAdams_d")
)
STIFF_METHODS <- c("radauIIA5", "kvaerno5", "trbdf2", "trapezoid")

as_method <- function(method) {
  if (!is.character(method) || length(method) != 1 || is.na(method)) {
    abort("type_error", "'method' must be one character string.", remedy = "Names: names(nodekit()$METHODS).")
  }
  known <- names(nodekit()$METHODS)
  stiff <- intersect(STIFF_METHODS, known)[1]
  if (method %in% known) return(method)
  remedy <- if (method %in% DESOLVE_METHODS$nonstiff) {
    paste0("'", method, "' is deSolve's; here use \"dopri5\".")
  } else if (method %in% DESOLVE_METHODS$stiff) {
    paste0("'", method, "' is deSolve's; here use \"", stiff, "\", or \"dopri5\" where nothing is stiff.")
  } else {
    nearest <- known[which.min(utils::adist(method, known))]
    paste0("Did you mean '", nearest, "'? Known: ", paste(known, collapse = ", "), ".")
  }
  abort("unknown_method", "There is no method '", method, "'.", remedy = remedy)
}

# deSolve's words for the steps, in the library's.
step_options <- function(method, options, hini, hmin, hmax, most_steps) {
  if (!is.list(options) || (length(options) && is.null(names(options)))) {
    abort("type_error", "'options' must be a named list.", remedy = "For example list(safety = 0.8).")
  }
  ours <- if (nodekit()$METHODS[[as_method(method)]]$adaptive) {
    list(
      first_step = if (!is.null(hini)) as_number(hini, "hini", above = 0),
      min_step = if (hmin > 0) as_number(hmin, "hmin"),
      max_step = if (!is.null(hmax)) as_number(hmax, "hmax", above = 0),
      max_num_steps = as.integer(min(most_steps, .Machine$integer.max))
    )
  } else if (!is.null(hini)) {
    list(step_size = as_number(hini, "hini", above = 0))
  }
  utils::modifyList(Filter(Negate(is.null), as.list(ours)), options)
}

# The result as deSolve gives it.
as_deSolve <- function(solution, state, further, method) {
  values <- solution$values
  names <- state$names %||% as.character(seq_len(state$n))
  lengths <- state$n
  if (!is.null(further)) {
    rows <- lapply(seq_along(solution$times), function(i) further(solution$times[i], values[i, ]))
    columns <- do.call(rbind, lapply(rows, function(row) unlist(row, use.names = FALSE)))
    numbered <- as.character(state$n + seq_len(ncol(columns)))
    names <- c(names, names(unlist(rows[[1]])) %||% numbered)
    lengths <- c(lengths, stats::setNames(lengths(rows[[1]]), names(rows[[1]])))
    if (!is.null(names(lengths))) names(lengths)[1] <- ""
    values <- cbind(values, columns)
  }
  out <- cbind(solution$times, values)
  dimnames(out) <- list(NULL, c("time", names))
  istate <- rep(NA_integer_, 21) # places and meanings as in deSolve's diagnostics()
  istate[c(2, 3, 13, 18)] <- as.integer(unlist(solution$statistics[c("steps", "nfe", "rejected", "order")]))
  istate[1] <- if (is.null(solution$roots$iroot)) 2L else 3L # reached the end, or a root
  # Where deSolve is installed, its methods for this class are at hand without attaching it.
  requireNamespace("deSolve", quietly = TRUE)
  attributes(out) <- c(
    attributes(out),
    list(istate = istate, rstate = c(NA, NA, utils::tail(solution$times, 1), NA, NA), lengthvar = lengths),
    list(nspec = if (is.null(state$dim)) state$n else 1L), if (!is.null(state$dim)) list(dimens = state$dim),
    solution$roots, list(type = method, class = c("nk_ode", "deSolve", "matrix"))
  )
  out
}
