# Several fits of one model: how far it may be wrong.

#' Fit a model several times
#'
#' Networks that start from other weights learn other equations where the data do not tell: between and beyond them. With
#' `resample`, each is fitted to data drawn anew from the model with its noise (a parametric bootstrap), so that their
#' differences hold the error of the data, too.
#'
#' # What the intervals hold
#' They are approximate, and beyond the data too narrow. `tests/r/coverage.R network` of nodekit's source measures it:
#' logistic growth, 17 values until the time 4 with noise of 0.15, a network of 8 units, five members, 22 repetitions. Of
#' new observations a 95 % interval for a prediction held, in per cent, with the error of the simulation:
#'
#' | | until 4 | from 4 to 6 | from 6 to 8 |
#' |---|---|---|---|
#' | a single fit | 92 (1) | 36 (5) | 7 (5) |
#' | members from other weights | 93 (1) | 65 (6) | 60 (9) |
#' | members from other data, `resample = TRUE` | 94 (1) | 82 (5) | 79 (8) |
#'
#' Where there are no data all members may err alike, which no spread of theirs shows. A single fit, and members from
#' other weights, do not know the error that comes from the noise of the data: 95 % intervals of confidence, for the
#' solution itself, held it within the observed times in 40 (4) % of cases with other weights, in 86 (4) % with `resample`.
#' @param object what [nk_fit()] returned.
#' @param members how many fits.
#' @param resample whether to fit each to data drawn from the model; otherwise all are fitted to the data.
#' @param seed for the members' seeds and the data; `NULL`: R's generator as it is.
#' @param progress whether to say which member is being fitted.
#' @return An object of class `nk_ensemble` for `predict`, `confint`, `coef`, `simulate` and `autoplot`; its `members` are
#'   fits.
#' @examples
#' if (nk_available()) {
#'   data <- data.frame(time = 0:5, x = exp(-(0:5)) + 0.01 * sin(1:6))
#'   fit <- nk_fit(data, layers = 4, epochs = 20, learning_rate = 0.05, seed = 1, progress = FALSE)
#'   several <- nk_ensemble(fit, members = 3, seed = 1, progress = FALSE)
#'   predict(several, times = c(2, 8), interval = "confidence")
#' }
#' @export
nk_ensemble <- function(object, members = 5, resample = FALSE, seed = NULL,
                        progress = getOption("nodekitr.progress", TRUE)) {
  if (!inherits(object, "nk_fit")) {
    abort("type_error", "'object' is of class '", class(object)[1], "'.", remedy = "Give what nk_fit() returned.")
  }
  members <- as_count(members, "members")
  if (members < 2) abort("value_error", "'members' is ", members, ".", remedy = "Give 2 at least.")
  if (!resample && !has_network(object)) {
    abort("value_error", "Without a network all fits to the same data are the same.", remedy = "Take resample = TRUE.")
  }
  with_seed(seed, {
    seeds <- sample.int(.Machine$integer.max, members)
    data <- if (resample) stats::simulate(object, members)
  })
  fits <- lapply(seq_len(members), function(i) {
    if (progress) message("member ", i, " of ", members)
    anew <- object
    if (resample) anew$data[object$states] <- data[[i]][object$states]
    anew[c("weights", "history", "starts", "first")] <- NULL
    anew$model$seed <- seeds[i]
    trained(anew, object$training$epochs, object$training$learning_rate, seeds[i], FALSE)
  })
  structure(list(object = object, members = fits, resample = resample), class = "nk_ensemble")
}

#' @rdname nk_ensemble
#' @param x,... for `print`; `...` of `predict`: further arguments of [predict.nk_fit()].
#' @export
print.nk_ensemble <- function(x, ...) {
  refuse_arguments(NULL, ...)
  cat(length(x$members), " fits", if (x$resample) " to data drawn from the model" else " from other weights", " of\n", sep = "")
  print(x$object)
  invisible(x)
}

#' @rdname nk_ensemble
#' @param newdata,times,y as in [predict.nk_fit()].
#' @param interval `"confidence"`: bounds for the solution, from the spread of the members, by the t distribution of as
#'   many; `"prediction"`: for a new observation, the squares of half that width and of the noise's being added. As
#'   columns `x.lower` and `x.upper`, beside the mean of the members.
#' @param level of the interval.
#' @export
predict.nk_ensemble <- function(object, newdata = NULL, times = NULL, y = NULL,
                                interval = c("none", "confidence", "prediction"), level = 0.95, ...) {
  interval <- match.arg(interval)
  states <- object$object$states
  positive <- states[object$object$model$positive]
  each <- lapply(object$members, predict, newdata = newdata, times = times, y = y, ...)
  values <- simplify2array(lapply(each, function(one) as.matrix(transformed(one, positive)[states])))
  frame <- each[[1]]
  mean <- apply(values, 1:2, mean)
  frame[states] <- lapply(stats::setNames(seq_along(states), states), function(k) {
    if (states[k] %in% positive) exp(mean[, k]) else mean[, k]
  })
  if (interval == "none") return(frame)
  count <- length(object$members)
  # Of another member about their mean, whose own error is the last part.
  half <- errors_within(level, count - 1) * apply(values, 1:2, stats::sd) * sqrt(1 + 1 / count)
  if (interval == "prediction") {
    # Members are few, residuals many: each part reaches by its own degrees of freedom, and half widths add as errors do.
    half <- sqrt(half^2 + matrix(noise_within(object$object, level)^2, nrow(half), length(states), byrow = TRUE))
  }
  with_bounds(object$object, frame, half)
}

#' @rdname nk_ensemble
#' @export
coef.nk_ensemble <- function(object, ...) {
  refuse_arguments(NULL, ...)
  do.call(rbind, lapply(object$members, coef, weights = FALSE))
}

#' @rdname nk_ensemble
#' @param parm which parameters of the known part.
#' @export
confint.nk_ensemble <- function(object, parm = names(object$object$theta), level = 0.95, ...) {
  refuse_arguments(c("parm", "level"), ...)
  theta <- object$object$theta
  if (is.null(theta)) abort("value_error", "The model has no parameters.", remedy = "See predict().")
  if (is.numeric(parm)) parm <- names(theta)[parm]
  check_names(parm, names(theta), "parm")
  errors <- apply(do.call(rbind, lapply(object$members, `[[`, "theta")), 2, stats::sd)
  errors[as.logical(object$object$model$known$fixed)] <- NA # nobody fitted them
  half <- errors_within(level, length(object$members) - 1) * errors
  intervals(theta, half, object$object$model$known$scale, level)[parm, , drop = FALSE]
}

#' @rdname nk_ensemble
#' @param nsim how many data sets to draw, each from a member.
#' @export
simulate.nk_ensemble <- function(object, nsim = 1, seed = NULL, ...) {
  refuse_arguments(c("nsim", "seed"), ...)
  # With the noise that the data show: of a member whose data were drawn the residuals are smaller than these.
  with_seed(seed, lapply(seq_len(nsim), function(i) {
    drawn_data(object$members[[sample.int(length(object$members), 1)]], sigma(object$object))
  }))
}
