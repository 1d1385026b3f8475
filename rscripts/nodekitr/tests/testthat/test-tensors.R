# R functions on tensors: the same numbers as without.

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
