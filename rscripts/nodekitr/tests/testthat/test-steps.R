# deSolve's words for steps mean what they mean there, and no short input is stepped over.

decay <- function(t, y, parms) list(-y)

imported <- function(t, y, parms) {
  with(as.list(y), {
    arriving <- if (t >= 30 && t < 31) 1 else 0
    list(c(-0.5 * S * I / 1000 - arriving, 0.5 * S * I / 1000 + arriving - 0.2 * I))
  })
}

test_that("an epidemic that is seeded on one day, and rain into an empty bucket, are as deSolve says", {
  needs_python()
  skip_if_not_installed("deSolve")
  start <- c(S = 1000, I = 0)
  peer <- max(deSolve::ode(start, 0:150, imported, NULL, rtol = 1e-9, atol = 1e-9, hmax = 0.1)[, "I"])
  for (method in c("auto", "bosh3", "tsit5", "dopri8", "trbdf2")) {
    expect_equal(max(nk_ode(start, 0:150, imported, method = method)[, "I"]), peer, tolerance = 2e-3)
  }
  set.seed(1)
  rain <- approxfun(0:365, ifelse(runif(366) < 0.05, rexp(366, 1 / 20), 0), method = "constant", rule = 2)
  bucket <- function(t, y, parms) list(rain(t) - 0.05 * y)
  peer <- deSolve::ode(c(S = 0), 0:365, bucket, NULL, rtol = 1e-9, atol = 1e-9)
  expect_equal(nk_ode(c(S = 0), 0:365, bucket)[, "S"], peer[, "S"], tolerance = 1e-3)
})

test_that("hmax = 0 and Inf are no limit, any other is the longest step; backwards too", {
  needs_python()
  steps <- function(...) attr(nk_ode(c(x = 1), ..., func = function(t, y, parms) list(0 * y)), "istate")[2]
  expect_gte(steps(0:100), 100)
  expect_gte(steps(100:0), 100)
  expect_gte(steps(0:100, hmax = 0.5), 200)
  expect_lt(steps(0:100, hmax = 0), 20)
  expect_lt(steps(0:100, hmax = Inf), 20)
  expect_lt(steps(0:100, hini = 0, hmin = NULL, hmax = Inf), 20)
  expect_gte(steps(0:100, hmax = Inf, options = list(max_step = 1)), 100)
  expect_error(nk_ode(c(x = 1), 0:1, decay, hmax = -1), "'hmax' is -1", class = "nodekit_value_error")
  expect_error(nk_ode(c(x = 1), 0:1, decay, hmin = 2), "hmax = 2", class = "nodekit_value_error")
})

test_that("fixed steps are hini long, or hmax, and end at each of the times, as deSolve's", {
  needs_python()
  skip_if_not_installed("deSolve")
  found <- nk_ode(c(x = 1), c(0, 10), decay, method = "rk4", hmax = 0.1)[[2, "x"]]
  expect_equal(found, 4.540034e-05, tolerance = 1e-6)
  for (method in c("rk4", "euler")) {
    for (hini in c(0, 0.3, 0.4, 0.7, 10)) {
      times <- c(0, 1, 1.5, 4)
      found <- nk_ode(c(x = 1), times, decay, method = method, hini = hini)
      peer <- deSolve::ode(c(x = 1), times, decay, NULL, method = method, hini = min(hini, 0.7))
      if (hini <= 0.7) expect_equal(found[, "x"], peer[, "x"], tolerance = 1e-12)
    }
    # A step is never longer than from one of the times to the next.
    by_times <- nk_ode(c(x = 1), times, decay, method = method)
    expect_identical(found[, "x"], by_times[, "x"])
  }
})

test_that("tcrit is not passed, and ynames = FALSE takes the names away from func alone", {
  needs_python()
  latest <- 0
  watching <- function(t, y, parms) {
    latest <<- max(latest, t)
    list(-y)
  }
  out <- nk_ode(c(x = 1), 0:2, watching, tcrit = 2)
  expect_lte(latest, 2)
  expect_error(nk_ode(c(x = 1), 0:2, decay, tcrit = 1), "'tcrit' is 1", class = "nodekit_value_error")
  expect_error(nk_ode(c(x = 1), 2:0, decay, tcrit = 1), "'tcrit' is 1", class = "nodekit_value_error")
  unnamed <- function(t, y, parms) {
    expect_null(names(y))
    list(-y)
  }
  expect_identical(colnames(nk_ode(c(x = 1), 0:2, unnamed, ynames = FALSE)), c("time", "x"))
})

test_that("a mass matrix makes equations of constraints, as in deSolve's radau()", {
  needs_python()
  skip_if_not_installed("deSolve")
  robertson <- function(t, y, parms) {
    first <- -0.04 * y[1] + 1e4 * y[2] * y[3]
    list(c(first, -first - 3e7 * y[2]^2, sum(y) - 1))
  }
  start <- c(1, 0, 0)
  mass <- diag(c(1, 1, 0))
  peer <- deSolve::radau(start, c(0, 0.4, 40), robertson, NULL, mass = mass, rtol = 1e-8, atol = 1e-10, nind = c(3, 0, 0))
  for (matrix in list(mass, diag(mass))) {
    expect_silent(found <- nk_ode(start, c(0, 0.4, 40), robertson,
      method = "radauIIA5", rtol = 1e-8, atol = 1e-10, options = list(mass_matrix = matrix)
    ))
    expect_lt(relative_difference(found, peer), 1e-5)
  }
  wrong <- error_of(nk_ode(c(1, 0, 0.5), 0:1, robertson, method = "radauIIA5", options = list(mass_matrix = mass)))
  expect_s3_class(wrong, "nodekit_invalid_state")
  expect_error(nk_ode(start, 0:1, robertson, mass = mass), "mass_matrix", class = "nodekit_unknown_argument")
})
