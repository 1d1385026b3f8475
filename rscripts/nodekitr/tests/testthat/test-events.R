# Events in deSolve's three ways, beside deSolve.

idle <- function(t, y, parms) list(c(0, 0))
decay <- function(t, y, parms) list(-parms * y)

expect_agreement <- function(..., tolerance = 1e-5) {
  needs_python()
  skip_if_not_installed("deSolve")
  found <- suppressWarnings(nk_ode(..., rtol = 1e-9, atol = 1e-9))
  peer <- suppressWarnings(deSolve::ode(..., rtol = 1e-10, atol = 1e-10))
  expect_lt(relative_difference(found, peer), tolerance)
  invisible(list(found = found, peer = peer))
}

test_that("events in a data frame: deSolve's example, with abbreviated methods", {
  events <- data.frame(var = c("v1", "v2", "v2", "v1"), time = c(1, 1, 5, 9), value = c(1, 2, 3, 4),
    method = c("add", "mult", "rep", "add"))
  expect_agreement(c(v1 = 1, v2 = 2), seq(0, 10, by = 0.1), idle, NULL, events = list(data = events))
})

test_that("events at the first and last time, states by number, methods by number", {
  events <- data.frame(var = c(1, 2, 1), time = c(0, 2, 4), value = c(1, 3, 10), method = c(2, 3, 1))
  expect_agreement(c(a = 1, b = 2), 0:4, decay, 0.1, events = list(data = events))
})

test_that("events in a function, at times that are not asked for", {
  expect_agreement(c(a = 1, b = 2), 0:4, decay, 0.1,
    events = list(func = function(t, y, parms) y + c(t, parms), time = c(0, 1.5, 2, 4)))
  needs_python()
  expect_warning(
    nk_ode(c(a = 1), 0:2, decay, 0.1, events = list(func = function(t, y, parms) y, time = 0.5)),
    class = "nodekit_warning"
  )
})

rotate <- function(t, y, parms) list(c(y[2], -y[1]))

test_that("a root function ends the solution at its first root, which becomes the last row", {
  both <- expect_agreement(c(5, 5), seq(0, 15, by = 0.5), rotate, NULL, rootfunc = function(t, y, parms) y[2])
  expect_equal(attr(both$found, "troot"), pi / 4, tolerance = 1e-6)
  expect_identical(attr(both$found, "istate")[1], 3L)
  expect_output(deSolve::diagnostics(both$found), "a root was found before reaching the end")
})

test_that("roots are recorded where the event function leaves the state as it is", {
  both <- expect_agreement(c(5, 5), seq(0, 15, by = 0.5), rotate, NULL,
    rootfunc = function(t, y, parms) y, events = list(func = function(t, y, parms) y, root = TRUE), tolerance = 1e-4)
  expect_equal(attr(both$found, "troot"), attr(both$peer, "troot"), tolerance = 1e-5)
  expect_identical(attr(both$found, "indroot"), attr(both$peer, "indroot"))
  expect_identical(attr(both$found, "nroot"), attr(both$peer, "nroot"))
  expect_equal(attr(both$found, "valroot"), attr(both$peer, "valroot"), tolerance = 1e-4)
})

test_that("a chosen root is the terminal one", {
  both <- expect_agreement(c(5, 5), seq(0, 15, by = 0.5), rotate, NULL, rootfunc = function(t, y, parms) y,
    events = list(func = function(t, y, parms) y, root = TRUE, terminalroot = 1))
  expect_equal(attr(both$found, "troot"), attr(both$peer, "troot"), tolerance = 1e-5)
})

test_that("an event at a root changes the state: deSolve's example, and a bouncing ball", {
  both <- expect_agreement(c(y = 2), seq(0, 50, by = 2), decay, 0.1, rootfunc = function(t, y, parms) y - 0.5,
    events = list(func = function(t, y, parms) 1, root = TRUE))
  expect_equal(attr(both$found, "troot"), 10 * log(2) * 2:7, tolerance = 1e-6)
  needs_python()
  fall <- function(t, y, g) list(c(y[2], -g))
  out <- nk_ode(c(height = 1, speed = 0), c(0, 1, 1.3), fall, 9.81, rtol = 1e-9, atol = 1e-9,
    rootfunc = function(t, y, g) y[["height"]],
    events = list(func = function(t, y, g) c(0, -0.5 * y[["speed"]]), root = TRUE))
  first <- sqrt(2 / 9.81)
  expect_equal(attr(out, "troot"), first * c(1, 2, 2.5, 2.75, 2.875), tolerance = 1e-6)
})

test_that("an error in a root or event function arrives as it was", {
  needs_python()
  late <- function(t, y, parms) if (t > 0.5) stop("mine") else 1
  expect_error(nk_ode(c(5, 5), 0:2, rotate, NULL, rootfunc = late), "mine")
})

test_that("what is wrong with events is said", {
  table <- data.frame(var = "b", time = 1, value = 1, method = "add")
  needs_python()
  expect_error(nk_ode(c(a = 1), 0:2, decay, 1, events = list(data = table)), "'b', which is no state",
    class = "nodekit_value_error"
  )
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(data = transform(table, method = "swap"))), "swap",
    class = "nodekit_value_error"
  )
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = table), class = "nodekit_type_error")
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(dat = table)), "'dat'", class = "nodekit_value_error")
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(func = function(t, y, p) c(1, 2), time = 1)),
    "2 values for 1", class = "nodekit_value_error"
  )
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(func = function(t, y, p) list(1), time = 1)), "class list",
    class = "nodekit_value_error"
  )
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(data = table, func = function(t, y, p) y, time = 1)),
    "both data and func", class = "nodekit_value_error"
  )
  expect_error(nk_ode(c(b = 1), 0:2, decay, 1, events = list(func = function(t, y, p) y, root = TRUE)), "rootfunc",
    class = "nodekit_value_error"
  )
})

test_that("times of events that differ from `times` by rounding add no row, and happen once", {
  needs_python()
  times <- seq(0, 5, by = 0.1)
  doses <- data.frame(var = "x", time = seq(1, 30) / 10, value = 1, method = "add")
  out <- nk_ode(c(x = 1), times, decay, 0.5, events = list(data = doses), rtol = 1e-9, atol = 1e-9)
  expect_identical(out[, "time"], times)
  expect_equal(out[[51, "x"]], exp(-2.5) + sum(exp(-0.5 * (5 - seq(1, 30) / 10))), tolerance = 1e-6)
  out <- nk_ode(c(x = 1), times, decay, 0.5, events = list(func = function(t, y, p) y + 1, time = doses$time))
  expect_identical(out[, "time"], times)
  # Two doses at one time, once written as a sum, at a time that is not asked for.
  two <- data.frame(var = "x", time = c(0.3, 0.1 * 3), value = 1, method = "add")
  out <- suppressWarnings(nk_ode(c(x = 0), c(0, 1), decay, 0.5, events = list(data = two)))
  expect_identical(nrow(out), 3L)
  expect_equal(out[[3, "x"]], 2 * exp(-0.35), tolerance = 1e-5)
})

test_that("roots at the same time are one event, as in deSolve: two states that reach their threshold together", {
  needs_python()
  skip_if_not_installed("deSolve")
  grow <- function(t, y, parms) list(c(1, 1))
  call <- function(solver) {
    solver(c(a = 0, b = 0), seq(0, 10, by = 0.5), grow, NULL, rootfunc = function(t, y, parms) y - 1.75,
      events = list(func = function(t, y, parms) y - 1, root = TRUE))
  }
  found <- call(nk_ode)
  peer <- call(deSolve::ode)
  expect_lt(relative_difference(found, peer), 1e-5)
  expect_equal(attr(found, "troot"), attr(peer, "troot"), tolerance = 1e-6)
  both <- nk_ode(c(a = 0, b = 0), 0:10, grow, rootfunc = function(t, y, parms) c(y - 1.75, 5))
  expect_identical(attr(both, "iroot"), c(1L, 1L, 0L))
})

test_that("a root of the size of the slope ends a solve at its steady state", {
  needs_python()
  growth <- function(t, y, parms) list(parms * y * (1 - y / 8))
  out <- nk_ode(c(size = 0.1), c(0, 1000), growth, 0.5, rootfunc = function(t, y, parms) {
    sum(abs(unlist(growth(t, y, parms)))) - 1e-6
  })
  expect_lt(out[nrow(out), "time"], 100)
  expect_equal(out[[nrow(out), "size"]], 8, tolerance = 1e-5)
})

test_that("deSolve's thermostat switches when it should, at its last time too", {
  needs_python()
  heating <- function(t, y, parms) list(c(if (y[2] == 1) 1 else -0.5, 0))
  call <- function(times, root) {
    nk_ode(c(temp = 18, on = 1), times, heating, rootfunc = root,
      events = list(func = function(t, y, parms) c(y[1], 1 - y[2]), root = TRUE))
  }
  # Warming from 18 to 20 takes 2, cooling 4. deSolve 1.34 switches three times at 6 and at 18.
  switches <- c(2, 6, 8, 12, 14, 18, 20)
  for (root in list(function(t, y, parms) c(y[1] - 18, y[1] - 20), function(t, y, parms) y[1] - 18 - 2 * y[2])) {
    expect_equal(attr(call(seq(0, 20, by = 0.1), root), "troot"), switches, tolerance = 1e-9)
    expect_equal(attr(call(seq(0, 21, by = 0.5), root), "troot"), switches, tolerance = 1e-9)
  }
})

test_that("a ball that bounces without end does not fall through the floor, as it does in deSolve", {
  needs_python()
  bounce <- function(until, func) {
    nk_ode(c(height = 1, speed = 0), seq(0, until, by = 0.05), function(t, y, parms) list(c(y[2], -9.81)),
      rootfunc = function(t, y, parms) y[1], events = list(func = func, root = TRUE))
  }
  # Every flight takes half of the time of the one before: the last begins before three times the fall.
  end <- 3 * sqrt(2 / 9.81)
  error <- error_of(bounce(2, function(t, y, parms) c(0, -0.5 * y[2])))
  expect_s3_class(error, "nodekit_invalid_event")
  expect_match(conditionMessage(error), "^root 1 happens faster and faster.*\\n.*events.func")
  expect_equal(error$t, end, tolerance = 1e-4)
  expect_identical(dim(bounce(1.3, function(t, y, parms) c(0, -0.5 * y[2]))), c(27L, 3L))
})
