# Steps taken in R are the library's: as many, as long, with the same values.

lotka_volterra <- function(t, y, parms) {
  eaten <- 0.2 * y[1] * y[2]
  list(c(y[1] - eaten, 0.5 * eaten - 0.4 * y[2]))
}

# A solve in R and by the library: each a list of values and statistics.
both_ways <- function(y, times, func, method = "auto", rtol = 1e-6, atol = 1e-6, options = list(), ...) {
  state <- as_state(y)
  stepping <- list(
    method = method, rtol = as_tolerance(rtol, "rtol", state$n), atol = as_tolerance(atol, "atol", state$n),
    options = step_options(method, options, times = times, tcrit = NULL, ...), watch = TRUE
  )
  derivative <- as_derivative(func, state, times[1], NULL, FALSE, TRUE)
  list(
    here = solve_in_r(derivative$in_r, state$values, times, stepping),
    there = from_python(bridge()$solve, derivative$slope, array(state$values), array(times), method = method,
      rtol = stepping$rtol, atol = stepping$atol, options = options_between(times, stepping), watch = TRUE)
  )
}

steps <- function(hini = NULL, hmin = 0, hmax = NULL, maxsteps = 5000) {
  list(hini = hini, hmin = hmin, hmax = hmax, maxsteps = maxsteps)
}

expect_same_steps <- function(y, times, func, ..., limits = steps(), tolerance = 1e-9) {
  found <- do.call(both_ways, c(list(y, as.double(times), func, ...), limits))
  expect_type(found$here, "list")
  expect_equal(lapply(found$here$statistics, as.double), lapply(found$there$statistics, as.double))
  expect_equal(found$here$values, found$there$values, tolerance = tolerance)
  found$here$statistics
}

test_that("steps in R are the library's, accepted and rejected, with outputs between and at their ends", {
  needs_python()
  start <- c(prey = 4, predator = 2)
  for (method in c("auto", names(Filter(function(tableau) tableau$adaptive, TABLEAUS)))) {
    expect_gt(expect_same_steps(start, 0:10, lotka_volterra, method)$rejected, 0)
    expect_same_steps(start, seq(10, 0, by = -0.25), lotka_volterra, method)
    expect_same_steps(start, c(0, 1e-9, 0.1, 7, 7.3), lotka_volterra, method, 1e-9, c(1e-9, 1e-3))
    expect_same_steps(start, 0:3, lotka_volterra, method, limits = steps(hini = 0.01, hmax = Inf))
    expect_same_steps(start, 0:3, lotka_volterra, method, limits = steps(hmin = 0.2))
    expect_same_steps(start, 0:3, lotka_volterra, method, 1e-11, 1e-12)
    for (times in list(0:3, 3:0)) {
      expect_same_steps(start, times, lotka_volterra, method, options = list(step_t = c(0, 1.1, 2, 2.9, 2.95, 7, -1)))
    }
  }
  # nothing happens; no absolute tolerance; a pulse; many states
  expect_same_steps(1:3, 0:4, function(t, y, parms) list(0 * y))
  expect_same_steps(c(1, 2), 0:4, function(t, y, parms) list(c(0, -y[2])), atol = 0)
  expect_same_steps(c(1, 2), 0:4, function(t, y, parms) list(c(1e180, -y[2])))
  expect_same_steps(0, 0:9, function(t, y, parms) list(if (t > 2.2 && t < 2.6) 5 else -0.1 * y), tolerance = 1e-7)
  expect_same_steps(sin(1:40), 0:2, function(t, y, parms) list(cos(t * (1:40)) - y))
})

test_that("jumps of the slope are stopped at, and asked for on the side of the step", {
  needs_python()
  infusion <- stats::approxfun(c(0, 0.5, 1, 4, 6), c(1, 3, 0, 5, 0), method = "constant", rule = 2)
  filling <- function(t, y, parms) list(infusion(t) - 0.8 * y)
  for (times in list(0:8, 8:0, c(1, 6), c(0.2, 4))) {
    for (method in c("auto", "dopri5")) {
      expect_same_steps(1, times, filling, method, options = list(jump_t = c(0, 0.5, 1, 4, 6)))
      expect_same_steps(1, times, filling, method, options = list(jump_t = c(4, 6), step_t = c(0.5, 1)))
    }
  }
})

test_that("fixed steps in R are the library's", {
  needs_python()
  for (method in names(Filter(function(tableau) !tableau$adaptive, TABLEAUS))) {
    for (times in list(seq(0, 2, by = 0.05), c(1, 0.9, 0.2))) {
      expect_same_steps(c(4, 2), times, function(t, y, parms) list(c(y[2] + sin(t), -y[1])), method, tolerance = 1e-12)
      expect_same_steps(c(4, 2), times, lotka_volterra, method, limits = steps(hini = 0.03), tolerance = 1e-12)
    }
  }
})

test_that("a step that leaves the domain is tried again, shorter", {
  needs_python()
  draining <- function(t, y, parms) {
    if (any(y < 0)) return(list(NaN))
    list(-sqrt(y))
  }
  expect_gt(expect_same_steps(1, c(0, 1.9), draining)$rejected, 0)
  overflowing <- function(t, y, parms) {
    if (any(y > 1e3)) stop("too large")
    list(if (y > 900) -Inf else -y)
  }
  expect_same_steps(1, 0:5, overflowing)
})

test_that("what does not go well is the library's", {
  given_up <- function(func, y, end, method = "auto", atol = 1e-6, ...) {
    derivative <- as_derivative(func, as_state(y), 0, NULL, FALSE, TRUE)
    solve_in_r(derivative$in_r, y, c(0, end), list(method = method, rtol = 1e-6, atol = atol, options = list(...),
      watch = TRUE))
  }
  stiff <- function(t, y, parms) list(c(y[2], 1000 * (1 - y[1]^2) * y[2] - y[1]))
  growing <- function(t, y, parms) list(y^2) # is infinite at t = 1
  expect_identical(given_up(stiff, c(2, 0), 10), "stiff")
  expect_identical(given_up(stiff, c(2, 0), 10, method = "dopri5"), "stiff")
  expect_identical(given_up(growing, 1, 2), "failed")
  expect_identical(given_up(growing, 1, 0.9, max_num_steps = 3L), "failed")
  expect_identical(given_up(function(t, y, parms) list(NaN * y), 1, 1), "failed")
  expect_identical(given_up(growing, 0, 1, atol = 0), "method")
  expect_identical(given_up(growing, 1, 0.5, safety = 0.8), "method")
  expect_identical(given_up(growing, 1, 0.5, method = "rk4", perturb = TRUE), "method")
  expect_identical(given_up(function(t, y, parms) list(y / 0), 1, 0.5, method = "rk4"), "failed")
  expect_identical(given_up(growing, 1, 0.5, method = "kvaerno5"), "method")
})

test_that("warnings and errors of a function arrive once, as they were", {
  warned <- 0
  withCallingHandlers(
    nk_ode(c(x = 1), 0:3, function(t, y, parms) {
      if (t > 1) warning("after one")
      list(-y)
    }),
    warning = function(w) {
      warned <<- warned + 1
      expect_match(conditionMessage(w), "after one")
      invokeRestart("muffleWarning")
    }
  )
  expect_identical(warned, 1)
  failing <- function(t, y, parms) {
    if (t > 1) {
      warning("so it goes")
      stop(structure(class = c("mine", "error", "condition"), list(message = "no more", call = NULL)))
    }
    list(-y)
  }
  expect_warning(expect_error(nk_ode(c(x = 1), 0:3, failing), "no more", class = "mine"), "so it goes")
})

test_that("a solve that goes well starts no Python", {
  script <- tempfile(fileext = ".R")
  on.exit(unlink(script))
  writeLines(c(
    "library(nodekitr)",
    "out <- nk_ode(c(x = 1), 0:3, function(t, y, parms) list(-y, twice = 2 * y), rtol = 1e-8,",
    "  events = list(data = data.frame(var = 'x', time = 2, value = 1, method = 'add')))",
    "stopifnot(abs(out[4, 'x'] - (exp(-2) + 1) * exp(-1)) < 1e-5, !isNamespaceLoaded('reticulate'))"
  ), script)
  libraries <- paste(.libPaths(), collapse = .Platform$path.sep)
  status <- system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)),
    env = paste0("R_LIBS=", shQuote(libraries)))
  expect_identical(status, 0L)
})
