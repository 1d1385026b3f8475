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

test_that("a failure of the library is a condition of its class, with its details, in the words of R", {
  needs_python()
  explodes <- function(t, y, parms) list(y^2) # reaches infinity at t = 1
  found <- error_of(nk_ode(c(a = 1), c(0, 2), explodes))
  expect_s3_class(found, c("nodekit_step_size_underflow", "nodekit_solve_failed", "nodekit_error", "nodekit_runtime_error",
    "nodekit_assertion_error", "error", "condition"), exact = TRUE)
  expect_false(grepl("Traceback|File \"", conditionMessage(found)))
  expect_match(conditionMessage(found), "No step at t = 1[.0-9]* is small enough for rtol and atol.\nThe solution may grow")
  expect_equal(found$t, 1, tolerance = 0.01)
  expect_type(found$remedy, "character")
  expect_identical(as.character(conditionCall(found))[1], "nk_ode")
  found <- error_of(nk_ode(c(a = 1), c(0, 1000), function(t, y, parms) list(-1000 * (y - cos(t))), maxsteps = 20))
  expect_s3_class(found, "nodekit_max_steps_reached")
  expect_match(conditionMessage(found), "maxsteps")
})

test_that("a derivative that is not finite is named with its state, value and time, by all methods", {
  needs_python()
  start <- c(fox = 1, hare = 2)
  said <- function(value, from, method) {
    hunt <- function(t, y, parms) list(c(-y[[1]], if (t >= from) value else 0))
    hini <- if (method == "euler") 0.125
    found <- error_of(nk_ode(start, c(0, 2), hunt, method = method, hini = hini))
    expect_s3_class(found, "nodekit_solve_failed")
    expect_identical(found$state, "hare")
    sub("\n.*", "", conditionMessage(found))
  }
  for (method in c("dopri5", "euler", "radauIIA5")) {
    expect_identical(said(NaN, 0, method), "'func' returned NaN for state 'hare' at t = 0.")
    expect_identical(said(-Inf, 0.5, method), "'func' returned -Inf for state 'hare' at t = 0.5.")
  }
  # A step that met such a value and was taken again, shorter, is no failure.
  out <- nk_ode(c(a = 1), c(0, 1), function(t, y, parms) list(if (isTRUE(y < 0)) NA_real_ else -40 * y), hini = 1)
  expect_equal(out[[2, "a"]], exp(-40), tolerance = 1e-5)
})

test_that("warnings of the user's function arrive as they were, once each, also where they are caught", {
  needs_python()
  warns <- function(t, y, parms) {
    warning("mine")
    list(-y)
  }
  heard <- character()
  out <- withCallingHandlers(nk_ode(c(a = 1), 0:1, warns), warning = function(w) {
    heard <<- c(heard, conditionMessage(w))
    invokeRestart("muffleWarning")
  })
  expect_lte(length(heard), 2) # one of the look at what func returns, one of all others
  expect_equal(out[[2, "a"]], exp(-1), tolerance = 1e-5)
  later <- function(t, y, parms) list(-sqrt(0.5 - t))
  expect_identical(tryCatch(nk_ode(c(a = 1), 0:1, later), warning = conditionMessage), "NaNs produced")
  expect_error(suppressWarnings(nk_ode(c(a = 1), 0:1, later)), "NaN for state 'a' at t = 0.5",
    class = "nodekit_solve_failed"
  )
})

test_that("unknown methods and options are answered with the nearest name", {
  needs_python()
  expect_error(nk_ode(1, 0:1, decay, method = "dorpi5"), "'dopri5'", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "ode45"), "here it is called \"dopri5\"", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "lsode"), "deSolve's", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "iteration"), "discrete time", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = "ode23"), "bosh3", class = "nodekit_unknown_method")
  expect_error(nk_ode(1, 0:1, decay, method = 3), class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, decay, method = nk_ode), "name in quotes", class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, decay, method = list(ID = "rk45ck")), "rkMethod", class = "nodekit_type_error")
  expect_error(nk_ode(1, 0:1, decay, options = list(saftey = 0.5)), "safety", class = "nodekit_unknown_option")
  expect_error(nk_ode(1, 0:1, decay, options = 3), class = "nodekit_type_error")
})

test_that("where deSolve's method is here under another name, its coefficients are the same", {
  needs_python()
  skip_if_not_installed("deSolve")
  for (name in names(DESOLVE_METHODS$same)) {
    theirs <- deSolve::rkMethod(name)
    ours <- nodekit()$METHODS[[DESOLVE_METHODS$same[[name]]]]$tableau
    expect_equal(as.vector(ours$c), theirs$c, tolerance = 1e-7, info = name)
    expect_equal(as.vector(ours$b), if (is.null(theirs$b2)) theirs$b1 else theirs$b2, tolerance = 1e-7, info = name)
  }
})

test_that("Python's class names are spelt as R's", {
  needs_python()
  calls <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))$calls
  spelt <- calls$attempt(reticulate::import_builtins()$int, "x")$failure
  expect_identical(spelt$classes[1], "value_error")
  spelt <- calls$`_sentence`("pass options={'check_finite': False} where it is nan")
  expect_identical(spelt, "pass options = list(check_finite = FALSE) where it is NaN.")
})
