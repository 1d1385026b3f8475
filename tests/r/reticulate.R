# nodekit through plain reticulate, without nodekitr: R closures as derivatives, R arrays in and out.
# Ends with an error at the first thing that is not so.

nodekit <- reticulate::import("nodekit")

expect_near <- function(found, expected, tolerance, what) {
  difference <- max(abs(as.vector(found) - as.vector(expected)))
  if (!identical(dim(found), dim(expected)) || !is.finite(difference) || difference > tolerance) {
    stop(what, ": differs by ", difference, "; dimensions ", toString(dim(found)), " for ", toString(dim(expected)))
  }
}

# Exponential decay against its solution; a vector of R arrives in Python as a list, a vector of one as a number.
times <- seq(0, 2, length.out = 9)
decay <- function(t, y) -0.7 * y
found <- nodekit$odeint(decay, c(1, 2, 5), times, rtol = 1e-9, atol = 1e-11)
expect_near(found, outer(exp(-0.7 * times), c(1, 2, 5)), 1e-8, "decay of a vector")
found <- nodekit$odeint(decay, 3, times, rtol = 1e-9, atol = 1e-11)
expect_near(as.vector(found), 3 * exp(-0.7 * times), 1e-8, "decay of a number")
stopifnot(is.array(found), is.double(found))

# A derivative that is no array but a vector, or of the time alone.
found <- nodekit$odeint(function(t, y) c(cos(t), 1), c(0L, 0L), times, rtol = 1e-9, atol = 1e-11)
expect_near(found, cbind(sin(times), times, deparse.level = 0), 1e-8, "a vector as derivative, integers as state")

# Matrices and 3-D arrays keep their order: each entry decays at a rate of its own.
rates <- matrix(c(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 2)
start <- matrix(1:6 + 0, 2)
found <- nodekit$odeint(function(t, y) -rates * y, start, times, rtol = 1e-9, atol = 1e-11)
for (i in seq_along(times)) expect_near(found[i, , ], start * exp(-rates * times[i]), 1e-7, "matrix")
rates <- array(seq(0.1, 2.4, by = 0.1), c(2, 3, 4))
start <- array(1:24 + 0, c(2, 3, 4))
found <- nodekit$odeint(function(t, y) -rates * y, start, times, rtol = 1e-9, atol = 1e-11)
for (i in seq_along(times)) expect_near(found[i, , , ], start * exp(-rates * times[i]), 1e-6, "3-D array")

# Lotka-Volterra against deSolve.
lotka_volterra <- function(t, y) {
  eaten <- 0.2 * y[1] * y[2]
  c(y[1] - eaten, 0.5 * eaten - 0.4 * y[2])
}
times <- seq(0, 30, by = 0.5)
found <- nodekit$odeint(lotka_volterra, c(4, 2), times, method = "dopri5", rtol = 1e-9, atol = 1e-9)
peer <- deSolve::ode(c(4, 2), times, function(t, y, parms) list(lotka_volterra(t, y)), NULL, rtol = 1e-10, atol = 1e-10)
expect_near(found, unclass(peer)[, -1, drop = FALSE] |> unname(), 1e-5, "Lotka-Volterra")

cat("nodekit through reticulate: as expected\n")
