# How sure one may be: likelihood, intervals, data drawn anew, several fits.

growth_data <- function(noise = 0.05) {
  set.seed(1)
  time <- seq(0, 6, by = 0.5)
  data.frame(time, size = 3 / (1 + 29 * exp(-0.9 * time)) + c(0, rnorm(12, sd = noise)))
}
some_fit <- local({
  fit <- NULL
  function() {
    if (is.null(fit)) {
      fit <<- nk_fit(growth_data(), layers = 8, epochs = 80, learning_rate = 0.05, seed = 1, progress = FALSE)
    }
    fit
  }
})

test_that("the likelihood is that of the residuals, where a trajectory starts exactly left out", {
  needs_python()
  fit <- some_fit()
  e <- residuals(fit)$size[-1]
  expect_equal(as.double(logLik(fit)), sum(dnorm(e, sd = sqrt(mean(e^2)), log = TRUE)))
  expect_equal(attr(logLik(fit), "df"), length(coef(fit)) + 1)
  expect_equal(AIC(fit), 2 * (length(coef(fit)) + 1) - 2 * as.double(logLik(fit)))
  bounds <- predict(fit, times = 0:9, interval = "prediction", level = 0.9)
  expect_equal(bounds$size.upper - bounds$size, rep(qnorm(0.95) * sqrt(mean(e^2)), 10))
  expect_error(predict(fit, interval = "prediction", level = 2), "between 0 and 1", class = "nodekit_value_error")
  expect_equal(summary(fit)$states$rmse, sqrt(mean(e^2)))
  expect_equal(summary(fit)$states$r_squared, 1 - sum(e^2) / (11 * var(growth_data()$size[-1])))
  expect_equal(glance.nk_fit(fit)$rmse, sqrt(mean(e^2)))
  expect_error(vcov(fit), "no parameters", class = "nodekit_value_error")
})

test_that("data drawn anew have the fitted values with the noise of the residuals", {
  needs_python()
  fit <- some_fit()
  drawn <- simulate(fit, 200, seed = 1)
  values <- sapply(drawn, function(one) one$size)
  expect_identical(names(drawn[[1]]), c("time", "size"))
  expect_identical(unique(values[1, ]), fit$data$size[1])
  expect_equal(apply(values[-1, ], 1, sd), rep(sqrt(mean(residuals(fit)$size[-1]^2)), 12), tolerance = 0.2)
  expect_equal(rowMeans(values), fitted(fit)$size, tolerance = 0.01)
  expect_identical(simulate(fit, seed = 3), simulate(fit, seed = 3))
  set.seed(5)
  expected <- runif(1)
  set.seed(5)
  simulate(fit, seed = 3)
  expect_identical(runif(1), expected) # as with stats::simulate()
  told <- augment.nk_fit(fit)
  expect_identical(names(told), c("time", "size", ".fitted", ".resid"))
  expect_equal(told$.fitted + told$.resid, told$size)
})

test_that("several fits differ where there are no data, and say so", {
  needs_python()
  several <- nk_ensemble(some_fit(), members = 3, seed = 1, progress = FALSE)
  at <- predict(several, times = c(2, 12), interval = "confidence")
  width <- at$size.upper - at$size.lower
  expect_gt(width[2], width[1])
  each <- sapply(several$members, function(fit) predict(fit, times = 2)$size)
  expect_equal(at$size[1], mean(each), tolerance = 1e-6)
  expect_equal(width[1], 2 * qt(0.975, 2) * sd(each) * sqrt(1 + 1 / 3), tolerance = 1e-4)
  wider <- predict(several, times = c(2, 12), interval = "prediction")
  expect_true(all(wider$size.upper > at$size.upper))
  expect_output(print(several), "3 fits from other weights")
  expect_length(simulate(several, 2, seed = 1), 2)
  expect_error(confint(several), "no parameters", class = "nodekit_value_error")
  expect_error(nk_ensemble(some_fit(), 1), "'members' is 1", class = "nodekit_value_error")
  expect_error(nk_ensemble(1), class = "nodekit_type_error")
})

test_that("the interval for a new observation is that of its noise where all fits agree, and so is what is drawn", {
  needs_python()
  fit <- some_fit()
  agreed <- structure(list(object = fit, members = list(fit, fit), resample = FALSE), class = "nk_ensemble")
  at <- c(0, 3, 9)
  expect_equal(predict(agreed, times = at, interval = "prediction"), predict(fit, times = at, interval = "prediction"))
  exact <- predict(agreed, times = at, interval = "confidence")
  expect_equal(exact$size.upper, exact$size)
  # The noise is that of the data, though a member that was fitted to other data may have come closer to those.
  closer <- fit
  closer$data$size <- fit$fitted$size
  drawn <- simulate(structure(list(object = fit, members = list(closer, closer)), class = "nk_ensemble"), 300, seed = 1)
  spread <- sapply(drawn, function(one) one$size[-1]) - fit$fitted$size[-1]
  expect_equal(sd(spread), sigma(fit)[[1]], tolerance = 0.05)
})

test_that("fits to data drawn anew give the errors that the data leave a parameter", {
  needs_python()
  set.seed(3)
  data <- data.frame(time = seq(0, 6, by = 0.5))
  data$size <- c(5, 5 * exp(-0.6 * data$time[-1]) + rnorm(12, sd = 0.1))
  decay <- function(t, y, parms) list(-parms[["k"]] * y)
  fit <- nk_fit(data, known = decay, parms = c(k = 0.6), log = "k", layers = NULL, epochs = 60, learning_rate = 0.02,
    seed = 1, progress = FALSE)
  several <- nk_ensemble(fit, members = 20, resample = TRUE, seed = 1, progress = FALSE)
  expect_identical(dim(coef(several)), c(20L, 1L))
  expect_equal(sd(coef(several)), sqrt(vcov(fit)[1]), tolerance = 0.4)
  expect_equal(confint(several), confint(fit), tolerance = 0.05)
  held <- several
  held$object$model$known$fixed[] <- TRUE # a parameter that nobody fitted has no interval, rather than one of no width
  expect_true(all(is.na(confint(held))))
  expect_error(nk_ensemble(fit), "resample = TRUE", class = "nodekit_value_error")
})

test_that("profile and bootstrap intervals of estimates", {
  needs_python()
  set.seed(2)
  data <- data.frame(time = 0:5, size = c(5, 5 * exp(-0.6 * 1:5) + rnorm(5, sd = 0.3)))
  decay <- function(t, y, parms) list(-parms[["k"]] * y)
  fit <- nk_estimate(data, decay, c(k = 0.5), rtol = 1e-6, atol = 1e-6)
  # The profile by hand: of the noise, the likelihood is greatest at the mean square.
  seen <- data$size[-1]
  profile <- function(k) sum(dnorm(seen, 5 * exp(-k * 1:5), sqrt(mean((seen - 5 * exp(-k * 1:5))^2)), log = TRUE))
  found <- confint(fit, method = "profile")
  falls <- 5 / 2 * log(1 + qt(0.975, 4)^2 / 4)
  expect_equal(unname(apply(found, 2, profile)), rep(profile(coef(fit)[["k"]]) - falls, 2), tolerance = 1e-2)
  expect_identical(dimnames(found), dimnames(confint(fit)))
  drawn <- confint(fit, method = "bootstrap", nsim = 15, seed = 1)
  expect_identical(dimnames(drawn), list("k", c("2.5 %", "97.5 %")))
  expect_true(drawn[1] < coef(fit) && coef(fit) < drawn[2])
  told <- augment.nk_estimate(fit)
  expect_equal(told$.fitted + told$.resid, told$size)
})

test_that("plots by ggplot2 show the data, the model and the interval", {
  needs_python()
  skip_if_not_installed("ggplot2")
  fit <- some_fit()
  plot <- ggplot2::autoplot(fit, interval = "prediction", until = 8)
  layers <- vapply(plot$layers, function(layer) class(layer$geom)[1], "")
  expect_identical(layers, c("GeomRibbon", "GeomLine", "GeomPoint"))
  expect_equal(max(ggplot2::layer_data(plot, 2)$x), 8)
  expect_equal(ggplot2::layer_data(plot, 3)$y, growth_data()$size)
  out <- nk_ode(c(prey = 1, predator = 2), 0:5, function(t, y, p) list(c(-y[1], -y[2])))
  shown <- ggplot2::layer_data(ggplot2::autoplot(out), 1)
  expect_equal(shown$y[shown$PANEL == 2], unname(out[, "predator"]))
  expect_error(ggplot2::autoplot(fit, untill = 3), class = "nodekit_unknown_argument")
})
