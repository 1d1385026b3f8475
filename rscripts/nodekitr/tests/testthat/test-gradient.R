# Gradients through solutions: central differences of deSolve's solution, and formulas.

start <- c(S = 0.99, I = 0.01)
times <- c(0, 1, 2, 4)
parms <- c(b = 1.5, g = 0.5)
outbreak <- function(t, y, parms) with(as.list(c(y, parms)), list(c(-b * S * I, b * S * I - g * I)))

# By deSolve: a loss of its solution, differentiated by the initial state and the parameters.
by_differences <- function(func, loss, start, parms, times, ...) {
  value <- function(v) {
    y <- stats::setNames(v[seq_along(start)], names(start))
    p <- stats::setNames(v[-seq_along(start)], names(parms))
    loss(as.data.frame(deSolve::ode(y, times, func, p, rtol = 1e-12, atol = 1e-12, tcrit = max(times), ...)))
  }
  v <- c(start, parms)
  unname(vapply(seq_along(v), function(i) {
    h <- 2e-3 * abs(v[[i]])
    moved <- function(k) value(replace(v, i, v[[i]] + k * h))
    (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h)
  }, 1))
}

expect_gradient <- function(func, loss = function(out) sum(out$I), start = get("start", parent.frame()), ...,
                            gradient = "checkpoint", method = "auto", tolerance = 1e-6) {
  needs_python()
  skip_if_not_installed("deSolve")
  found <- nk_gradient(start, times, func, parms, loss, rtol = 1e-9, atol = 1e-9, gradient = gradient, method = method,
    ...)
  expected <- by_differences(func, loss, start, parms, times, ...)
  expect_equal(c(found$y, found$parms), stats::setNames(expected, c(names(start), names(parms))),
    tolerance = tolerance)
  found
}

test_that("models are differentiated as people write them", {
  at_least <- function(x) max(0, x)
  table <- approxfun(0:4, c(1, 0.5, 0.7, 0.9, 1.2))
  written <- list(
    outbreak,
    function(t, y, parms) with(as.list(c(y, parms)), list(c(-b * S * max(0, I), b * S * max(I, 0) - g * I))),
    function(t, y, parms) with(as.list(c(y, parms)), list(c(-b * S * pmax(I, 0), b * S * at_least(I) - g * I))),
    function(t, y, parms) with(as.list(c(y, parms)), list(c(-1, 1) * b * S * I - c(0, g * I))),
    function(t, y, parms) list(c(-1, 1) * parms[1] * y[1] * y[2] / sum(y) - c(0, parms["g"] * y["I"])),
    function(t, y, parms) {
      b <- parms[["b"]]
      dy <- numeric(2)
      dy[1] <- -b * y[[1]] * y[[2]]
      dy[2] <- -dy[1] - parms[["g"]] * y[["I"]]
      list(dy)
    },
    function(t, y, parms) with(as.list(c(y, parms)), {
      J <- ifelse(I < 0, 0, I)
      if (S < 0) S <- 0
      list(c(-b * S * J, b * S * J - g * J))
    }),
    function(t, y, parms) {
      A <- matrix(c(-parms["b"], parms["b"], 0.1, -parms["g"]), 2)
      list(A %*% y)
    },
    function(t, y, parms) with(as.list(c(y, parms)), {
      new <- exp(log(b) + 2 * log(sqrt(S))) * I * table(t)
      list(c(S = -new, I = new - g * I), new = new)
    }),
    function(t, y, parms) {
      rates <- sapply(1:2, function(i) parms[i])
      list(c(-rates[1] * prod(y), rates[1] * prod(y) - rates[2] * y[2]))
    },
    function(t, y, parms) {
      A <- matrix(0, 2, 2)
      diag(A) <- y
      list(structure(c(-parms[["b"]] * A[1, 1] * A[2, 2], parms[["g"]] * pnorm(y[[2]], 1, lower.tail = FALSE)),
        names = c("dS", "dI")))
    },
    function(t, y, parms) list(c(-pexp(y[1], parms["b"]), y[2] * atan2(y[1], y[2]) * pnorm(-parms["g"], log.p = TRUE))),
    function(t, y, parms) list(c(-y[1] * beta(parms["b"], 1 + y[1]), lbeta(2, parms["g"]) * y[2]))
  )
  for (func in written) expect_gradient(func, tolerance = if (identical(func, written[[9]])) 1e-4 else 1e-6)
})

test_that("losses are written as people write them, of the solution that nk_ode() gives", {
  seen <- c(0.01, 0.02, 0.03, 0.04)
  losses <- list(
    function(out) mean((out$I - seen)^2),
    function(out) mean((c(NA, seen[-1]) - out[["I"]])^2, na.rm = TRUE),
    function(out) -sum(dnorm(seen, out$I, 0.1, log = TRUE)),
    function(out) -sum(dpois(c(1, 2, 3, 4), 100 * out[, "I"], log = TRUE)),
    function(out) sum(out[out[, "time"] > 1, "I"]) + max(out[, 2]) + out[3, 3],
    function(out) sum((out$time - 2) * out$S) + sum(out[out$time %in% c(1, 4), c("S", "I")]),
    function(out) with(as.data.frame(out), sum(S * I * time)),
    function(out) sum(subset(as.data.frame(out), time > 1)$I^2),
    function(out) sum(approx(out[, "time"], out[, "I"], c(0.3, 1.7))$y^2),
    function(out) spline(out$time, out$I, xout = 3, method = "natural")$y
  )
  for (loss in losses) {
    found <- expect_gradient(outbreak, loss, tolerance = 1e-5)
    alone <- nk_gradient(start, times, outbreak, parms, loss, rtol = 1e-9, atol = 1e-9, gradient = "none")
    expect_equal(alone$value, found$value, tolerance = 1e-7)
  }
})

test_that("all ways to differentiate, and implicit methods, give the same", {
  for (gradient in c("checkpoint", "backprop", "adjoint", "interpolated")) {
    expect_gradient(outbreak, gradient = gradient, tolerance = 1e-5)
  }
  for (method in c("radauIIA5", "kvaerno5")) expect_gradient(outbreak, method = method, tolerance = 1e-5)
  needs_python()
  slow <- nk_gradient(start, times, outbreak, parms, function(out) sum(out$I), method = "rk4", hini = 0.01)
  expect_equal(slow$parms, expect_gradient(outbreak)$parms, tolerance = 1e-5)
})

test_that("an implicit method differentiates many states", {
  needs_python()
  n <- 12
  spread <- function(t, y, parms) {
    left <- c(0, y[-n])
    right <- c(y[-1], 0)
    list(parms * (left - 2 * y + right))
  }
  y <- stats::setNames(as.numeric(1:n == 6), paste0("cell", 1:n))
  solve <- function(k, ...) nk_gradient(y, c(0, 1), spread, k, function(out) out$cell7[2], ..., rtol = 1e-8, atol = 1e-8)
  expect_equal(solve(c(k = 0.5), method = "kvaerno5")$parms, solve(c(k = 0.5), method = "dopri5")$parms, tolerance = 1e-5)
})

test_that("further values of func are columns of the loss's solution", {
  model <- function(t, y, parms) with(as.list(c(y, parms)), {
    list(c(-b * S * I, b * S * I - g * I), new = b * S * I, both = c(one = S, two = t * g), NULL)
  })
  expect_gradient(model, function(out) sum(out$new^2) + sum(out$both.one) + out$both.two[3])
  needs_python()
  unnamed <- nk_gradient(c(2, 1), 0:1, function(t, y, p) list(-p * y, y[1] * p), 0.5, function(out) out[2, "3"],
    rtol = 1e-9, atol = 1e-9)
  expect_equal(unnamed$value, exp(-0.5), tolerance = 1e-7)
  expect_equal(unnamed$parms, 2 * exp(-0.5) - exp(-0.5), tolerance = 1e-6)
})

test_that("events by table and by function, with parameters in them", {
  table <- data.frame(var = c("I", "S", "I"), time = c(0, 1.5, 2), value = c(0.1, 0.5, 2), method = c("add", "rep", "mult"))
  suppressWarnings(expect_gradient(outbreak, events = list(data = table)))
  move <- function(t, y, parms) {
    y["S"] <- y["S"] * parms["g"]
    y[["I"]] <- y[["I"]] + parms[["b"]] * y[["S"]]
    y
  }
  expect_gradient(outbreak, events = list(func = move, time = c(1, 2)))
  needs_python()
  expect_error(nk_gradient(start, times, outbreak, parms, function(out) sum(out$I), events = list(func = move, root = TRUE)),
    "roots", class = "nodekit_value_error"
  )
})

test_that("a short input is not stepped over, and conditions may ask for the time", {
  needs_python()
  pulse <- function(t, y, parms) with(as.list(parms), list(if (t >= 30 && t < 31) k else 0))
  found <- nk_gradient(c(a = 0), 0:40, pulse, c(k = 2), function(out) out$a[41])
  expect_equal(found$parms, c(k = 1), tolerance = 1e-3)
})

test_that("parameters keep their form: lists, matrices, functions among them; the loss may have them too", {
  needs_python()
  A <- matrix(c(-0.1, -2, 2, -0.1), 2)
  given <- list(A = A, note = "kept", more = list(k = 2L, f = function(x) max(0, x)))
  turn <- function(t, y, parms) list(parms$A %*% y * parms$more$k / 2 * parms$more$f(1))
  found <- nk_gradient(c(1, 0), c(0, 1), turn, given, function(out) sum(out[2, -1]), rtol = 1e-9, atol = 1e-9)
  value <- function(A) { # the sum of exp(A) (1, 0)'
    e <- eigen(A)
    sum(Re(e$vectors %*% (exp(e$values) * solve(e$vectors, c(1, 0)))))
  }
  h <- 1e-6
  differences <- vapply(1:4, function(i) {
    (value(replace(A, i, A[i] + h)) - value(replace(A, i, A[i] - h))) / (2 * h)
  }, 1)
  expect_equal(found$parms$A, matrix(differences, 2), tolerance = 1e-5)
  expect_identical(names(found$parms), c("A", "more"))
  expect_equal(found$parms$more$k, sum(A * differences) / 2, tolerance = 1e-5)
  likelihood <- function(out, parms) -sum(dnorm(c(1, 0.5), out$a, parms[["sd"]], log = TRUE))
  found <- nk_gradient(c(a = 1), 0:1, function(t, y, parms) list(-parms["k"] * y), c(k = 0.5, sd = 0.2), likelihood,
    rtol = 1e-9, atol = 1e-9)
  residual <- 0.5 - exp(-0.5)
  expect_equal(found$parms[["sd"]], 2 / 0.2 - residual^2 / 0.2^3, tolerance = 1e-6)
})

test_that("the initial state may depend on parameters", {
  needs_python()
  found <- nk_gradient(function(parms) c(a = parms[["a0"]]^2), c(0, 1), function(t, y, parms) list(-parms["k"] * y),
    c(k = 0.5, a0 = 3), function(out) out$a[2], rtol = 1e-9, atol = 1e-9)
  expect_equal(found$parms, c(k = -9 * exp(-0.5), a0 = 6 * exp(-0.5)), tolerance = 1e-6)
})

test_that("what cannot be differentiated is said with what to write; errors of the user's own arrive as they were", {
  needs_python()
  expect_error(nk_gradient(c(a = 1), 0:1, function(t, y, parms) list(-besselJ(y, 0)), loss = function(out) sum(out$a)),
    "'func', besselJ\\(y, 0\\) cannot be differentiated", class = "nodekit_not_differentiable"
  )
  expect_error(nk_gradient(c(a = 1), 0:1, function(t, y, parms) list(-y), loss = function(out) fft(out$a)[1]),
    "'loss', fft", class = "nodekit_not_differentiable"
  )
  decay <- function(t, y, parms) list(-y)
  expect_error(nk_gradient(c(1, 2), 0:1, decay, loss = function(out) out), "loss must return one number",
    class = "nodekit_value_error"
  )
  expect_error(nk_gradient(c(1, 2), 0:1, decay, loss = function(out) stop("mine")), "mine")
  expect_error(nk_gradient(c(1, 2), 0:1, decay, loss = function(out) nothing + 1), "object 'nothing' not found")
  expect_error(nk_gradient(c(a = 1), 0:1, decay, loss = function(out) sum(out$b)), "no 'b'", class = "nodekit_value_error")
  expect_error(nk_gradient(c(a = 1), 0:1, decay, loss = sum, maxstep = 1), "'maxsteps'",
    class = "nodekit_unknown_argument"
  )
})

test_that("a solve that needs too many steps ends", {
  needs_python()
  expect_error(nk_gradient(start, times, outbreak, c(b = 237, g = -269), function(out) sum(out$I), maxsteps = 20),
    class = "nodekit_max_steps_reached"
  )
})

test_that("optim, nlminb and nlm find the parameters, absurd ones on the way counting as Inf", {
  needs_python()
  truth <- nk_ode(start, times, outbreak, parms, rtol = 1e-8, atol = 1e-8)[, "I"]
  objective <- nk_objective(start, times, outbreak, c(b = 1, g = 0.3), function(out) 1e4 * mean((out$I - truth)^2))
  expect_equal(objective$par, c(b = 1, g = 0.3))
  found <- stats::optim(objective$par, objective$fn, objective$gr, method = "BFGS")
  expect_equal(found$par, parms, tolerance = 1e-2)
  expect_identical(objective$fn(c(237, -269)), Inf)
  expect_true(all(is.nan(objective$gr(c(237, -269)))))
  found <- stats::nlminb(objective$par, objective$fn, objective$gr)
  expect_equal(found$par, parms, tolerance = 1e-2)
  found <- suppressWarnings(stats::nlm(objective$both, objective$par, check.analyticals = FALSE))
  expect_equal(found$estimate, unname(parms), tolerance = 1e-2)
})

test_that("absurd parameters cost little more than the best so far, whether the solve fails, grows or is stiff", {
  needs_python()
  calls <- 0
  counted <- function(t, y, parms) {
    calls <<- calls + 1
    with(as.list(c(y, parms)), list(c(-b * S * I, b * S * I - g * I)))
  }
  objective <- nk_objective(start, times, counted, parms, function(out) mean((out$I - 0.1)^2))
  expect_true(is.finite(objective$fn(parms)))
  best <- calls
  for (absurd in list(c(237, -269), c(1, -8), c(-50, -50), c(1e3, -3), c(10, -30), c(1e8, 1e8), c(NaN, 1))) {
    calls <- 0
    value <- objective$fn(absurd)
    expect_false(is.na(value))
    expect_lt(calls, 12 * best + 700)
    expect_identical(all(is.nan(objective$gr(absurd))), value == Inf)
  }
  # What R leaves to the library is not absurd: no absolute tolerance beside a state of zero.
  filling <- function(t, y, parms) list(c(-parms[["k"]] * y[1], parms[["k"]] * y[1]))
  objective <- nk_objective(c(a = 1, b = 0), 0:2, filling, c(k = 1), function(out) out$b[3], atol = 0)
  expect_equal(vapply(c(1, 1.1), objective$fn, 1), 1 - exp(-2 * c(1, 1.1)), tolerance = 1e-5)
  # The bound moves with the best: an optimum of more work than the start is found.
  turning <- function(t, y, parms) list(c(parms[["w"]] * y[2], -parms[["w"]] * y[1]))
  seen <- cos(6 * seq(0, 3, by = 0.1))
  objective <- nk_objective(c(a = 1, b = 0), seq(0, 3, by = 0.1), turning, c(w = 5.5), function(out) sum((out$a - seen)^2))
  found <- stats::optim(objective$par, objective$fn, objective$gr, method = "BFGS")
  expect_equal(found$par, c(w = 6), tolerance = 1e-4)
})

test_that("value and gradient are those of nk_gradient(), kept, and parameters may be a list", {
  needs_python()
  calls <- 0
  counted <- function(t, y, parms) {
    calls <<- calls + 1
    with(as.list(c(y, parms)), list(c(-b * S * I, b * S * I - g * I)))
  }
  loss <- function(out) sum(out$I)
  objective <- nk_objective(start, times, counted, list(b = 1.5, g = 0.5, kind = "SIR"), loss, rtol = 1e-8)
  gradient <- objective$gr(objective$par)
  before <- calls
  expect_equal(objective$fn(objective$par), nk_gradient(start, times, outbreak, parms, loss, rtol = 1e-8)$value)
  expect_identical(objective$gr(objective$par), gradient)
  expect_identical(calls, before)
  expect_equal(gradient, nk_gradient(start, times, outbreak, parms, loss, rtol = 1e-8)$parms)
  expect_identical(objective$parms(c(2, 1)), list(b = 2, g = 1, kind = "SIR"))
  failing <- nk_objective(c(a = 1), c(0, 2), function(t, y, parms) list(parms * y^2), c(k = 1), function(out) out$a[2])
  expect_error(failing$fn(1), class = "nodekit_solve_failed") # the first parameters must be possible ones
})

test_that("absurd parameters on the way warn of nothing; the first ones do, with the user's function named", {
  needs_python()
  falling <- function(t, y, parms) list(-parms)
  by_logarithm <- function() nk_objective(c(x = 1), c(0, 1), falling, c(k = 0.5), function(out) log(out$x[2])^2)
  objective <- by_logarithm()
  expect_silent(found <- objective$fn(0.5))
  expect_equal(found, log(0.5)^2, tolerance = 1e-5)
  expect_silent(found <- objective$gr(2))
  expect_true(is.nan(found))
  expect_warning(by_logarithm()$gr(2), "NaNs produced")
  said <- tryCatch(by_logarithm()$gr(2), warning = identity)
  expect_identical(as.character(conditionCall(said)[[1]]), "log")
})

test_that("slopes that jump where a state passes a threshold are said, corners and times are not", {
  needs_python()
  end <- function(out) out$x[nrow(out)]
  stairs <- approxfun(0:3, 0:3, method = "constant")
  # x grows by a until it is 1, then by 1: x(2) = 3 - 1/a, whose slope at a = 2 is 1/4; the slopes alone give 1/2.
  for (jumping in list(
    function(t, y, parms) list(if (y["x"] < 1) parms["a"] else 1),
    function(t, y, parms) list(ifelse(y > 1, 1, parms["a"])),
    function(t, y, parms) with(as.list(c(y, parms)), list(a + floor(x) * (1 - a))),
    function(t, y, parms) with(as.list(c(y, parms)), list(a + x %/% 1 * (1 - a))),
    function(t, y, parms) with(as.list(c(y, parms)), list(a + (x - x %% 1) * (1 - a))),
    function(t, y, parms) list(if (findInterval(y["x"], 1)) 1 else parms["a"]),
    function(t, y, parms) list(c(parms["a"], 1)[which.max(c(1, y["x"]))]),
    function(t, y, parms) with(as.list(c(y, parms)), list(a + as.integer(x) * (1 - a))),
    function(t, y, parms) with(as.list(c(y, parms)), list(a + stairs(x) * (1 - a)))
  )) {
    said <- NULL
    found <- withCallingHandlers(
      nk_gradient(c(x = 0), seq(0, 1.2, by = 0.1), jumping, c(a = 2), end),
      nodekit_slope_jumps = function(w) {
        said <<- w
        invokeRestart("muffleWarning")
      }
    )
    expect_match(conditionMessage(said), "jump at t = 0.5, ")
    expect_gt(abs(found$parms - 1 / 4), 0.2)
  }
  for (smooth in list(
    function(t, y, parms) list(if (y["x"] < 1) parms["a"] else parms["a"] * y["x"]),
    function(t, y, parms) list(parms["a"] * max(0, 1 - y)),
    function(t, y, parms) list(if (t < 0.5) parms["a"] else 1),
    function(t, y, parms) list(if (parms["a"] > 1) 1 else 0)
  )) {
    expect_silent(nk_gradient(c(x = 0), seq(0, 1.2, by = 0.1), smooth, c(a = 2), end))
  }
})

test_that("an objective says once that slopes jump", {
  needs_python()
  jumping <- function(t, y, parms) list(if (y["x"] < 1) parms["a"] else 1)
  objective <- nk_objective(c(x = 0), seq(0, 1.2, by = 0.1), jumping, c(a = 2), function(out) out$x[13])
  expect_warning(objective$gr(2), "jump", class = "nodekit_slope_jumps")
  expect_silent(objective$gr(2.1))
})
