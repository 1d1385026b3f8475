# Solves that end early: what is said, and the rows that were reached.

explodes <- function(t, y, parms) list(y^2, twice = 2 * y[[1]]) # y is one over one minus t

test_that("the rows before the failure are in the condition", {
  needs_python()
  found <- error_of(nk_ode(c(a = 1), seq(0, 2, by = 0.25), explodes))
  expect_s3_class(found, "nodekit_step_size_underflow")
  expect_s3_class(found$reached, c("nk_ode", "deSolve", "matrix"))
  expect_equal(found$reached[1:4, "a"], 1 / (1 - 0:3 / 4), tolerance = 1e-5)
  expect_equal(found$reached[1:4, "twice"], 2 / (1 - 0:3 / 4), tolerance = 1e-5)
})

test_that("with throw = FALSE they are the result, with a warning, by methods of both kinds and between events", {
  needs_python()
  late <- function(t, y, parms) list(if (t > 1.1) NaN else -y)
  for (method in c("dopri5", "rk4", "radauIIA5")) {
    expect_warning(
      out <- nk_ode(c(a = 1), seq(0, 2, by = 0.25), late, method = method, throw = FALSE), "Returning early, with 5",
      class = "nodekit_warning"
    )
    expect_equal(out[, "time"], 0:4 / 4)
    expect_equal(out[, "a"], exp(-(0:4) / 4), tolerance = 1e-3)
    expect_lt(attr(out, "istate")[1], 0)
  }
  dose <- data.frame(var = "a", time = 0.5, value = 1, method = "add")
  out <- suppressWarnings(nk_ode(c(a = 1), seq(0, 2, by = 0.25), late, events = list(data = dose), throw = FALSE))
  expect_equal(out[5, "a"], c(a = (exp(-0.5) + 1) * exp(-0.5)), tolerance = 1e-5)
  expect_identical(nrow(out), 5L)
  expect_no_warning(nk_ode(c(a = 1), 0:1, function(t, y, parms) list(-y), throw = FALSE))
})

test_that("a stiff problem is noticed, with the methods that solve it, and one that only oscillates is not", {
  needs_python()
  van_der_pol <- function(t, y, mu) list(c(y[2], mu * (1 - y[1]^2) * y[2] - y[1]))
  found <- error_of(nk_ode(c(2, 0), 0:3000, van_der_pol, 1000, method = "dopri5"))
  expect_s3_class(found, c("nodekit_stiff", "nodekit_solve_failed"))
  expect_match(conditionMessage(found), "radauIIA5")
  expect_lt(attr(found$reached, "istate")[3], 1e4) # evaluations until it was noticed
  robertson <- function(t, y, parms) {
    list(c(-0.04 * y[1] + 1e4 * y[2] * y[3], 0.04 * y[1] - 1e4 * y[2] * y[3] - 3e7 * y[2]^2, 3e7 * y[2]^2))
  }
  for (method in c("tsit5", "bosh3", "dopri8")) {
    expect_s3_class(error_of(nk_ode(c(1, 0, 0), c(0, 1e5), robertson, method = method)), "nodekit_stiff")
  }
  # The same kind of model, short enough for an explicit method, is solved by it.
  expect_no_error(nk_ode(c(2, 0), 0:3, van_der_pol, 1000, method = "dopri5"))
  swing <- function(t, y, parms) list(c(y[2], -100 * y[1]))
  found <- error_of(nk_ode(c(1, 0), c(0, 1000), swing, method = "dopri5", maxsteps = 2000))
  expect_s3_class(found, "nodekit_max_steps_reached")
})

test_that("by default stiff models are solved, as they are by deSolve's lsoda", {
  needs_python()
  van_der_pol <- function(t, y, mu) list(c(y[2], mu * (1 - y[1]^2) * y[2] - y[1]))
  times <- c(0, 500, 1000, 2000)
  out <- nk_ode(c(x = 2, v = 0), times, van_der_pol, 1000)
  # SciPy's Radau, rtol 1e-9
  expect_equal(out[[4, "x"]], 1.706168, tolerance = 1e-3)
  expect_lt(attr(out, "istate")[3], 5e4) # evaluations
  robertson <- function(t, y, parms) {
    list(c(-0.04 * y[1] + 1e4 * y[2] * y[3], 0.04 * y[1] - 1e4 * y[2] * y[3] - 3e7 * y[2]^2, 3e7 * y[2]^2))
  }
  out <- nk_ode(c(1, 0, 0), c(0, 1e5), robertson, hmax = Inf, atol = 1e-10, method = "lsoda")
  expect_equal(out[[2, 2]], 1.786592e-02, tolerance = 1e-4)
})

test_that("deSolve's name for an automatic method is taken", {
  needs_python()
  out <- nk_ode(c(a = 1), 0:1, function(t, y, parms) list(-y), method = "lsoda")
  expect_equal(out[[2, "a"]], exp(-1), tolerance = 1e-5)
})

test_that("where nothing lies before, the advice is to look at parms", {
  needs_python()
  misspelt <- function(t, y, parms) list(-parms["k"] * y)
  found <- error_of(nk_ode(c(a = 1), 0:2, misspelt, c(K = 1)))
  expect_match(conditionMessage(found), "first time.*'parms' has K")
  expect_false(grepl("before that", conditionMessage(found)))
  expect_match(conditionMessage(error_of(nk_ode(c(a = 1), 0:2, misspelt, c(k = NA, m = 1)))), "'k' is NA")
})

test_that("a solution that was made in another session is summed up by deSolve's method", {
  skip_if_not_installed("deSolve")
  code <- paste(
    "library(nodekitr); out <- structure(cbind(time = 0:3, a = 1:4), lengthvar = 1L,",
    "class = c('nk_ode', 'deSolve', 'matrix')); cat(rownames(summary(out))[1])"
  )
  # R's own place for a package under test is in R_LIBS of this session.
  found <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", "-e", shQuote(code)), stdout = TRUE,
    env = paste0("R_LIBS=", paste(.libPaths(), collapse = .Platform$path.sep)))
  expect_identical(found, "Min.")
})

test_that("NA beyond a table of approxfun() is said to be that", {
  needs_python()
  table <- approxfun(0:5, 0:5)
  error <- error_of(nk_ode(c(a = 1), 0:10, function(t, y, parms) list(table(t) - y)))
  expect_s3_class(error, "nodekit_solve_failed")
  expect_match(conditionMessage(error), "returned NA for state 'a' at t = 5.*\\n.*approxfun.*rule = 2")
})
