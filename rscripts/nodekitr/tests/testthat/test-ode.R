# deSolve's own documented examples, solved by both.

lotka_volterra <- function(t, y, parms) {
  with(as.list(c(y, parms)), {
    ingestion <- rIng * Prey * Predator
    growth <- rGrow * Prey * (1 - Prey / K)
    mortality <- rMort * Predator
    list(c(growth - ingestion, ingestion * assEff - mortality), ingestion = ingestion)
  })
}
lv_parms <- c(rIng = 0.2, rGrow = 1, rMort = 0.2, assEff = 0.5, K = 10)
lv_start <- c(Prey = 1, Predator = 2)

expect_agreement <- function(..., method = "dopri5", tolerance = 1e-5, tight = 1e-9) {
  needs_python()
  skip_if_not_installed("deSolve")
  found <- nk_ode(..., method = method, rtol = tight, atol = tight)
  peer <- deSolve::ode(..., rtol = 1e-10, atol = 1e-10)
  expect_lt(relative_difference(found, peer), tolerance)
}

test_that("Lotka-Volterra agrees with deSolve, extra columns included", {
  expect_agreement(lv_start, seq(0, 100, by = 1), lotka_volterra, lv_parms)
})

test_that("Lorenz agrees with deSolve", {
  lorenz <- function(t, state, parameters) {
    with(as.list(c(state, parameters)), {
      list(c(a * X + Y * Z, b * (Y - Z), -X * Y + c * Y - Z))
    })
  }
  parms <- c(a = -8 / 3, b = -10, c = 28)
  expect_agreement(c(X = 1, Y = 1, Z = 1), seq(0, 10, by = 0.05), lorenz, parms, tolerance = 1e-4)
})

test_that("the rigid body agrees with deSolve", {
  rigid_body <- function(t, y, parms) list(c(-2 * y[2] * y[3], 1.25 * y[1] * y[3], -0.5 * y[1] * y[2]))
  expect_agreement(c(1, 0, 0.9), seq(0, 20, by = 0.1), rigid_body, NULL)
})

test_that("van der Pol's oscillator, stiff, agrees with deSolve by an implicit method", {
  needs_python()
  stiff <- intersect(c("radauIIA5", "kvaerno5", "trbdf2"), names(nodekit()$METHODS))
  skip_if(length(stiff) == 0, "the library has no adaptive implicit method yet")
  van_der_pol <- function(t, y, mu) list(c(y[2], mu * (1 - y[1]^2) * y[2] - y[1]))
  expect_agreement(c(y1 = 2, y2 = 0), seq(0, 700, by = 50), van_der_pol, 1000,
    method = stiff[1], tolerance = 1e-3, tight = 1e-6
  )
})

test_that("forcings by approxfun agree with deSolve, with their column", {
  # Sediment oxygen consumption, deSolve's example of forcings, with its first two months of data.
  flux <- approxfun(c(1, 11, 21, 41, 73), c(0.654, 0.167, 0.060, 0.070, 0.277), rule = 2)
  sediment <- function(t, O2, k) list(c(flux(t) - k * O2), depo = flux(t))
  expect_agreement(c(O2 = 63), 1:60, sediment, c(k = 0.01))
})

test_that("the further arguments reach func", {
  supplied <- function(t, y, parms, input) list(input(t) - parms * y)
  expect_agreement(c(a = 1), 0:10, supplied, 0.3, input = function(t) sin(t))
})

test_that("backwards in time returns to the start", {
  needs_python()
  there <- nk_ode(lv_start, c(0, 5), lotka_volterra, lv_parms, rtol = 1e-9, atol = 1e-9)
  back <- nk_ode(there[2, c("Prey", "Predator")], c(5, 0), lotka_volterra, lv_parms, rtol = 1e-9, atol = 1e-9)
  expect_equal(back[2, c("Prey", "Predator")], lv_start, tolerance = 1e-6)
})

test_that("fixed steps go from time to time, or by hini", {
  needs_python()
  out <- nk_ode(c(y = 1), 0:4, function(t, y, parms) list(y), method = "euler")
  expect_equal(out[, "y"], c(1, 2, 4, 8, 16)) # the table of the first document's 7.4.2
  out <- nk_ode(c(y = 1), c(0, 1), function(t, y, parms) list(y), method = "euler", hini = 0.1)
  expect_equal(out[2, "y"], c(y = 1.1^10))
})

test_that("one time gives the initial row", {
  needs_python()
  out <- nk_ode(c(a = 2), 3, function(t, y, parms) list(-y, double = 2 * y[[1]]))
  expect_equal(as.vector(out), c(3, 2, 4))
  expect_identical(colnames(out), c("time", "a", "double"))
})

test_that("deSolve's methods work at once on the result, as on its own", {
  needs_python()
  skip_if_not_installed("deSolve")
  model <- function(t, y, parms) {
    list(c(y[[2]], -y[[1]]), total = sum(y), both = c(first = y[[1]], second = y[[2]]))
  }
  found <- nk_ode(c(x = 1, v = 0), seq(0, 6, by = 0.5), model, rtol = 1e-9, atol = 1e-9)
  peer <- deSolve::ode(c(x = 1, v = 0), seq(0, 6, by = 0.5), model, NULL, rtol = 1e-10, atol = 1e-10)
  expect_s3_class(found, c("nk_ode", "deSolve", "matrix"), exact = TRUE)
  expect_identical(colnames(found), colnames(peer))
  expect_identical(attr(found, "lengthvar"), attr(peer, "lengthvar"))
  expect_equal(as.data.frame(found), as.data.frame(peer), tolerance = 1e-6)
  chosen <- function(out) subset(out, select = c("x", "total"), time > 2)
  expect_equal(chosen(found), chosen(peer), tolerance = 1e-6)
  expect_equal(summary(found)[c("Min.", "Max.", "sd"), "x"], c(min(found[, "x"]), max(found[, "x"]), sd(found[, "x"])))
  expect_equal(summary(found)["N", "both"], 2 * nrow(found)) # where deSolve's own result has an error
  expect_output(print(found), "time")
  expect_output(deSolve::diagnostics(found), "Integration was successful")
  expect_output(deSolve::diagnostics(found), "function evaluations")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_no_error(plot(found))
  expect_no_error(plot(found, peer, which = "x"))
  expect_no_error(hist(found))
})

test_that("the counts in the diagnostics are those of the calls", {
  needs_python()
  calls <- 0
  out <- nk_ode(c(a = 1), 0:3, function(t, y, parms) {
    calls <<- calls + 1
    list(-y)
  })
  expect_equal(attr(out, "istate")[3], calls - 1) # one call looks at what func returns
})

test_that("tolerances may differ by state, and matter", {
  needs_python()
  decay <- function(t, y, parms) list(-y)
  errors <- vapply(c(1e-3, 1e-9), function(tolerance) {
    out <- nk_ode(c(a = 1, b = 2), c(0, 5), decay, rtol = c(tolerance, tolerance), atol = tolerance)
    abs(out[2, "a"] - exp(-5))
  }, 1)
  expect_lt(errors[2], 1e-8)
  expect_gt(errors[1], errors[2])
})

test_that("a torch module is solved without R", {
  needs_python()
  out <- nk_ode(c(a = 1, b = 4), 0:2, decay_module(0.5), rtol = 1e-9, atol = 1e-9)
  expect_equal(unname(out[3, c("a", "b")]), c(1, 4) * exp(-1), tolerance = 1e-7)
})
