# R functions on tensors: the same numbers as without, and exact gradients.

test_that("arithmetic on tensors is R's arithmetic", {
  needs_python()
  torch <- reticulate::import("torch")
  x <- c(0.3, 1.2, 2.5)
  tensor <- torch$tensor(x, dtype = torch$float64)
  functions <- list(
    exp, log, log2, log10, log1p, expm1, sqrt, abs, sin, cos, tan, atan, sinh, cosh, tanh, floor, ceiling, round, sign
  )
  for (f in functions) expect_equal(as.numeric(f(tensor)), f(x))
  expect_equal(as.numeric(2^tensor - tensor / c(1, 2, 3) + -tensor * 3L), 2^x - x / c(1, 2, 3) + -x * 3)
  expect_equal(as.numeric(tensor %% 1), x %% 1)
  expect_equal(as.numeric(tensor %/% 1), x %/% 1)
  expect_identical(as.numeric(tensor > 1), as.numeric(x > 1))
  for (f in list(sum, prod, mean, max, min)) expect_equal(as.numeric(f(tensor)), f(x))
  expect_equal(as.numeric(sum(tensor, tensor)), 2 * sum(x))
  expect_error(gamma(tensor), "no meaning")
})

test_that("brackets on tensors are R's", {
  needs_python()
  torch <- reticulate::import("torch")
  values <- function(tensor) tensor$numpy()
  v <- c(5, 3, 8, 1)
  x <- torch$tensor(v)
  for (i in list(2, -1, c(1, 4), 2:4, -(1:2), v > 2, c(TRUE, FALSE))) expect_equal(as.numeric(x[i]), v[i])
  expect_equal(as.numeric(x[x > 2]), v[v > 2])
  expect_equal(as.numeric(x[[3]]), v[[3]])
  expect_equal(as.numeric(tail(x, 2)), tail(v, 2))
  a <- array(1:24 + 0, 2:4)
  tensor <- torch$tensor(a)
  expect_identical(values(tensor[, 2, ]), a[, 2, ])
  expect_identical(values(tensor[2, -1, 4:3]), a[2, -1, 4:3])
  expect_identical(values(tensor[1, , , drop = FALSE]), a[1, , , drop = FALSE])
  expect_equal(as.numeric(tensor[c(7, 20)]), a[c(7, 20)])
  changed <- tensor
  changed[1, 2:3, ] <- a[2, 1:2, ]
  a[1, 2:3, ] <- a[2, 1:2, ]
  expect_identical(values(changed), a)
  expect_equal(as.numeric(tensor[1, 3, 1]), 5) # the original stays
  expect_error(x[5], "no place 5 in a dimension of 4", class = "nodekit_value_error")
  expect_error(tensor[1, 1], "2 places for a tensor of 3 dimensions", class = "nodekit_value_error")
})

test_that("gradients pass through brackets", {
  needs_python()
  decay <- function(t, y, parms) {
    slope <- 0 * y
    slope[1] <- -parms$rate * y[1]
    slope[2] <- y[1]
    list(slope)
  }
  found <- nk_gradient(c(2, 0), c(0, 1), decay, c(rate = 0.5), function(out) out[2, 2], rtol = 1e-9, atol = 1e-9)
  expect_equal(found$value, 4 * (1 - exp(-0.5)), tolerance = 1e-7) # y2(1) = (1 - exp(-rate)) y1(0) / rate
  expect_equal(found$y, c(2 * (1 - exp(-0.5)), 1), tolerance = 1e-7)
  expect_equal(found$parms[["rate"]], 4 * exp(-0.5) - 8 * (1 - exp(-0.5)), tolerance = 1e-7)
})

lotka_volterra <- function(t, y, parms) {
  with(as.list(c(y, parms)), {
    eaten <- rate * prey * predator
    list(c(growth * prey - eaten, 0.5 * eaten - death * predator))
  })
}
start <- c(prey = 4, predator = 2)
parms <- c(growth = 1, rate = 0.2, death = 0.4)

test_that("a model written for deSolve gives the same solution on tensors", {
  needs_python()
  plain <- nk_ode(start, 0:5, lotka_volterra, parms)
  on_tensors <- nk_ode(start, 0:5, lotka_volterra, parms, tensors = TRUE)
  expect_equal(on_tensors[, ], plain[, ], tolerance = 1e-12)
})

test_that("gradients agree with finite differences of deSolve's solution", {
  needs_python()
  skip_if_not_installed("deSolve")
  data <- c(5, 6, 7)
  times <- c(0, 1, 2, 3)
  by_desolve <- function(values) {
    out <- deSolve::ode(values[1:2], times, lotka_volterra, values[3:5], rtol = 1e-11, atol = 1e-11)
    mean((out[-1, "prey"] - data)^2) + log(out[4, "predator"])
  }
  values <- c(start, parms)
  differences <- vapply(seq_along(values), function(i) {
    h <- 1e-5
    (by_desolve(replace(values, i, values[i] + h)) - by_desolve(replace(values, i, values[i] - h))) / (2 * h)
  }, 1)
  for (gradient in c("checkpoint", "backprop", "adjoint")) {
    found <- nk_gradient(start, times, lotka_volterra, parms, function(out) {
      mean((out$prey[-1] - data)^2) + log(out$predator[4])
    }, rtol = 1e-9, atol = 1e-9, gradient = gradient)
    expect_equal(found$value, by_desolve(values)[[1]], tolerance = 1e-6)
    expect_equal(found$y, setNames(differences[1:2], names(start)), tolerance = 1e-5)
    expect_equal(found$parms, setNames(differences[3:5], names(parms)), tolerance = 1e-5)
  }
})

test_that("without names the state is one tensor, and parameters may be matrices", {
  needs_python()
  A <- matrix(c(-0.1, -2, 2, -0.1), 2)
  found <- nk_gradient(c(1, 0), c(0, 1), function(t, y, parms) list(parms$A$matmul(y)), list(A = A, note = "kept"),
    function(out) sum(out[2, ]), rtol = 1e-9, atol = 1e-9)
  h <- 1e-6
  value <- function(A) { # the sum of exp(A) (1, 0)'
    e <- eigen(A)
    sum(Re(e$vectors %*% (exp(e$values) * solve(e$vectors, c(1, 0)))))
  }
  differences <- vapply(1:4, function(i) {
    (value(replace(A, i, A[i] + h)) - value(replace(A, i, A[i] - h))) / (2 * h)
  }, 1)
  expect_equal(found$parms, list(A = matrix(differences, 2)), tolerance = 1e-5)
})

test_that("a loss that is not one number is refused, an error in it arrives as it was", {
  needs_python()
  decay <- function(t, y, parms) list(-y)
  expect_error(nk_gradient(c(1, 2), 0:1, decay, loss = function(out) out), "loss must return one number",
    class = "nodekit_error"
  )
  expect_error(nk_gradient(c(1, 2), 0:1, decay, loss = function(out) stop("mine")), "mine")
})
