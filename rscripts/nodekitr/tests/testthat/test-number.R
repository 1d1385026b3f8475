# Numbers that remember how they were computed: values are R's own, gradients those of central differences.

# f is written as a user would, of a vector x with names; its results are weighted by 1, 2, ... .
agrees <- function(f, x = c(a = 0.3, b = 1.2, c = 2.6), tolerance = 1e-7) {
  of <- deparse(body(f), nlines = 1)
  expected <- f(x)
  weights <- seq_along(unlist(expected))
  total <- function(x) sum(weights * as.numeric(unlist(f(x))))
  differences <- vapply(seq_along(x), function(i) {
    h <- 1e-5
    (total(replace(x, i, x[[i]] + h)) - total(replace(x, i, x[[i]] - h))) / (2 * h)
  }, 1)
  found <- nodekitr:::with_copies(f, nodekitr:::recorded({
    input <- nodekitr:::new_number(x)
    value <- nodekitr:::differentiable(f)(input)
    expect_s3_class(value, "nk_number")
    expect_equal(nodekitr:::value_of(value), expected, info = of)
    nodekitr:::pull_back(list(value), list(weights), list(input))[[1]]
  }))
  expect_equal(found, differences, tolerance = tolerance, info = of)
}

test_that("operators, with recycling and numbers on either side", {
  agrees(function(x) -x + 2 * x - x / 3 + 1 / x)
  agrees(function(x) x^2 + 2^x + x^x + x[["a"]]^c(1, 2, 3))
  agrees(function(x) x^0 + (x - 0.3)^2)
  agrees(function(x) c(1, 2, 3) * x[["b"]] + x * x[["c"]] / x[1:3])
  agrees(function(x) 1:6 * x)
  agrees(function(x) x * 1:6 - matrix(1:6, 2) / c(x, x))
  agrees(function(x) x %% 0.7 + 10.1 %% x + +x)
  agrees(function(x) x %/% 1 + x)
  agrees(function(x) (x > 1) * x + !(x > 2))
})

test_that("mathematical functions", {
  for (name in c("abs", "sqrt", "exp", "expm1", "log", "log1p", "log2", "log10", "cos", "sin", "tan", "cospi", "sinpi",
    "atan", "cosh", "sinh", "tanh", "asinh", "gamma", "lgamma", "digamma", "trigamma", "cumsum", "cumprod", "cummax",
    "cummin", "sign", "floor", "ceiling", "trunc", "round")) {
    f <- eval(bquote(function(x) .(as.name(name))(x) + x))
    agrees(f, tolerance = 1e-6)
  }
  for (name in c("acos", "asin", "atanh", "tanpi")) agrees(eval(bquote(function(x) .(as.name(name))(x / 6))))
  agrees(function(x) acosh(x + 1) + log(x, 3) + round(x, 1) + x)
  agrees(function(x) cummax(c(x[2], x[1], x[3], x[3])) + cummin(x[c(2, 1, 3, 1)]))
})

test_that("sums, means, extremes, a number first or not", {
  agrees(function(x) c(sum(x), sum(1, x, 3), sum(x[1], x[2]), prod(x), prod(2, x), mean(x)))
  agrees(function(x) c(max(0, x), max(x, 0), min(5, x), min(x), max(x[1], x[3]), range(x)))
  agrees(function(x) sum(c(x, NA), na.rm = TRUE) + mean(c(NA, x^2), na.rm = TRUE) + max(c(NA, x), na.rm = TRUE))
  agrees(function(x) c(var(x), sd(x), weighted.mean(x, c(1, 2, 3)), sd(c(x, NA), na.rm = TRUE)))
  agrees(function(x) c(pmax(x, 1), pmin(1, x), pmax(0, x, 2), pmax(x[1], c(0.1, 0.5)), pmin(x, rev(x))))
  agrees(function(x) ifelse(x > 1, x^2, 0) + ifelse(c(TRUE, FALSE, NA_integer_ > 1 | TRUE), 1, x))
  agrees(function(x) if (x[1] < 1 && any(x > 2)) x * 2 else x)
})

test_that("a value that is left out has no gradient, though its slope be infinite or missing", {
  agrees(function(x) ifelse(seq_along(x) == 1, x, sqrt(abs(x - 0.3))))
  agrees(function(x) sum((c(NA, 1, 2) - x)^2, na.rm = TRUE) + mean(c(NA, 2, 3) / x, na.rm = TRUE) + x)
})

test_that("parts, and assignment to them", {
  agrees(function(x) c(x[2], x["c"], x[["a"]], x[-1], x[c(TRUE, FALSE, TRUE)], x[x > 1], x[c(1, 1, 2)], rev(x)))
  agrees(function(x) {
    dy <- numeric(3)
    dy[1] <- x[2]
    dy[[3]] <- x[[1]] * x[[3]]
    dy
  })
  agrees(function(x) {
    x[2] <- 7
    x["a"] <- x["c"]^2
    x[4:5] <- x[1:2] * 3
    x[["c"]] <- x[["a"]]
    x
  })
  agrees(function(x) {
    dy <- c()
    for (i in seq_along(x)) dy[i] <- x[i]^i
    dy[dy > 1] <- dy[dy > 1] / 2
    dy
  })
  agrees(function(x) {
    m <- matrix(0, 2, 2)
    m[1, ] <- x[1:2]
    m[, 2] <- m[, 2] + x["c"]
    m[2, 1] <- x[[1]]
    c(m[1, 2], m[, 1], t(m))
  })
  agrees(function(x) {
    dy <- rep(0, 3)
    names(dy) <- c("u", "v", "w")
    dy["v"] <- sum(x)
    dy
  })
})

test_that("a name that is not there is said, with those that are", {
  x <- nodekitr:::new_number(c(a = 1, b = 2))
  expect_equal(nodekitr:::value_of(x$b), 2)
  expect_error(x$beta, "no 'beta'.\nKnown: a, b", class = "nodekit_value_error")
  expect_true(is.na(x["beta"]))
})

test_that("vectors and arrays are put together as R does", {
  agrees(function(x) c(0, one = x[[1]], x, two = 2))
  agrees(function(x) unlist(list(x[1], list(4, x[[2]]), z = x)))
  agrees(function(x) rep(x, 2) + rep(x, each = 2) + c(rep(x[1], times = 3), rep(0, 3)))
  agrees(function(x) c(head(x, 2), tail(x, 1), diff(x), diff(x, 2)))
  agrees(function(x) rbind(x, 2 * x, 1:3))
  agrees(function(x) cbind(1:3, a = x))
  agrees(function(x) array(c(x, 1:3), c(1, 2, 3)))
  agrees(function(x) t(matrix(x, 3, 2)) + diag(x)[1:2, ])
  agrees(function(x) c(diag(matrix(c(x, 1), 2)), aperm(array(c(x, x, x, x), c(2, 3, 2)), c(3, 1, 2))))
  agrees(function(x) outer(x, x) + x %o% 1:3)
  agrees(function(x) c(setNames(x, c("u", "v", "w")), as.numeric(x), as.vector(x)))
})

test_that("products and sums of matrices", {
  agrees(function(x) matrix(1:6, 2) %*% x)
  agrees(function(x) x %*% matrix(1:6, 3))
  agrees(function(x) x %*% x)
  agrees(function(x) x %*% t(x))
  agrees(function(x) matrix(c(x, 1), 2) %*% matrix(c(1, x), 2))
  agrees(function(x) crossprod(matrix(c(x, 1), 2)) + tcrossprod(matrix(c(x, 1), 2), matrix(1:4, 2)))
  agrees(function(x) solve(matrix(c(x, 9), 2), c(1, 2)) + c(solve(matrix(c(9, x), 2))[1, ]))
  agrees(function(x) c(rowSums(rbind(x, x^2)), colSums(rbind(x, x^2)), rowMeans(cbind(x, 1)), colMeans(cbind(x, 1))))
  agrees(function(x) drop(matrix(1:6, 2) %*% x))
})

test_that("loops that gather", {
  agrees(function(x) sapply(1:3, function(i) x[i] * i))
  agrees(function(x) vapply(x, function(x) x^2, 1))
  agrees(function(x) sapply(1:2, function(i) x * i))
  agrees(function(x) mapply(function(a, b) a * b, x, 1:3))
  agrees(function(x) unlist(Map(function(a, b) a^b, x, 1:3)))
  agrees(function(x) Reduce(`+`, lapply(x, function(x) x^2)))
  agrees(function(x) apply(matrix(c(x, 1), 2), 1, sum))
  agrees(function(x) do.call(c, lapply(1:3, function(i) x[i])))
  agrees(function(x) with(as.list(x), c(a * b, c - a)))
})

test_that("densities are R's own", {
  counts <- c(0, 2, 5)
  agrees(function(x) dnorm(c(1, 2, 3), x, 0.5, log = TRUE) + dnorm(x, sd = x[["b"]]))
  agrees(function(x) dlnorm(c(1, 2, 3), x, x[["a"]], log = TRUE) + dexp(1:3, x) + dgamma(1:3, x, 2) +
    dgamma(1:3, shape = 2, scale = x, log = TRUE))
  agrees(function(x) dpois(counts, x, log = TRUE) + dpois(counts, x))
  agrees(function(x) dbinom(counts, 5, x / 3, log = TRUE))
  agrees(function(x) dnbinom(counts, size = x, mu = 2 * x, log = TRUE) + dnbinom(counts, x, 0.3))
  agrees(function(x) dbeta(c(0.1, 0.5, 0.9), x, 2) + dt(1:3, x, log = TRUE) + dweibull(1:3, x, 2) + dlogis(1:3, x, 2))
  agrees(function(x) stats::dnorm(1, x, 2) + base::max(0, x))
  agrees(function(x) pnorm(x, 1, 2) + plogis(x) + qlogis(x / 3))
})

test_that("tables of approxfun() and splinefun(), and the user's own functions, whatever they are called", {
  linear <- approxfun(c(0, 1, 2, 3), c(1, 3, 2, 5), rule = 2)
  steps <- approxfun(c(0, 1, 2, 3), c(1, 3, 2, 5), method = "constant")
  smooth <- splinefun(c(0, 1, 2, 3), c(1, 3, 2, 5))
  agrees(function(x) linear(x) + steps(x) + smooth(x) + x)
  at_least <- function(x) max(0.5, x)
  twice <- function(x) c(0, at_least(x[1]), at_least(x[3]))
  agrees(function(x) twice(x) + x)
  sd <- 0.3 # a variable that is called as a function of R is
  head <- function(x) x * 2
  agrees(function(x) dnorm(x, 1, sd) + head(x))
  count_down <- function(x, n) if (n == 0) x else count_down(x * 2, n - 1)
  agrees(function(x) count_down(x, 3))
  calls <- 0
  agrees(function(x) {
    calls <<- calls + 1
    x
  })
  expect_gt(calls, 1)
})

test_that("what cannot be differentiated says so", {
  refused <- function(f) {
    expect_error(
      nodekitr:::with_copies(f, nodekitr:::recorded(
        nodekitr:::differentiably("f", nodekitr:::differentiable(f)(nodekitr:::new_number(c(a = 1, b = 2))), NULL)
      )),
      "cannot be differentiated", class = "nodekit_not_differentiable"
    )
  }
  refused(function(x) besselJ(x, 1))
  refused(function(x) if (x) 1 else 2)
  refused(function(x) for (i in x) i)
  refused(function(x) fft(x))
  refused(function(x) integrate(function(s) s * x[1], 0, 1))
  refused(function(x) mean(x, trim = 0.1))
  refused(function(x) c(x, "text"))
})
