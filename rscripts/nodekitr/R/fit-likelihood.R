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

# Which residuals tell of the noise: a matrix (rows, states).
counted_residuals <- function(object) !is.na(noise_residuals(object)) & row_weights(object) > 0

# How many numbers were fitted beside the weights of a network.
count_fitted <- function(object) (if (length(object$theta)) sum(free_in_fit(object)) else 0) + length(object$first$states)

# Of each state the degrees of freedom of its noise. Beside a network, and where a single state has them all, nothing
# need be known of what determines the parameters.
noise_df <- function(object, curvatures = NULL) {
  counts <- colSums(counted_residuals(object))
  if (is.null(curvatures) && length(counts) > 1 && !has_network(object) && !is.null(object$theta)) {
    curvatures <- curvatures_of_fit(object, solution_slopes(object))
  }
  if (is.null(curvatures)) return(none_below(counts - count_fitted(object) * counts / sum(counts)))
  degrees_of_freedom(curvatures, inverse_of(Reduce(`+`, curvatures)), counts)
}

#' @rdname predict.nk_fit
#' @export
sigma.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  sigma_with(object, noise_df(object))
}

sigma_with <- function(object, df) {
  counted <- counted_residuals(object)
  squares <- colSums(ifelse(counted, row_weights(object) * noise_residuals(object)^2, 0))
  stats::setNames(sqrt(squares / df), object$states)
}

#' @rdname predict.nk_fit
#' @export
df.residual.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  if (has_network(object)) NA_integer_ else sum(counted_residuals(object)) - count_fitted(object)
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
  half <- noise_within(object, level)
  with_bounds(object, frame, matrix(half, nrow(frame), length(half), byrow = TRUE))
}

# How far the noise of each state goes; the degrees of freedom beside a network are not known.
noise_within <- function(object, level) {
  df <- noise_df(object)
  errors_within(level, if (has_network(object)) Inf else df) * sigma_with(object, df)
}

# A prediction with bounds that are `half` (rows, states) below and above it.
with_bounds <- function(object, frame, half) {
  for (k in seq_along(object$states)) {
    name <- object$states[k]
    both <- cbind(-half[, k], half[, k])
    ends <- if (object$model$positive[k]) frame[[name]] * exp(both) else frame[[name]] + both
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
#' @details The noise is normal (log-normal for positive states), its variance `sigma()` squared, divided by the weight of
#'   the row as in [stats::lm()]: multiplying all weights by a number changes `sigma()`, but no error of a parameter. It
#'   counts the degrees of freedom of the parameters and of estimated starts, but not those of a network, which nobody
#'   knows: `df.residual` is `NA` with one. Bounds of `predict()` are for a row of weight 1, by the t distribution, with a
#'   network by the normal one; they hold the noise alone: see [nk_ensemble()] for how much that leaves out.
#'
#'   `logLik` takes the residuals of whole trajectories, with the noise that makes them likeliest; all weights of the
#'   network count as parameters, though a network that stopped early has fewer in effect: compare by validation rather
#'   than by AIC. `vcov` and `confint` are for fits without a network of whole trajectories; for others see
#'   [nk_ensemble()]. Beside a network the curvature of the loss does not determine a parameter: what it does, the
#'   weights can do nearly as well, and its error would be whatever the cut-off for "nearly" makes it. They are
#'   computed from how the solution changes with the parameters, which must be at their optimum: train until the loss
#'   no longer falls.
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
  outer(slope, slope) * searched_errors_of_fit(object)$covariance
}

# On the scale that was searched, covariances and the degrees of freedom of each error: of the estimate that minimises the
# loss, with the noise that the residuals show.
searched_errors_of_fit <- function(object) {
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
  free <- free_in_fit(object)
  none <- stats::setNames(rep(NA_real_, length(free)), names(object$theta))
  found <- list(covariance = outer(none, none), df = none)
  if (!any(free)) return(found)
  curvatures <- curvatures_of_fit(object, solution_slopes(object))
  inverse <- inverse_of(Reduce(`+`, curvatures))
  if (is.null(inverse)) {
    warn("The data do not determine all parameters: no change of the solution tells some of them apart.")
    return(found)
  }
  df <- noise_df(object, curvatures)
  joined <- joined_errors(inverse, Map(`*`, curvatures, (sigma_with(object, df) / object$model$scale)^2), df)
  found$covariance[free, free] <- joined$covariance[seq_len(sum(free)), seq_len(sum(free))]
  found$df[free] <- joined$df[seq_len(sum(free))]
  found
}

free_in_fit <- function(object) {
  scale <- object$model$known$scale
  !object$model$known$fixed & object$theta > scale$lower & object$theta < scale$upper
}

# Half the second derivatives of what each state gives to the loss, without those of the solution itself (Gauss and
# Newton), by the free parameters and the estimated starts.
curvatures_of_fit <- function(object, slopes) {
  kept <- c(free_in_fit(object), rep(TRUE, dim(slopes)[3] - length(object$theta)))
  weights <- row_weights(object, trained = TRUE)
  residuals <- noise_residuals(object)
  lapply(seq_along(object$states), function(k) {
    used <- !is.na(residuals[, k]) & weights > 0
    crossprod(matrix(slopes[used, k, kept], sum(used)) * sqrt(weights[used]) / object$model$scale[k])
  })
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
  errors <- searched_errors_of_fit(object)
  half <- errors_within(level, errors$df) * sqrt(diag(errors$covariance))
  intervals(object$theta, half, object$model$known$scale, level)[parm, , drop = FALSE]
}

# Intervals that are symmetric on the scale that was searched.
intervals <- function(theta, half, scale, level) {
  ends <- cbind(theta - half, theta + half)
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
  with_seed(seed, lapply(seq_len(nsim), function(i) drawn_data(object, sigma(object))))
}

# Data drawn from the solution with noise of the standard deviations `noise`, where the weight is 1; none where it is 0.
drawn_data <- function(object, noise) {
  exact <- if (object$estimated_starts) rep(FALSE, nrow(object$data)) else is_start(object)
  spread <- 1 / sqrt(row_weights(object))
  spread[spread == Inf] <- NA
  drawn <- object$data[setdiff(names(object$data), ".series")]
  for (k in seq_along(object$states)) {
    name <- object$states[k]
    e <- stats::rnorm(nrow(drawn)) * noise[k] * spread
    new <- if (object$model$positive[k]) object$fitted[[name]] * exp(e) else object$fitted[[name]] + e
    drawn[[name]] <- ifelse(is.na(drawn[[name]]), NA, ifelse(exact, drawn[[name]], new))
  }
  drawn
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
