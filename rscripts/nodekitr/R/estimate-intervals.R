# Intervals of estimates: by their errors, by the profile of the likelihood, by estimates from data drawn anew.

#' Confidence intervals of estimates
#'
#' @param object what [nk_estimate()] returned.
#' @param parm names or places of parameters.
#' @param level of the intervals.
#' @param method `"wald"`: symmetric on the scale that was searched, by the t distribution, from the standard errors.
#'   `"profile"`: where the logarithm of the likelihood, maximised over all other parameters, falls by as much as it does
#'   at the ends of the t interval of a linear model, `n / 2 * log(1 + t^2 / df)` of `n` values, for many values
#'   `qchisq(level, 1) / 2`; with one observed column that is the interval of [stats::nls()]. `-Inf` or `Inf` where it
#'   does not fall so far within the bounds. `"bootstrap"`: quantiles of the estimates from data drawn by `simulate()`,
#'   as far out as those of the t distribution are on the normal one (the expanded percentiles of Hesterberg, 2015). The
#'   last two estimate many times: the profile about twenty times for each parameter, the bootstrap `nsim` times.
#' @param nsim,seed how many data sets the bootstrap draws, and a seed for them.
#' @param ... nothing may be given.
#' @return A matrix, one row a parameter.
#' @examples
#' # see nk_estimate()
#' @export
confint.nk_estimate <- function(object, parm = names(coef(object)), level = 0.95,
                                method = c("wald", "profile", "bootstrap"), nsim = 100, seed = NULL, ...) {
  refuse_arguments(c("parm", "level", "method", "nsim", "seed"), ...)
  method <- match.arg(method)
  if (is.numeric(parm)) parm <- names(coef(object))[parm]
  check_names(parm, names(coef(object)), "parm")
  if (method == "wald") {
    theta <- object$par[searched(object)]
    errors <- searched_errors(object)
    half <- errors_within(level, errors$df) * sqrt(diag(errors$covariance))
    return(intervals(theta, half, object$scale, level)[parm, , drop = FALSE])
  }
  if (method == "bootstrap") return(bootstrap_intervals(object, parm, as_level(level), nsim, seed))
  ends <- t(vapply(match(parm, names(coef(object))), function(i) profile_ends(object, i, as_level(level)), numeric(2)))
  ends[object$scale$on_log[match(parm, names(coef(object)))], ] <-
    exp(ends[object$scale$on_log[match(parm, names(coef(object)))], ])
  dimnames(ends) <- list(parm, percent_names(level))
  ends
}

# Both ends of the profile interval of one parameter, on the scale that was searched.
profile_ends <- function(object, i, level) {
  likelihood <- likelihood_of(object$pieces, object$func, object$scale, object$observed, object$further)
  bounds <- list(lower = c(object$scale$lower, rep(-25, length(object$observed))),
    upper = c(object$scale$upper, rep(Inf, length(object$observed))))
  errors <- searched_errors(object)
  error <- sqrt(diag(errors$covariance))[i]
  # At a bound there is no error to go by.
  half <- if (within_bounds(object)[i]) errors_within(level, errors$df[i]) * error / errors$unscaled[i] else
    errors_within(level, df.residual(object)) * sqrt(nobs(object) / df.residual(object))
  if (is.na(half)) return(c(NA_real_, NA_real_))
  drop <- nobs(object) / 2 * log1p(half^2 / nobs(object))
  if (is.na(error)) error <- max(abs(object$par[i]), 1) / 10
  others <- object$par[-i]
  excess <- function(value) { # of the profile over what it may be
    whole <- function(par) append(par, value, i - 1)
    found <- stats::nlminb(others, function(par) likelihood$fn(whole(par)), function(par) likelihood$gr(whole(par))[-i],
      scale = 1 / search_sizes(object$par, object$scale)[-i], lower = bounds$lower[-i], upper = bounds$upper[-i],
      control = list(rel.tol = 1e-8)
    )
    if (is.finite(found$objective)) others <<- found$par
    min(found$objective, 1e10) - object$value - drop
  }
  vapply(c(-1, 1), function(side) {
    others <<- object$par[-i]
    inner <- object$par[i]
    at_inner <- -drop
    for (reach in c(2, 4, 8, 16, 32)) {
      outer <- inner + side * reach * error
      limit <- if (side < 0) bounds$lower[i] else bounds$upper[i]
      outer <- if (side < 0) max(outer, limit) else min(outer, limit)
      at_outer <- excess(outer)
      if (at_outer > 0) {
        return(stats::uniroot(excess, sort(c(inner, outer)), tol = 0.01 * error,
          f.lower = if (side < 0) at_outer else at_inner, f.upper = if (side < 0) at_inner else at_outer)$root)
      }
      if (outer == limit) break
      inner <- outer
      at_inner <- at_outer
    }
    side * Inf
  }, numeric(1))
}

bootstrap_intervals <- function(object, parm, level, nsim, seed) {
  drawn <- stats::simulate(object, as_count(nsim, "nsim"), seed)
  found <- lapply(drawn, function(data) tryCatch(coef(estimate_anew(object, data)), nodekit_solve_failed = function(e) NULL))
  found <- do.call(rbind, found)
  if (nrow(found) < nsim) warn(nsim - nrow(found), " of ", nsim, " data sets could not be fitted; they are left out.")
  df <- searched_errors(object)$df[match(parm, names(coef(object)))]
  reach <- errors_within(level, ifelse(is.na(df), df.residual(object), df))
  ends <- t(mapply(function(name, reach) {
    if (is.na(reach)) return(c(NA_real_, NA_real_))
    # Between the kth and the lth of n estimates lie (l - k) / (n + 1) of all, which type 6 accounts for.
    stats::quantile(found[, name], stats::pnorm(c(-reach, reach)), type = 6)
  }, parm, reach))
  dimnames(ends) <- list(parm, percent_names(level))
  ends
}

# The estimates from other data of the same rows, starting at those of the object.
estimate_anew <- function(object, data) {
  rows <- object$data
  rows[object$observed] <- data[object$observed]
  sorted <- in_order(rows, object$time)
  pieces <- Map(function(piece, new) {
    values <- as.matrix(new[object$observed])
    values[is.na(piece$values)] <- NA # where it was not observed, or starts exactly
    piece$values <- values
    piece
  }, object$pieces, split(sorted, sorted$.series))
  likelihood <- likelihood_of(pieces, object$func, object$scale, object$observed, object$further)
  object$par <- minimised(likelihood, object$par, object$scale)$par
  object
}
