# Forcings by table.

bucket <- function(t, y, parms) with(as.list(c(y, parms)), list(rain - k * S))

test_that("forcings by table are those of approxfun() in the model, and no shower is missed", {
  needs_python()
  rain <- data.frame(time = c(0, 100, 100.5, 200), rain = c(0, 10, 0, 0))
  for (method in c("constant", "linear")) {
    table <- approxfun(rain$time, rain$rain, method = method, rule = 2)
    by_hand <- function(t, y, parms) list(table(t) - parms[["k"]] * y)
    found <- nk_ode(c(S = 0), c(0, 99, 101, 200), bucket, c(k = 0.05), forcings = rain, fcontrol = list(method = method),
      hmax = 0, rtol = 1e-8, atol = 1e-8)
    peer <- deSolve::ode(c(S = 0), c(0, 99, 101, 200), by_hand, c(k = 0.05), hmax = 0.1, rtol = 1e-9, atol = 1e-9)
    expect_lt(relative_difference(found, peer), 1e-5)
  }
  parms <- list(k = 0.05, other = "text")
  expect_equal(nk_ode(c(S = 0), 0:3, bucket, parms, forcings = rain), nk_ode(c(S = 0), 0:3, bucket, c(k = 0.05),
    forcings = rain))
})

test_that("gradients with forcings by table are those of differences", {
  needs_python()
  rain <- data.frame(time = c(0, 1.2, 1.5, 4), rain = c(1, 6, 0, 2))
  loss <- function(out) sum(out$S^2)
  at <- function(k, method) {
    out <- nk_ode(c(S = 1), 0:4, bucket, c(k = k), forcings = rain, fcontrol = list(method = method), rtol = 1e-10, atol = 1e-10)
    sum(out[, "S"]^2)
  }
  for (method in c("constant", "linear")) {
    found <- nk_gradient(c(S = 1), 0:4, bucket, c(k = 0.5), loss, forcings = rain, fcontrol = list(method = method),
      rtol = 1e-9, atol = 1e-9)
    expect_equal(found$value, at(0.5, method), tolerance = 1e-7)
    expect_equal(found$parms[["k"]], (at(0.5 + 1e-5, method) - at(0.5 - 1e-5, method)) / 2e-5, tolerance = 1e-5)
  }
})

test_that("what is wrong with a table is said", {
  needs_python()
  bad <- function(message, forcings, ..., class = "nodekit_value_error") {
    expect_error(nk_ode(c(S = 1), 0:4, bucket, c(k = 1), forcings = forcings, ...), message, class = class)
  }
  bad("column 'time'", data.frame(rain = 1:2), class = "nodekit_type_error")
  bad("not given at time = 4", data.frame(time = 0:3, rain = 1), fcontrol = list(rule = 1))
  bad("less than two", data.frame(time = 0, rain = 1))
  bad("not numeric", data.frame(time = 0:1, rain = c("a", "b")), class = "nodekit_type_error")
  for (name in c("k", "S")) bad("name of a forcing", stats::setNames(data.frame(0:4, 1), c("time", name)))
  expect_error(nk_gradient(c(S = 1), 0:4, bucket, c(k = 1, rain = 0), function(out) sum(out$S),
    forcings = data.frame(time = 0:4, rain = 1)), "name of a forcing", class = "nodekit_value_error")
  bad("unknown element", data.frame(time = 0:1, rain = 1), fcontrol = list(rules = 2))
})
