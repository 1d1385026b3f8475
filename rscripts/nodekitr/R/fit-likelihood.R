# What a fit says of its errors: the noise, the likelihood, errors of parameters, data drawn anew.

# Residuals as the noise has them: of logarithms where states are positive; none where a trajectory starts exactly.
noise_residuals <- function(object) {
  positive <- object$states[object$model$positive]
  found <- as.matrix(transformed(object$data, positive)[object$states]) -
    as.matrix(transformed(object$fitted, positive)[object$states])
  if (!object$estimated_starts) found[is_start(object), ] <- NA
  found
}

is_start <- function(object) {
  starts <- fitted_starts(object)
  object$data[[object$time]] == starts[[object$time]][match(object$data$.series, starts$.series)]
}

# Standard deviation of the noise of each state, the rows weighted.
noise_of_fit <- function(object) {
  residuals <- noise_residuals(object)
  weights <- row_weights(object)
  apply(residuals, 2, function(r) sqrt(sum(weights * r^2, na.rm = TRUE) / sum(weights[!is.na(r)])))
}

# Weights of the rows in the order of the data; those that were held out for validation have none where `trained`.
row_weights <- function(object, trained = FALSE) {
  weights <- object$training$weights
  if (trained) weights[object$training$held] <- 0
  sorted <- order(object$data$.series, object$data[[object$time]])
  weights[order(sorted)]
}

# Bounds for a new observation: on the scale of the logarithm for states that are positive.
with_interval <- function(object, frame, interval, level) {
  if (interval == "none") return(frame)
  with_bounds(object, frame, outer(rep(1, nrow(frame)), noise_of_fit(object)), stats::qnorm((1 + as_level(level)) / 2))
}

# A prediction with bounds, so many errors (rows, states) below and above it.
with_bounds <- function(object, frame, errors, count) {
  for (k in seq_along(object$states)) {
    name <- object$states[k]
    half <- count * errors[, k]
    ends <- if (object$model$positive[k]) frame[[name]] * exp(cbind(-half, half)) else frame[[name]] + cbind(-half, half)
    frame[paste0(name, c(".lower", ".upper"))] <- list(ends[, 1], ends[, 2])
  }
  frame
}

as_level <- function(level) {
  level <- as_number(level, "level", above = 0)
  if (level >= 1) abort("value_error", "'level' is ", level, ".", remedy = "Give a number between 0 and 1.")
  level
}

#' @rdname predict.nk_fit
#' @details `logLik` takes the residuals of whole trajectories as normal noise (log-normal for positive states) whose
#'   standard deviations are estimated; all weights of the network count as parameters, though a network that stopped
#'   early has fewer in effect: compare by validation rather than by AIC. `vcov` and `confint` are for fits without a
#'   network of whole trajectories; for others see [nk_ensemble()]. Beside a network the curvature of the loss does not
#'   determine a parameter: what it does, the weights can do nearly as well, and its error would be whatever the
#'   cut-off for "nearly" makes it. They are computed from how the solution changes with
#'   the parameters, which must be at their optimum: train until the loss no longer falls.
#' @export
logLik.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  residuals <- noise_residuals(object)
  weights <- row_weights(object, trained = TRUE)
  value <- 0
  count <- 0
  for (k in seq_along(object$states)) {
    used <- !is.na(residuals[, k]) & weights > 0
    n <- sum(used)
    w <- weights[used]
    variance <- sum(w * residuals[used, k]^2) / n
    value <- value - n / 2 * (log(2 * pi * variance) + 1) + sum(log(w)) / 2
    if (object$model$positive[k]) value <- value - sum(log(object$data[[object$states[k]]][used]))
    count <- count + n
  }
  free <- sum(!as.logical(object$model$known$fixed)) + length(object$states) + length(object$starts) +
    if (has_network(object)) length(coef(object, weights = TRUE)) else 0
  structure(value, df = free, nobs = count, class = "logLik")
}

#' @rdname predict.nk_fit
#' @export
vcov.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  slope <- ifelse(object$model$known$scale$on_log, coef(object, weights = FALSE), 1)
  outer(slope, slope) * searched_vcov_of_fit(object)
}

# On the scale that was searched: of the estimate that minimises the loss, with the noise that the residuals show.
searched_vcov_of_fit <- function(object) {
  if (is.null(object$theta)) abort("value_error", "The model has no parameters.", remedy = "See predict() and nk_ensemble().")
  if (has_network(object)) {
    abort("value_error", "What a parameter means depends on what the network may learn beside it.",
      remedy = "Fit both anew, to data drawn from the model: confint(nk_ensemble(fit, resample = TRUE))."
    )
  }
  if (!is.null(object$training$window)) {
    abort("value_error", "The errors of parameters that were fitted in windows are not known.",
      remedy = "Fit whole trajectories, window = NULL, or use confint(nk_ensemble(fit, resample = TRUE))."
    )
  }
  slopes <- solution_slopes(object)
  theta <- object$theta
  scale <- object$model$known$scale
  free <- !object$model$known$fixed & theta > scale$lower & theta < scale$upper
  kept <- c(free, rep(TRUE, dim(slopes)[3] - length(theta)))
  all <- matrix(NA_real_, length(theta), length(theta), dimnames = list(names(theta), names(theta)))
  if (!any(free)) return(all)
  noise <- noise_of_fit(object)
  weights <- row_weights(object, trained = TRUE)
  residuals <- noise_residuals(object)
  curvature <- spread <- matrix(0, sum(kept), sum(kept))
  for (k in seq_along(object$states)) {
    used <- !is.na(residuals[, k]) & weights > 0
    J <- slopes[used, k, kept, drop = TRUE]
    J <- matrix(J, sum(used)) * sqrt(weights[used]) / object$model$scale[k]
    curvature <- curvature + crossprod(J)
    spread <- spread + noise[k]^2 / object$model$scale[k]^2 * crossprod(J)
  }
  inverse <- inverse_of(curvature)
  if (is.null(inverse)) {
    warn("The data do not determine all parameters: no change of the solution tells some of them apart.")
    return(all)
  }
  all[free, free] <- (inverse %*% spread %*% inverse)[seq_len(sum(free)), seq_len(sum(free))]
  all
}

# How the solution at the rows of the data changes with each parameter, and with each estimated start of a trajectory:
# (rows, states, parameters), by central differences.
solution_slopes <- function(object) {
  positive <- object$states[object$model$positive]
  at <- function(object) as.matrix(transformed(predict(object, rtol = 1e-9, atol = 1e-9), positive)[object$states])
  weights <- object$weights
  by_parameter <- lapply(seq_along(object$theta), function(i) {
    size <- weights$parameters_of_known.size[i]
    if (size == 0) return(0 * as.matrix(object$fitted[object$states]))
    moved <- function(by) {
      object$weights$parameters_of_known.moved[i] <- weights$parameters_of_known.moved[i] + by
      at(object)
    }
    (moved(1e-4) - moved(-1e-4)) / (2e-4 * size)
  })
  by_start <- if (object$estimated_starts) {
    unlist(lapply(seq_along(object$states), function(j) {
      name <- object$states[j]
      step <- 1e-4 * object$model$scale[j]
      moved <- function(by) {
        states <- matrix(object$first$states, length(object$first$series))
        states[, j] <- if (object$model$positive[j]) states[, j] * exp(by) else states[, j] + by
        object$first$states <- states
        at(object)
      }
      slope <- (moved(step) - moved(-step)) / (2 * step)
      lapply(object$first$series + 1, function(series) slope * (object$data$.series == series))
    }), recursive = FALSE)
  }
  parts <- c(by_parameter, by_start)
  array(unlist(parts), c(dim(parts[[1]]), length(parts)))
}

#' @rdname predict.nk_fit
#' @param parm which parameters.
#' @export
confint.nk_fit <- function(object, parm = names(object$theta), level = 0.95, ...) {
  refuse_arguments(c("parm", "level"), ...)
  if (is.numeric(parm)) parm <- names(object$theta)[parm]
  check_names(parm, names(object$theta), "parm")
  intervals(object$theta, sqrt(diag(searched_vcov_of_fit(object))), object$model$known$scale, level)[parm, , drop = FALSE]
}

# Intervals that are symmetric on the scale that was searched.
intervals <- function(theta, errors, scale, level, count = stats::qnorm((1 + as_level(level)) / 2)) {
  ends <- cbind(theta - count * errors, theta + count * errors)
  ends[scale$on_log, ] <- exp(ends[scale$on_log, ])
  dimnames(ends) <- list(names(theta), percent_names(level))
  ends
}

percent_names <- function(level) {
  paste(format(100 * c((1 - level) / 2, (1 + level) / 2), trim = TRUE, digits = 3), "%")
}

#' @rdname predict.nk_fit
#' @param nsim how many data sets to draw, of the model's solution with noise.
#' @param seed a seed; `NULL`: R's generator as it is.
#' @export
simulate.nk_fit <- function(object, nsim = 1, seed = NULL, ...) {
  refuse_arguments(c("nsim", "seed"), ...)
  noise <- noise_of_fit(object)
  exact <- if (object$estimated_starts) rep(FALSE, nrow(object$data)) else is_start(object)
  with_seed(seed, lapply(seq_len(nsim), function(i) {
    drawn <- object$data[setdiff(names(object$data), ".series")]
    for (k in seq_along(object$states)) {
      name <- object$states[k]
      e <- stats::rnorm(nrow(drawn), sd = noise[k])
      new <- if (object$model$positive[k]) object$fitted[[name]] * exp(e) else object$fitted[[name]] + e
      drawn[[name]] <- ifelse(is.na(drawn[[name]]), NA, ifelse(exact, drawn[[name]], new))
    }
    drawn
  }))
}

#' @rdname predict.nk_fit
#' @exportS3Method generics::augment
augment.nk_fit <- function(x, ...) {
  refuse_arguments(NULL, ...)
  augmented(x$data[setdiff(names(x$data), ".series")], fitted(x), x$states)
}

augmented <- function(data, fitted, observed) {
  suffix <- if (length(observed) == 1) "" else paste0("_", observed)
  data[paste0(".fitted", suffix)] <- unclass(fitted)[observed]
  data[paste0(".resid", suffix)] <- Map(`-`, unclass(data)[observed], unclass(fitted)[observed])
  data
}

#' The parts of a learnt equation
#'
#' What the known part and the network each give to the slopes of the states, for seeing what was learnt.
#' @param object what [nk_fit()] returned.
#' @param newdata a data frame with the states, and the id and the time where they matter; by default the fitted states at
#'   the rows of the data.
#' @return A data frame: id, time, the states, and for each state `known_x` and `learnt_x`, in units of the state by time.
#' @examples
#' if (nk_available()) {
#'   data <- data.frame(time = seq(0, 4, 0.25))
#'   data$x <- exp(0.5 * data$time)
#'   fit <- nk_fit(data, known = function(t, y, parms) list(0.3 * y), layers = 4, epochs = 20, seed = 1, progress = FALSE)
#'   head(nk_terms(fit))
#' }
#' @export
nk_terms <- function(object, newdata = fitted(object)) {
  if (!inherits(object, "nk_fit")) {
    abort("type_error", "'object' is of class '", class(object)[1], "'.", remedy = "Give what nk_fit() returned.")
  }
  needed <- c(object$states, if (!is.null(object$model$clock) || !is.null(object$model$known)) object$time,
    if (!is.null(object$spec$covariates)) object$id)
  absent <- setdiff(needed, names(newdata))
  if (length(absent)) abort("value_error", "'newdata' has no column '", absent[1], "'.", remedy = "Give it.")
  times <- if (object$time %in% names(newdata)) newdata[[object$time]] else rep(0, nrow(newdata))
  series <- if (is.null(object$spec$covariates)) rep(1L, nrow(newdata)) else if (!length(object$id)) {
    rep(1L, nrow(newdata))
  } else {
    object$data$.series[match_ids(newdata[[object$id]], object$data[[object$id]])]
  }
  if (anyNA(series)) {
    abort("value_error", "'newdata' has a trajectory that is not in the data.", remedy = "Its covariates are not known.")
  }
  dynamics <- build_dynamics(object$model, object$weights)
  outside <- if (!is.null(object$spec$covariates)) in_python(object$outside)
  found <- newdata[intersect(c(object$id, object$time, object$states), names(newdata))]
  for (part in c("known", "learnt")) found[paste0(part, "_", object$states)] <- 0
  for (which in unique(series)) {
    rows <- series == which
    states <- as.matrix(newdata[rows, object$states, drop = FALSE])
    parts <- from_python(bridge()$slopes, dynamics, array(as.double(times[rows])), unname(states), outside, which - 1L)
    for (part in c("known", "learnt")) {
      if (is.null(parts[[part]])) next
      found[rows, paste0(part, "_", object$states)] <- matrix(parts[[part]], sum(rows))
    }
  }
  found
}
