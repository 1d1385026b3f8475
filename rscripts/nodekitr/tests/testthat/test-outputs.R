# Further values of func: columns as deSolve's, or refused with the place.

solve <- function(func, ...) nk_ode(c(a = 1), 0:2, func, ...)

test_that("no further values, logical ones, matrices and lists are as in deSolve", {
  needs_python()
  skip_if_not_installed("deSolve")
  models <- list(
    function(t, y, parms) list(-y, NULL),
    function(t, y, parms) list(-y, if (t < 0) y),
    function(t, y, parms) list(-y, t > 1, m = matrix(1:4, 2), l = list(a = 1, b = t)),
    function(t, y, parms) list(-y, NULL, flux = 2 * y[[1]])
  )
  for (model in models) {
    found <- solve(model, rtol = 1e-9, atol = 1e-9)
    peer <- deSolve::ode(c(a = 1), 0:2, model, NULL, rtol = 1e-10, atol = 1e-10)
    expect_equal(as.vector(found), as.vector(peer), tolerance = 1e-6)
    expect_identical(colnames(found), colnames(peer))
    expect_equal(unname(attr(found, "lengthvar")), unname(attr(peer, "lengthvar")))
  }
})

test_that("text, levels and dates are refused with their name and the time", {
  needs_python()
  refused <- function(func, message, class = "nodekit_type_error") expect_error(solve(func), message, class = class)
  refused(function(t, y, parms) list(-y, phase = if (t < 1) "early" else "late"), "'phase'.*'character' at t = 0")
  refused(function(t, y, parms) list(-y, 1, if (t < 1) 1 else "late"), "value 2 .*at t = 1")
  refused(function(t, y, parms) list(-y, f = factor("a")), "'f'.*'factor'")
  refused(function(t, y, parms) list(-y, list(d = as.Date("2026-01-01"))), "'d'.*'Date'")
})

test_that("values that come and go are refused with the time", {
  needs_python()
  refused <- function(func, message) expect_error(solve(func), message, class = "nodekit_value_error")
  refused(function(t, y, parms) list(-y, if (t < 1) c(u = 1) else c(u = 1, v = 2)), "'u', 'v' at t = 1, 'u' at t = 0")
  refused(function(t, y, parms) if (t < 1) list(-y) else list(-y, u = 1), "'u' at t = 1, none at t = 0")
  refused(function(t, y, parms) if (t < 1) list(-y, 1) else list(-y), "none at t = 1")
  refused(function(t, y, parms) list(-y, if (t < 1) c(u = 1) else c(v = 1)), "'v' at t = 1")
})

test_that("further values of a function on tensors are columns too", {
  needs_python()
  model <- function(t, y, parms) with(as.list(c(y, parms)), list(c(-k * a), flux = k * a, fixed = 3))
  plain <- nk_ode(c(a = 1), 0:1, model, c(k = 0.5))
  on_tensors <- nk_ode(c(a = 1), 0:1, model, c(k = 0.5), tensors = TRUE)
  expect_identical(colnames(on_tensors), c("time", "a", "flux", "fixed"))
  expect_equal(on_tensors[, ], plain[, ], tolerance = 1e-12)
  unnamed <- nk_ode(c(1, 2), 0:1, function(t, y, parms) list(-y, total = sum(y)), tensors = TRUE)
  expect_equal(unnamed[, "total"], rowSums(unnamed[, 2:3]), tolerance = 1e-12)
})
