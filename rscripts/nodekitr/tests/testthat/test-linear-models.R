# Models that are linear in their parameters, of which lm() knows all errors exactly.

# Slopes a + b t, so that the solution is x0 + a t + b t^2 / 2, which rk4 has exactly.
parabola <- function(t, y, parms) list(parms[["a"]] + parms[["b"]] * t)
parabola_data <- function() {
  set.seed(4)
  data.frame(time = 0:6, x = 1 + 0.5 * 0:6 - 0.1 * (0:6)^2 + rnorm(7, sd = 0.2))
}
same_numbers <- function(found, peer, tolerance) expect_equal(unname(found), unname(peer), tolerance = tolerance)

test_that("estimates, their errors, intervals by both methods, noise and likelihood are those of lm()", {
  needs_python()
  data <- parabola_data()
  fit <- nk_estimate(data, parabola, c(x0 = 0.5, a = 0.3, b = -0.1), y = function(p) c(x = p[["x0"]]), method = "rk4")
  peer <- lm(x ~ time + I(time^2 / 2), data)
  same_numbers(coef(fit), coef(peer), 1e-5)
  same_numbers(vcov(fit), vcov(peer), 1e-4)
  same_numbers(sigma(fit), sigma(peer), 1e-6)
  same_numbers(confint(fit, level = 0.9), confint(peer, level = 0.9), 1e-4)
  same_numbers(confint(fit, "b", method = "profile"), confint(peer, 3), 1e-2)
  expect_equal(logLik(fit), logLik(peer), tolerance = 1e-6, ignore_attr = c("nall", "class"))
  expect_equal(c(AIC(fit), BIC(fit)), c(AIC(peer), BIC(peer)), tolerance = 1e-6)
  expect_equal(c(nobs(fit), df.residual(fit)), c(nobs(peer), df.residual(peer)))
  same_numbers(residuals(fit)$x, residuals(peer), 1e-4)
  expect_equal(augment.nk_estimate(fit)$.resid, residuals(fit)$x)
  # Of 9 data sets the 80 % interval of the bootstrap goes from the least to the greatest estimate.
  drawn <- confint(fit, "a", level = 0.8, method = "bootstrap", nsim = 9, seed = 1)
  again <- sapply(simulate(fit, 9, seed = 1), function(one) coef(lm(x ~ time + I(time^2 / 2), one))[[2]])
  same_numbers(drawn[1, ], range(again), 1e-4)
})

test_that("a start that is taken as exact is no observation, and has no noise where data are drawn", {
  needs_python()
  data <- parabola_data()
  fit <- nk_estimate(data, parabola, c(a = 0.3, b = -0.1), method = "rk4")
  peer <- lm(I(x - data$x[1]) ~ 0 + time + I(time^2 / 2), data[-1, ])
  same_numbers(vcov(fit), vcov(peer), 1e-4)
  expect_equal(c(nobs(fit), df.residual(fit)), c(6, 4))
  drawn <- simulate(fit, 2, seed = 1)
  expect_equal(drawn[[1]]$x[1], data$x[1])
  expect_false(any(drawn[[1]]$x[-1] == drawn[[2]]$x[-1]))
})

test_that("as many parameters as values leave no error to be known", {
  needs_python()
  fit <- suppressWarnings(nk_estimate(parabola_data()[1:3, ], parabola, c(a = 0.3, b = -0.1), method = "rk4"))
  expect_identical(df.residual(fit), 0)
  expect_true(all(is.na(suppressWarnings(c(sigma(fit), vcov(fit), confint(fit), confint(fit, method = "profile"))))))
})

test_that("weights of the rows are what they are for lm(), whatever their size; rows of weight 0 are left out", {
  needs_python()
  data <- parabola_data()
  weights <- c(1, 2, 1, 0, 3, 2, 1)
  fitted_with <- function(weights) {
    nk_fit(data, known = parabola, parms = c(a = 0.5, b = -0.2), layers = NULL, weights = weights, method = "rk4",
      options = list(step_size = 1), epochs = 400, learning_rate = 0.05, seed = 1, progress = FALSE)
  }
  fit <- fitted_with(weights)
  peer <- lm(I(x - data$x[1]) ~ 0 + time + I(time^2 / 2), data[-1, ], weights = weights[-1])
  same_numbers(coef(fit), coef(peer), 1e-2)
  same_numbers(vcov(fit), vcov(peer), 1e-3)
  same_numbers(sigma(fit), sigma(peer), 1e-3)
  same_numbers(logLik(fit)[1], logLik(peer)[1], 1e-3)
  expect_equal(c(df.residual(fit), nobs(logLik(fit))), c(df.residual(peer), 5))
  same_numbers(confint(fit), confint(peer), 1e-2)
  bounds <- predict(fit, times = 2, interval = "prediction", level = 0.9)
  expect_equal(bounds$x.upper - bounds$x, qt(0.95, 3) * sigma(peer), tolerance = 1e-3)
  more <- fitted_with(10 * weights)
  same_numbers(vcov(more), vcov(peer), 1e-3)
  same_numbers(sigma(more), sigma(peer) * sqrt(10), 1e-3)
  # A row of weight w has the variance sigma^2 / w.
  drawn <- simulate(fit, 2000, seed = 1)
  values <- sapply(drawn, function(one) one$x)
  expect_equal(apply(values[-c(1, 4), ], 1, sd), sigma(peer) / sqrt(weights[-c(1, 4)]), tolerance = 0.1)
  expect_true(all(is.na(values[4, ])))
})

test_that("estimated starts are counted as parameters", {
  needs_python()
  data <- rbind(cbind(id = "u", parabola_data()), cbind(id = "v", transform(parabola_data(), x = rev(x) + 0.5)))
  level <- function(t, y, parms) list(parms[["a"]] + 0 * y)
  fit <- nk_fit(data, known = level, parms = c(a = 0.1), layers = NULL, starts = "estimated", method = "rk4",
    options = list(step_size = 1), epochs = 400, learning_rate = 0.02, seed = 1, progress = FALSE)
  peer <- lm(x ~ id + time, data)
  expect_equal(df.residual(fit), df.residual(peer))
  same_numbers(sigma(fit), sigma(peer), 1e-3)
  same_numbers(vcov(fit)[1], vcov(peer)[3, 3], 1e-2)
})

test_that("of two columns each has the degrees of freedom that its own parameters leave it", {
  needs_python()
  set.seed(3)
  data <- data.frame(time = 0:6, x = 1 + 0.5 * 0:6 + rnorm(7, sd = 0.1), y = 2 - 0.3 * 0:6 + rnorm(7, sd = 0.5))
  data$y[c(3, 6)] <- NA
  both <- function(t, y, parms) list(c(parms[["a"]], parms[["b"]]) + 0 * y)
  peers <- list(lm(x ~ time, data), lm(y ~ time, data))
  variances <- sapply(peers, function(peer) vcov(peer)[2, 2])
  intervals <- t(sapply(peers, function(peer) confint(peer)[2, ]))
  by_likelihood <- nk_estimate(data, both, c(a = 0.4, b = -0.2, x0 = 1, y0 = 2),
    y = function(p) c(x = p[["x0"]], y = p[["y0"]]), observed = c("x", "y"), method = "rk4")
  by_training <- nk_fit(data, id = NULL, states = c("x", "y"), known = both, parms = c(a = 0.5, b = -0.3), layers = NULL,
    starts = "estimated", method = "rk4", options = list(step_size = 1), epochs = 400, learning_rate = 0.02, seed = 1,
    progress = FALSE)
  for (fit in list(by_likelihood, by_training)) {
    same_numbers(sigma(fit), sapply(peers, sigma), 2e-3)
    same_numbers(diag(vcov(fit))[c("a", "b")], variances, 5e-3)
    same_numbers(confint(fit, c("a", "b")), intervals, 1e-2)
    expect_equal(df.residual(fit), 8)
  }
  expect_equal(as.double(logLik(by_likelihood)), sum(sapply(peers, logLik)), tolerance = 1e-6)
  same_numbers(confint(by_likelihood, "x0"), confint(peers[[1]])[1, , drop = FALSE], 1e-3)
})

test_that("where two columns share a parameter, the errors of the one with less noise count", {
  needs_python()
  set.seed(6)
  data <- data.frame(time = 0:7, x = 0.5 * 0:7 + rnorm(8, sd = 0.01), y = 0.5 * 0:7 + rnorm(8))
  shared <- function(t, y, parms) list(rep(parms[["a"]], 2) + 0 * y)
  fit <- nk_estimate(data, shared, c(a = 0.4), y = c(x = 0, y = 0), observed = c("x", "y"), method = "rk4")
  peer <- lm(x ~ 0 + time, data) # x tells nearly all of it
  same_numbers(sigma(fit), c(sigma(peer), sqrt(mean(residuals(fit)$y^2))), 1e-3)
  same_numbers(confint(fit), confint(peer), 1e-3)
  expect_equal(df.residual(fit), 15)
})
