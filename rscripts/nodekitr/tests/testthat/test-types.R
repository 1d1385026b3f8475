# What R values mean: nodekit_types.

decay <- function(t, y, parms) list(-y)
last <- function(out) unname(out[nrow(out), -1])

test_that("integers, length-one vectors and one-row data frames are numbers", {
  needs_python()
  expect_equal(last(nk_ode(c(a = 2L), 0:1, decay)), 2 * exp(-1), tolerance = 1e-5)
  expect_equal(last(nk_ode(3, c(0, 1), decay)), 3 * exp(-1), tolerance = 1e-5)
  out <- nk_ode(data.frame(a = 1, b = 2L), 0:1, decay)
  expect_identical(colnames(out), c("time", "a", "b"))
  expect_equal(last(out), c(1, 2) * exp(-1), tolerance = 1e-5)
})

test_that("the derivative gets the names and the shape that the user gave", {
  needs_python()
  seen <- NULL
  remember <- function(t, y, parms) {
    seen <<- y
    list(0 * y)
  }
  nk_ode(c(a = 1, b = 2), 0:1, remember)
  expect_identical(seen, c(a = 1, b = 2))
  nk_ode(c(1, 2), 0:1, remember)
  expect_identical(seen, c(1, 2))
  start <- matrix(c(1, 2, 3, 4, 5, 6), 2, dimnames = list(c("r1", "r2"), NULL))
  nk_ode(start, 0:1, remember)
  expect_identical(seen, start)
})

test_that("matrices and 3-D arrays keep order and values", {
  needs_python()
  turn <- matrix(c(0, 1, -1, 0), 2)
  out <- nk_ode(diag(c(1, 2)), c(0, pi / 2), function(t, y, parms) list(y %*% parms), turn, rtol = 1e-9, atol = 1e-9)
  expect_equal(matrix(last(out), 2), diag(c(1, 2)) %*% turn, tolerance = 1e-6)
  rates <- array(1:24 / 10, 2:4)
  out <- nk_ode(array(1:24, 2:4), 0:1, function(t, y, parms) list(-rates * y), rtol = 1e-9, atol = 1e-9)
  expect_equal(array(last(out), 2:4), array(1:24, 2:4) * exp(-rates), tolerance = 1e-6)
})

test_that("deSolve shows a matrix of states as one", {
  needs_python()
  skip_if_not_installed("deSolve")
  out <- nk_ode(matrix(1:6, 2), 0:1, function(t, y, parms) list(0 * y))
  expect_equal(subset(out, select = "1", arr = TRUE)[, , 1], matrix(1:6, 2), ignore_attr = TRUE)
})

test_that("parms stays in R, whatever it is", {
  needs_python()
  parms <- list(rate = factor("b", levels = c("a", "b")), table = data.frame(x = 1), none = NULL, f = sin)
  nk_ode(1, 0:1, function(t, y, p) {
    expect_identical(p, parms)
    list(-y)
  }, parms)
})

test_that("what has no meaning is refused, with its place and a remedy", {
  expect_error(nk_ode(NULL, 0:1, decay), "'y' is NULL", class = "nodekit_type_error")
  expect_error(nk_ode(c(a = 1, b = NA), 0:1, decay), "'y\\[\"b\"\\]' is NA", class = "nodekit_value_error")
  expect_error(nk_ode(c(1, Inf), 0:1, decay), "'y\\[2\\]' is Inf", class = "nodekit_value_error")
  expect_error(nk_ode(NA, 0:1, decay), "logical", class = "nodekit_type_error")
  expect_error(nk_ode(factor(c("1", "2")), 0:1, decay), "as.numeric\\(as.character", class = "nodekit_type_error")
  expect_error(nk_ode("1", 0:1, decay), "character", class = "nodekit_type_error")
  expect_error(nk_ode(list(1), 0:1, decay), "list", class = "nodekit_type_error")
  expect_error(nk_ode(1i, 0:1, decay), "complex", class = "nodekit_type_error")
  expect_error(nk_ode(numeric(), 0:1, decay), "empty", class = "nodekit_value_error")
  expect_error(nk_ode(data.frame(a = 1:2), 0:1, decay), "2 rows", class = "nodekit_value_error")
  expect_error(nk_ode(data.frame(a = 1, b = "x"), 0:1, decay), "y\\$b", class = "nodekit_type_error")
  expect_error(nk_ode(1, NULL, decay), "'times' is NULL", class = "nodekit_type_error")
  expect_error(nk_ode(1, c(0, NA), decay), "times\\[2\\]", class = "nodekit_value_error")
  expect_error(nk_ode(1, c(0, 2, 1), decay), "element 3", class = "nodekit_value_error")
  expect_error(nk_ode(1, c(0, 0), decay), "strictly", class = "nodekit_value_error")
  expect_error(nk_ode(1, as.Date("2026-01-01") + 0:1, decay), "difftime", class = "nodekit_type_error")
  needs_python()
  expect_error(nk_ode(c(1, 2, 3), 0:1, decay, rtol = c(1, 2)), "2 elements where the state has 3",
    class = "nodekit_value_error"
  )
  expect_error(nk_ode(1, 0:1, decay, atol = -1), "negative", class = "nodekit_value_error")
})
