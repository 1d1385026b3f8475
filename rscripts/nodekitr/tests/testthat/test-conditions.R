# Errors: classed, at the user's call, the library's message and remedy, no traceback.

decay <- function(t, y, parms) list(-y)

test_that("a derivative that returns the wrong thing is told so", {
  needs_python()
  expect_error(nk_ode(1, 0:1, function(t, y, parms) -y), "no list", class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, function(t, y, parms) list("a")), "character", class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, function(t, y, parms) list(c(1, 2))), "2 derivatives for 1 states",
    class = "nodekit_value_error"
  )
  later <- function(t, y, parms) if (t > 0.3) list(c(1, 2)) else list(-y)
  expect_error(nk_ode(1, 0:1, later), "2 derivatives for 1 states", class = "nodekit_value_error")
  expect_error(nk_ode(1, 0:1, "derivs"), "compiled", class = "nodekit_type_error")
})

test_that("an error in the user's function arrives as it was", {
  needs_python()
  own <- structure(class = c("my_error", "error", "condition"), list(message = "mine", call = NULL))
  found <- error_of(nk_ode(1, 0:1, function(t, y, parms) if (t > 0.3) stop(own) else list(-y)))
  expect_identical(found, own)
})

test_that("a failure of the library is a condition of its class, with its details", {
  needs_python()
  explodes <- function(t, y, parms) list(y^2) # reaches infinity at t = 1
  found <- error_of(nk_ode(c(a = 1), c(0, 2), explodes))
  expect_s3_class(found, c("nodekit_solve_failed", "nodekit_error"))
  expect_false(grepl("Traceback|File \"", conditionMessage(found)))
  expect_equal(found$t, 1, tolerance = 0.01)
  expect_type(found$remedy, "character")
  expect_identical(as.character(conditionCall(found))[1], "nk_ode")
  found <- error_of(nk_ode(c(a = 1), c(0, 2), function(t, y, parms) list(if (t > 0.5) NaN else -y)))
  expect_s3_class(found, c("nodekit_non_finite_derivative", "nodekit_solve_failed", "nodekit_error"))
  found <- error_of(nk_ode(c(a = 1), c(0, 1000), function(t, y, parms) list(-1000 * (y - cos(t))), maxsteps = 20))
  expect_s3_class(found, "nodekit_max_steps_reached")
})

test_that("unknown methods and options are answered with the nearest name", {
  needs_python()
  expect_error(nk_ode(1, 0:1, decay, method = "dorpi5"), "'dopri5'", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "ode45"), "here use \"dopri5\"", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "lsoda"), "deSolve's", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = 3), class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, decay, options = list(saftey = 0.5)), "safety", class = "nodekit_unknown_option")
  expect_error(nk_ode(1, 0:1, decay, options = 3), class = "nodekit_type_error")
})

test_that("Python's class names are spelt as R's", {
  needs_python()
  calls <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))$calls
  spelt <- calls$attempt(reticulate::import_builtins()$int, "x")$failure
  expect_identical(spelt$classes[1], "value_error")
})
