# Parameters of known models, from data.

logistic <- function(t, y, parms) with(as.list(c(y, parms)), list(r * size * (1 - size / K)))
grown <- function(t, r = 0.9, K = 3, start = 0.1) K / (1 + (K / start - 1) * exp(-r * t))

seen_growth <- function() {
  set.seed(1)
  data.frame(time = 0:12, size = grown(0:12) + rnorm(13, sd = 0.05))
}

test_that("estimates, errors and likelihood are those of nls() on the formula; positive on the scale of logarithms", {
  needs_python()
  data <- seen_growth()
  fit <- nk_estimate(data, logistic, c(r = 0.8, K = 2.5, start = 0.08), log = c("r", "start"),
    y = function(parms) c(size = parms[["start"]]))
  peer <- stats::nls(size ~ grown(time, r, K, start), data, c(r = 0.8, K = 2.5, start = 0.08))
  expect_equal(coef(fit), coef(peer), tolerance = 1e-4)
  # nls() leaves the second derivatives of the solution out.
  expect_equal(sqrt(diag(vcov(fit))), sqrt(diag(vcov(peer))), tolerance = 0.05)
  expect_equal(df.residual(fit), df.residual(peer))
  expect_equal(unname(sigma(fit)), sigma(peer), tolerance = 1e-6)
  expect_equal(as.double(logLik(fit)), as.double(logLik(peer)), tolerance = 1e-6)
  expect_equal(AIC(fit), AIC(peer), tolerance = 1e-6)
  expect_equal(fitted(fit)$size, as.vector(fitted(peer)), tolerance = 1e-4)
  expect_equal(residuals(fit)$size, data$size - fitted(fit)$size)
  expect_equal(confint(fit)["K", 1], coef(fit)[["K"]] - stats::qt(0.975, 10) * sqrt(vcov(fit)["K", "K"]))
  expect_gt(confint(fit, "start", level = 0.9999999)[1], 0)
  expect_output(print(summary(fit)), "std.error")
  expect_equal(predict(fit, times = c(5, 20))$size, grown(c(5, 20), coef(fit)[1], coef(fit)[2], coef(fit)[3]),
    tolerance = 1e-5)
  drawn <- simulate(fit, nsim = 200, seed = 1)
  spread <- sapply(drawn, function(one) one$size) - fitted(fit)$size
  expect_equal(sd(spread), sqrt(sum(residuals(fit)$size^2) / 10), tolerance = 0.05)
  expect_error(predict(fit, new = 1), class = "nodekit_unknown_argument")
  expect_identical(names(tidy.nk_estimate(fit, conf.int = TRUE)), c("term", "estimate", "std.error", "conf.low", "conf.high"))
  expect_true(glance.nk_estimate(fit)$converged)
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  plot(fit, until = 20, main = "growth")
  ends <- graphics::par("usr")
  expect_true(ends[1] < 0 && ends[2] > 20 && ends[4] > max(data$size))
  expect_error(plot(fit, untill = 20), "until", class = "nodekit_unknown_argument")
})

test_that("data drawn anew start where a trajectory starts exactly, with noise elsewhere", {
  needs_python()
  set.seed(3)
  data <- expand.grid(time = 0:5, id = c("u", "v"))
  data$x <- ifelse(data$id == "u", 1, 3) * exp(-0.4 * data$time) + ifelse(data$time > 0, rnorm(12, sd = 0.02), 0)
  shuffled <- data[sample(12), ]
  fit <- nk_estimate(shuffled, function(t, y, parms) list(-parms[["k"]] * y), c(k = 0.3))
  drawn <- simulate(fit, 50, seed = 1)
  values <- sapply(drawn, function(one) one$x)
  expect_identical(drawn[[1]]$time, shuffled$time)
  first <- shuffled$time == 0
  expect_equal(values[first, 7], shuffled$x[first])
  expect_equal(unname(apply(values, 1, sd) > 0), !first)
})

test_that("a parameter stays within its bounds, and has no error there", {
  needs_python()
  data <- seen_growth()[c(1:4, 10:13), ]
  fit <- nk_estimate(data, logistic, c(r = 0.9, K = 2), y = c(size = 0.1), upper = c(K = 2.5), rtol = 1e-6)
  expect_equal(coef(fit)[["K"]], 2.5)
  expect_true(is.na(vcov(fit)["K", "K"]))
  expect_true(vcov(fit)["r", "r"] > 0)
})

test_that("estimates and errors are the same in other units, where parameters are of very different sizes", {
  needs_python()
  fitted_in <- function(unit) {
    data <- transform(seen_growth(), time = time * unit, size = 1e5 * size)
    nk_estimate(data, logistic, c(r = 0.5 / unit, K = 2e5), y = c(size = 1e4), lower = 0)
  }
  days <- fitted_in(1)
  expect_true(glance.nk_estimate(days)$converged)
  seconds <- fitted_in(86400)
  expect_true(glance.nk_estimate(seconds)$converged)
  expect_equal(coef(seconds)[["r"]] * 86400, coef(days)[["r"]], tolerance = 1e-4)
  expect_equal(sqrt(vcov(seconds)["r", "r"]) * 86400, sqrt(vcov(days)["r", "r"]), tolerance = 1e-3)
  peer <- stats::nls(size ~ grown(time, r, K), seen_growth(), c(r = 0.8, K = 2.5))
  expect_equal(sqrt(diag(vcov(days))) / c(1, 1e5), sqrt(diag(vcov(peer))), tolerance = 0.05)
})

test_that("doses between observations and forcings act, on each trajectory its own", {
  needs_python()
  dosed <- function(time, k, when, size) 3 * exp(-k * time) + ifelse(time > when, size * exp(-k * (time - when)), 0)
  doses <- data.frame(id = c("b", "a"), var = "x", time = c(2.5, 1.2), value = c(1, 2), method = "add")
  data <- expand.grid(id = factor(c("b", "a")), time = 0:6)
  when <- ifelse(data$id == "b", 2.5, 1.2)
  size <- ifelse(data$id == "b", 1, 2)
  set.seed(1)
  data$x <- dosed(data$time, 0.4, when, size) + rnorm(14, sd = 0.02)
  decay <- function(t, y, parms) list(-parms[["k"]] * y)
  fit <- expect_silent(nk_estimate(data, decay, c(k = 0.2), y = c(x = 3), events = list(data = doses)))
  peer <- stats::nls(x ~ dosed(time, k, when, size), data, c(k = 0.2))
  expect_equal(coef(fit), coef(peer), tolerance = 1e-5)
  expect_equal(fitted(fit)$x, as.vector(fitted(peer)), tolerance = 1e-5)
  expect_equal(sqrt(diag(vcov(fit))), sqrt(diag(vcov(peer))), tolerance = 0.02)
  expect_error(nk_estimate(data, decay, c(k = 0.2), events = list(data = transform(doses, id = "c"))), "no trajectory",
    class = "nodekit_value_error")
  added <- list(func = function(t, y, parms) y + 5 * parms[["k"]], time = 2.5)
  one <- data[data$id == "b", c("time", "x")]
  by_function <- nk_estimate(one, decay, c(k = 0.2), y = c(x = 3), events = added)
  peer <- stats::nls(x ~ dosed(time, k, 2.5, 5 * k), one, c(k = 0.2))
  expect_equal(coef(by_function), coef(peer), tolerance = 1e-5)

  warm <- data.frame(id = rep(c("a", "b"), each = 2), time = c(0, 6), heat = c(1, 1, 2, 2))
  data$x <- 3 * exp(-0.3 * ifelse(data$id == "a", 1, 2) * data$time) + rnorm(14, sd = 0.02)
  heated <- function(t, y, parms) with(as.list(parms), list(-k * heat * y))
  fit <- nk_estimate(data, heated, c(k = 0.2), y = c(x = 3), forcings = warm)
  peer <- stats::nls(x ~ 3 * exp(-k * ifelse(id == "a", 1, 2) * time), data, c(k = 0.2))
  expect_equal(coef(fit), coef(peer), tolerance = 1e-5)
})

test_that("data without noise are said to be that", {
  needs_python()
  data <- data.frame(time = 0:6, x = 3 * exp(-0.4 * 0:6))
  expect_warning(
    fit <- nk_estimate(data, function(t, y, parms) list(-parms[["k"]] * y), c(k = 0.2), y = c(x = 3)),
    "goes through the data of x"
  )
  expect_equal(coef(fit)[["k"]], 0.4, tolerance = 1e-5)
})

test_that("several trajectories, not all states observed, values missing, rows in any order", {
  needs_python()
  outbreak <- function(t, y, parms) with(as.list(c(y, parms)), {
    list(c(-b * S * I, b * S * I - g * I), cases = 100 * b * S * I)
  })
  truth <- c(b = 1.5, g = 0.5)
  set.seed(2)
  data <- do.call(rbind, lapply(c("u", "v"), function(id) {
    out <- nk_ode(c(S = 0.99, I = 0.01), if (id == "u") 0:6 else 0:4, outbreak, truth)
    data.frame(town = id, week = out[, "time"], cases = out[, "cases"] + rnorm(nrow(out), sd = 0.3))
  }))
  data$cases[4] <- NA
  data <- data[sample(nrow(data)), ]
  fit <- nk_estimate(data, outbreak, list(b = 1.3, g = 0.4, kind = "SIR"), y = c(S = 0.99, I = 0.01), id = "town",
    time = "week", log = c("b", "g"), rtol = 1e-6, atol = 1e-6)
  expect_lt(max(abs(coef(fit) - truth) / sqrt(diag(vcov(fit)))), 3)
  expect_identical(rownames(residuals(fit)), rownames(data))
  expect_identical(residuals(fit)$town, data$town)
  expect_identical(is.na(residuals(fit)$cases), is.na(data$cases))
  expect_identical(nobs(fit), 11)
  expect_identical(names(predict(fit, times = 12)), c("town", "week", "S", "I", "cases"))
})

test_that("what is wrong is said", {
  needs_python()
  data <- seen_growth()
  bad <- function(message, ..., class = "nodekit_value_error") {
    expect_error(nk_estimate(data, logistic, ...), message, class = class)
  }
  bad("have no names", c(0.5, 2))
  bad("'rate', which is no parameter", c(r = 1, K = 2), log = "rate")
  bad("'q', which is no parameter", c(r = 1, K = 2), lower = c(q = 0))
  bad("is not positive", c(r = -1, K = 2), log = "r")
  bad("holds no numbers", list(kind = "a"), class = "nodekit_type_error")
  bad("'hmax'", c(r = 1, K = 2), hmxa = 1, class = "nodekit_unknown_argument")
  expect_error(nk_estimate(transform(data, weight = 1:13), logistic, c(r = 1, K = 2), y = c(size = 1)),
    "'weight' is no state", class = "nodekit_value_error"
  )
})
