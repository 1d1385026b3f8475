# A loss for the optimisers of R.

#' A loss and its gradient for optimisers
#'
#' Wraps [nk_gradient()] for [stats::optim()], [stats::nlminb()] and [stats::nlm()]: value and gradient of the last
#' parameters are kept, and a value alone costs no gradient. Optimisers try absurd parameters on their way. A solve that
#' fails there counts as `Inf`, and so does one that would take far more work than the best so far: it is given up after
#' five times as many steps and fifty more, where it is stiff after five times as many evaluations of `func` and three
#' hundred more. Only where the first parameters fail is it an error.
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
  best <- NULL # the value of the best solve so far, and the work it took
  told_of_jumps <- FALSE
  differentiated <- function(par, gradient) {
    limit <- maxsteps %||% if (is.null(best)) 500 else ceiling((50 + 5 * best$steps) / length(times))
    heard <- list()
    found <- withCallingHandlers(
      do.call(nk_gradient, c(list(y, times, func, in_form(par), loss, gradient = gradient, maxsteps = limit), more),
        quote = TRUE),
      warning = function(w) {
        heard <<- c(heard, list(w))
        invokeRestart("muffleWarning")
      }
    )
    # Of absurd parameters on the way, warnings - the logarithm of a negative state - say nothing new.
    if (is.finite(found$value) || is.null(best)) for (w in heard) {
      jumps <- inherits(w, "nodekit_slope_jumps")
      if (!(jumps && told_of_jumps)) warning(w)
      told_of_jumps <<- told_of_jumps || jumps
    }
    found
  }
  evaluate <- function(par, gradient) {
    par <- as.double(par)
    if (!identical(kept$par, par)) {
      found <- if (is.null(best)) differentiated(par, "none") else
        tryCatch(with_evaluations(300 + 5 * best$evaluations, differentiated(par, "none")),
          nodekit_solve_failed = function(e) list(value = Inf))
      if (!is.finite(found$value)) found$value <- Inf
      kept <<- list(par = par, value = found$value)
      if (found$value <= (best$value %||% Inf)) best <<- found
    }
    if (gradient != "none" && is.null(kept$gradient)) {
      slope <- if (is.finite(kept$value)) as.double(unlist(differentiated(par, gradient)$parms)) else NaN * par
      kept$gradient <<- stats::setNames(slope, names)
    }
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

# Evaluate `expression`, in which a solve may take so many evaluations.
with_evaluations <- function(limit, expression) {
  session$evaluations <- limit
  on.exit(session$evaluations <- NULL)
  expression
}

# The numeric entries of parameters.
parms_of_numbers <- function(parms) {
  if (!count_numbers(parms)) {
    abort("type_error", "'parms' holds no numbers.", remedy = "Give the parameters to start from.")
  }
  with_numbers(as_doubles(parms), as.double(unlist(numeric_entries(parms))), drop_others = TRUE)
}
