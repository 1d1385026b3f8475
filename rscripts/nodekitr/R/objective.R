# A loss for the optimisers of R.

#' A loss and its gradient for optimisers
#'
#' Wraps [nk_gradient()] for [stats::optim()], [stats::nlminb()] and [stats::nlm()]: value and gradient come from the
#' last solve, which is kept, and a value alone costs no gradient. Optimisers try absurd parameters on
#' their way. A solve that fails there, that turns out to be stiff, or that takes far more steps than the best solve so
#' far (ten times as many and a hundred), counts as `Inf`; it is given up after as many steps, which takes a moment.
#' Only where the first parameters fail is it an error.
#'
#' @inheritParams nk_gradient
#' @param parms parameters to start from: numbers, or a list.
#' @param ... further arguments of [nk_gradient()] and for `func`, by name.
#' @param maxsteps as in [nk_gradient()]; `NULL`: as many as said above.
#' @return A list: `par`, the numbers within `parms` as one named vector; the functions `fn(par)` and `gr(par)` for
#'   `optim` and `nlminb`, and `both(par)`, which has the gradient as attribute, for `nlm`; `parms(par)`, which gives
#'   parameters in the form of `parms`.
#' @seealso [nk_gradient()]
#' @examples
#' decay <- function(t, y, parms) with(as.list(c(y, parms)), list(-exp(log_rate) * amount))
#' if (nk_available()) {
#'   times <- 0:4
#'   seen <- 10 * exp(-0.5 * times)
#'   objective <- nk_objective(c(amount = 10), times, decay, c(log_rate = 0), function(out) mean((out$amount - seen)^2))
#'   found <- optim(objective$par, objective$fn, objective$gr, method = "BFGS")
#'   exp(found$par) # 0.5
#' }
#' @export
nk_objective <- function(y, times, func, parms, loss, ..., gradient = "checkpoint", maxsteps = NULL) {
  more <- list(...)
  start <- unlist(parms_of_numbers(parms))
  names <- names(start)
  kept <- list(par = NULL)
  told_of_jumps <- FALSE
  best <- NULL # the value of the best solve so far, and its steps
  evaluate <- function(par, gradient) {
    par <- as.double(par)
    if (identical(kept$par, par) && (gradient == "none" || !is.null(kept$gradient))) return(kept)
    limit <- maxsteps %||% if (is.null(best)) 500 else ceiling((50 + 10 * best$steps) / length(times))
    warnings <- list()
    found <- withCallingHandlers(
      tryCatch(
        do.call(nk_gradient, c(list(y, times, func, in_form(par), loss, gradient = gradient, maxsteps = limit), more),
          quote = TRUE),
        nodekit_solve_failed = function(e) if (is.null(best)) stop(e) else NULL
      ),
      warning = function(w) {
        warnings <<- c(warnings, list(w))
        invokeRestart("muffleWarning")
      }
    )
    failed <- is.null(found) || !is.finite(found$value)
    # Of absurd parameters on the way, warnings - the logarithm of a negative state - say nothing new.
    if (!failed || is.null(best)) for (w in warnings) {
      jumps <- inherits(w, "nodekit_slope_jumps")
      if (!(jumps && told_of_jumps)) warning(w)
      told_of_jumps <<- told_of_jumps || jumps
    }
    slope <- if (failed) rep(NaN, length(par)) else if (!is.null(found$parms)) as.double(unlist(found$parms))
    if (!is.null(slope)) names(slope) <- names
    kept <<- list(par = par, value = if (failed) Inf else found$value, gradient = slope)
    if (!failed && (is.null(best) || found$value <= best$value)) best <<- found[c("value", "steps")]
    kept
  }
  in_form <- function(par) {
    if (length(par) != length(start)) {
      abort("value_error", "There are ", length(par), " parameters, not ", length(start), ".",
        remedy = paste0("They are: ", paste(names, collapse = ", "), ".")
      )
    }
    with_numbers(as_doubles(parms), par)
  }
  list(
    par = start, fn = function(par) evaluate(par, "none")$value,
    gr = function(par) evaluate(par, gradient)$gradient,
    both = function(par) {
      found <- evaluate(par, gradient)
      structure(found$value, gradient = found$gradient)
    },
    parms = in_form
  )
}

# The numeric entries of parameters.
parms_of_numbers <- function(parms) {
  if (!count_numbers(parms)) {
    abort("type_error", "'parms' holds no numbers.", remedy = "Give the parameters to start from.")
  }
  with_numbers(as_doubles(parms), as.double(unlist(numeric_entries(parms))), drop_others = TRUE)
}
