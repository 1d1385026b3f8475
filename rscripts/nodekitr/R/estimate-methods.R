# What one does with estimates: their errors, the likelihood, predictions.

#' @export
print.nk_estimate <- function(x, ...) {
  refuse_arguments(NULL, ...)
  cat("Parameters of a differential equation, from ", nobs(x), " observed values of ", length(x$pieces), " ",
    if (length(x$pieces) == 1) "trajectory" else "trajectories", "\n\n", sep = "")
  print(summary(x)$coefficients, digits = 4)
  cat("\nlog likelihood ", format(as.double(stats::logLik(x)), digits = 6), ", AIC ", format(stats::AIC(x), digits = 6),
    "\n", sep = "")
  invisible(x)
}

#' @export
summary.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  interval <- stats::confint(object)
  structure(
    list(
      estimate = object, sigma = sigma(object),
      coefficients = cbind(estimate = coef(object), std.error = sqrt(diag(stats::vcov(object))), interval)
    ),
    class = "summary.nk_estimate"
  )
}

#' @export
print.summary.nk_estimate <- function(x, ...) {
  refuse_arguments(NULL, ...)
  print(x$estimate)
  cat("standard deviation of the noise: ",
    paste(names(x$sigma), format(x$sigma, digits = 3), collapse = ", "), ", on ", df.residual(x$estimate),
    " degrees of freedom\n", sep = "")
  invisible(x)
}

searched <- function(object) seq_along(object$scale$start)

# Which parameters are within their bounds: those at one are taken as given.
within_bounds <- function(object) {
  par <- object$par[searched(object)]
  par > object$scale$lower & par < object$scale$upper
}

count_values <- function(object) Reduce(`+`, lapply(object$pieces, function(piece) colSums(!is.na(piece$values))))

# Maximum likelihood divides squares by the number of observed values, which is too much: the solution has come towards
# the data as far as its parameters let it. As for lm() and nls(), the degrees of freedom are counted instead. Of several
# columns each has fewer by its part of what determines the parameters.
#
# curvatures: a matrix for each column; inverse: of their sum, or NULL; counts: the values of each column.
degrees_of_freedom <- function(curvatures, inverse, counts) {
  parameters <- nrow(curvatures[[1]])
  spent <- if (is.null(inverse)) parameters * counts / sum(counts) else
    vapply(curvatures, function(part) sum(inverse * part), 1)
  none_below(counts - spent)
}

# Less than a tenth of a degree of freedom is none, but for rounding.
none_below <- function(df) ifelse(df < 0.1, NA_real_, df)

# The covariances of estimates, and the degrees of freedom of the error of each. What each column gives to the variance,
# `spreads`, is known as well as its noise is, `df`; of the sum Satterthwaite's approximation.
joined_errors <- function(inverse, spreads, df) {
  parts <- lapply(spreads, function(spread) inverse %*% spread %*% inverse)
  covariance <- Reduce(`+`, parts)
  each <- Map(function(part, df) (diag(part) / diag(covariance))^2 / df, parts, df)
  list(covariance = covariance, df = 1 / Reduce(`+`, each))
}

# How many standard errors an interval reaches: by the t distribution, as the noise is estimated, too.
errors_within <- function(level, df) stats::qt((1 + as_level(level)) / 2, none_below(df))

#' @export
coef.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  object$scale$natural(object$par[searched(object)])
}

#' @export
df.residual.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  nobs(object) - sum(within_bounds(object))
}

# Of each observed column.
#' @export
sigma.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  free <- within_bounds(object)
  curvatures <- lapply(object$curvatures, function(part) part[free, free, drop = FALSE])
  counts <- count_values(object)
  df <- degrees_of_freedom(curvatures, inverse_of(Reduce(`+`, curvatures)), counts)
  stats::setNames(exp(object$par[-searched(object)]) * sqrt(counts / df), object$observed)
}

# On the scale of the parameters; those at a bound have no error.
#' @export
vcov.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  slope <- ifelse(object$scale$on_log, coef(object), 1)
  outer(slope, slope) * searched_errors(object)$covariance
}

# On the scale that was searched: covariances, the degrees of freedom of each error, and of the likelihood's curvature
# alone the errors.
searched_errors <- function(object) {
  free <- within_bounds(object)
  names <- names(object$scale$start)
  none <- stats::setNames(rep(NA_real_, length(names)), names)
  found <- list(covariance = outer(none, none), df = none, unscaled = none)
  if (!any(free)) return(found)
  curvatures <- lapply(object$curvatures, function(part) part[free, free, drop = FALSE])
  inverse <- inverse_of(Reduce(`+`, curvatures))
  if (is.null(inverse)) {
    warn("The data do not determine all parameters, or the model goes through them: the second derivatives of the ",
      "likelihood have no inverse.")
    return(found)
  }
  counts <- count_values(object)
  df <- degrees_of_freedom(curvatures, inverse, counts)
  joined <- joined_errors(inverse, Map(`*`, curvatures, counts / df), df)
  found$covariance[free, free] <- joined$covariance
  found$df[free] <- joined$df
  found$unscaled[free] <- sqrt(diag(inverse))
  found
}

# The inverse of a curvature, whatever the units of the parameters; NULL where it is not that of a minimum.
inverse_of <- function(curvature) {
  size <- sqrt(pmax(diag(curvature), 0))
  inverse <- tryCatch(solve(curvature / outer(size, size)), error = function(e) NULL)
  if (is.null(inverse) || anyNA(inverse) || any(diag(inverse) <= 0)) NULL else inverse / outer(size, size)
}

#' @export
logLik.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  structure(-object$value, df = length(object$par), nobs = nobs(object), class = "logLik")
}

#' @export
nobs.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  sum(vapply(object$pieces, function(piece) sum(!is.na(piece$values)), 1))
}

#' Use estimated parameters
#'
#' `plot` draws the data as points and the solution as lines.
#' @param object what [nk_estimate()] returned.
#' @param times the times to predict at, for each trajectory from its start; `NULL`: those of the data.
#' @param nsim how many data sets to draw.
#' @param seed a seed; `NULL`: R's generator as it is.
#' @param ... for `plot`, handed to `plot.default`; else nothing may be given.
#' @return `predict`: a data frame with the columns id, time, and those of the solution. `simulate`: a list of data frames
#'   like the data, of the solution with noise, whose standard deviation is `sigma()`; where a trajectory starts exactly,
#'   there is none.
#' @examples
#' # see nk_estimate()
#' @export
predict.nk_estimate <- function(object, times = NULL, ...) {
  refuse_arguments("times", ...)
  parms <- object$scale$form(object$par[searched(object)])
  frames <- lapply(object$pieces, function(piece) {
    at <- if (is.null(times)) piece$times else as_numbers(times, "times")
    if (min(at) < piece$times[1]) {
      abort("value_error", "The time ", min(at), " is before the start of its trajectory at ", piece$times[1], ".",
        remedy = "Ask for later times."
      )
    }
    grid <- sort(unique(c(piece$times[1], at)))
    out <- solved_piece(piece, object$func, parms, object$further, grid)
    values <- as.data.frame(unclass_ode(out))[match(at, grid), -1, drop = FALSE]
    ids <- object$data[[object$id[1] %||% object$time]][match(piece$series, object$data$.series)]
    frame <- cbind(stats::setNames(data.frame(at), object$time), values)
    if (length(object$id)) cbind(stats::setNames(data.frame(rep(ids, length(at))), object$id), frame) else frame
  })
  found <- do.call(rbind, unname(frames))
  rownames(found) <- NULL
  if (is.null(times)) { # the rows of the data, as they are there
    sorted <- order(object$data$.series, object$data[[object$time]])
    found <- found[order(sorted), ]
    attr(found, "row.names") <- attr(object$data, "row.names")
    found[[object$time]] <- object$data[[object$time]]
  }
  found
}

# The solution along each trajectory, 200 rows each.
lines_of_estimate <- function(object, until) {
  do.call(rbind, lapply(object$pieces, function(piece) {
    object$pieces <- list(piece)
    stats::predict(object, times = seq(piece$times[1], max(until, piece$times), length.out = 200))
  }))
}

#' @rdname predict.nk_estimate
#' @param x what [nk_estimate()] returned.
#' @param until the last time to draw the solution at.
#' @export
plot.nk_estimate <- function(x, until = max(x$data[[x$time]]), ...) {
  refuse_plot_arguments("until", ...)
  plot_trajectories(x$data, lines_of_estimate(x, until), x$time, x$observed, until, ...)
  invisible(x)
}

#' @export
fitted.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  stats::predict(object)[c(object$id, object$time, object$observed)]
}

#' @export
residuals.nk_estimate <- function(object, ...) {
  refuse_arguments(NULL, ...)
  found <- fitted(object)
  found[object$observed] <- object$data[object$observed] - found[object$observed]
  found
}

#' @rdname predict.nk_estimate
#' @export
simulate.nk_estimate <- function(object, nsim = 1, seed = NULL, ...) {
  refuse_arguments(c("nsim", "seed"), ...)
  mean <- fitted(object)
  with_noise <- !is.na(do.call(rbind, lapply(object$pieces, `[[`, "values"))) # not so where a start is taken as exact
  noise <- sigma(object)
  with_noise <- with_noise[order(order(object$data$.series, object$data[[object$time]])), , drop = FALSE]
  with_seed(seed, lapply(seq_len(nsim), function(i) {
    drawn <- mean
    for (k in seq_along(object$observed)) {
      name <- object$observed[k]
      errors <- with_noise[, k] * stats::rnorm(nrow(mean), sd = noise[k])
      drawn[[name]] <- ifelse(is.na(object$data[[name]]), NA, drawn[[name]] + errors)
    }
    drawn
  }))
}

#' @exportS3Method generics::tidy
tidy.nk_estimate <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  refuse_arguments(c("conf.int", "conf.level"), ...)
  found <- data.frame(term = names(coef(x)), estimate = unname(coef(x)), std.error = unname(sqrt(diag(stats::vcov(x)))))
  if (!conf.int) return(found)
  interval <- stats::confint(x, level = conf.level)
  cbind(found, conf.low = unname(interval[, 1]), conf.high = unname(interval[, 2]))
}

#' @exportS3Method generics::glance
glance.nk_estimate <- function(x, ...) {
  refuse_arguments(NULL, ...)
  data.frame(
    logLik = as.double(stats::logLik(x)), AIC = stats::AIC(x), BIC = stats::BIC(x), nobs = nobs(x),
    df.residual = df.residual(x), parameters = length(coef(x)), trajectories = length(x$pieces),
    converged = x$convergence$convergence == 0
  )
}

#' @exportS3Method generics::augment
augment.nk_estimate <- function(x, ...) {
  refuse_arguments(NULL, ...)
  augmented(x$data[setdiff(names(x$data), ".series")], fitted(x), x$observed)
}
