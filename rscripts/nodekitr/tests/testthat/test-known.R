# An equation known in part: an R function beside a network.

lotka <- function(t, y, parms) with(as.list(c(y, parms)), {
  list(c(growth * prey - rate * prey * predator, 0.5 * rate * prey * predator - death * predator))
})
without_meeting <- function(t, y, parms) with(as.list(c(y, parms)), list(c(growth * prey, -death * predator)))
lotka_truth <- c(growth = 1, rate = 0.2, death = 0.4)

lotka_data <- function(count = 2, by = 0.5, until = 6, noise = 0, seed = 1) {
  set.seed(seed)
  do.call(rbind, lapply(seq_len(count), function(i) {
    out <- nk_ode(c(prey = 3 + i, predator = 2), seq(0, until, by = by), lotka, lotka_truth)
    values <- out[, c("prey", "predator")] * exp(rnorm(2 * nrow(out), sd = noise))
    data.frame(id = i, time = out[, "time"], values)
  }))
}

# The values and gradients of an R function by its program and by calls of R, at random states.
by_both_ways <- function(func, parms, inputs = list(), n = 5, states = c("a", "b")) {
  set.seed(1)
  probe <- list(
    times = runif(n, 0.1, 3), states = matrix(runif(n * length(states), 0.3, 2), n),
    inputs = lapply(seq_len(n), function(i) lapply(inputs, function(x) x + i / 10))
  )
  known <- as_known(func, parms, NULL, -Inf, Inf, NULL, states, probe)
  torch <- reticulate::import("torch")
  results <- lapply(list(known, utils::modifyList(known, list(program = "by hand"))), function(known) {
    tensor <- function(x, gradient = FALSE) torch$tensor(x, dtype = torch$float64, requires_grad = gradient)
    y <- tensor(probe$states, TRUE)
    p <- tensor(matrix(as.double(unlist(numeric_entries(parms))), 1), TRUE)
    x <- tensor(inputs_matrix(probe$inputs))
    value <- known_in_python(known)(tensor(probe$times), y, p, x)
    value$square()$sum()$backward()
    numbers <- function(x) if (!is.null(x)) x$numpy()
    list(value = value$detach()$numpy(), y = numbers(y$grad), p = numbers(p$grad) %||% matrix(0, 1, length(unlist(parms))))
  })
  list(known = known, program = results[[1]], called = results[[2]], probe = probe)
}

test_that("the program of a function has its values, and its gradients by states and parameters", {
  needs_python()
  table <- approxfun(0:4, c(1, 3, 2, 5, 4))
  curve <- splinefun(0:4, c(1, 3, 2, 5, 4))
  jumps <- approxfun(0:4, c(1, 3, 2, 5, 4), method = "constant", f = 0.3)
  models <- list(
    plain = function(t, y, p) list(c(p[["k"]] * y[1] * y[2], -y[["b"]]^p[["m"]])),
    with = function(t, y, p) with(as.list(c(y, p)), list(c(exp(-k * a) / (1 + b), sqrt(a) + m %% 0.3))),
    assigned = function(t, y, p) {
      dy <- numeric(2)
      dy[1] <- -p["k"] * y["a"]
      for (i in 1:2) dy[2] <- dy[2] + y[i] * i
      list(dy)
    },
    sums = function(t, y, p) list(c(sum(y * p) + prod(y), mean(y) - max(y, 1) + min(y))),
    bounds = function(t, y, p) list(c(max(0, y[1] - 1), pmin(y[2], p[["m"]])) + pmax(0, y - 0.5)),
    matrices = function(t, y, p) list(drop(matrix(c(p, 0.5, 2), 2) %*% y + solve(diag(2) + 0.1, y))),
    outer = function(t, y, p) list(colSums(outer(y, y)) + as.vector(crossprod(rbind(y, y), y))),
    tables = function(t, y, p) list(c(table(t) * y[1], curve(y[2]) + jumps(t))),
    time = function(t, y, p) with(as.list(y), list(c(sin(2 * pi * t) * a, p[["k"]] + cumsum(c(a, b))[2]))),
    applied = function(t, y, p) list(sapply(1:2, function(i) y[i]^2 * p[[i]])),
    constant = function(t, y, p) list(c(1, 2))
  )
  for (name in setdiff(names(models), "constant")) {
    both <- by_both_ways(models[[name]], c(k = 0.7, m = 1.2))
    expect_type(both$known$program, "list")
    expected <- t(sapply(seq_along(both$probe$times), function(i) unlist(plain_known(both$known, i)[[1]])))
    expect_equal(both$program$value, unname(expected), tolerance = 1e-12, info = name)
    expect_equal(both$called$value, unname(expected), tolerance = 1e-12, info = name)
    expect_equal(both$program$y, both$called$y, tolerance = 1e-10, info = name)
    expect_equal(both$program$p, both$called$p, tolerance = 1e-10, info = name)
  }
  expect_type(as_known(models$constant, NULL, NULL, -Inf, Inf, NULL, c("a", "b"), both$probe)$program, "list")
  listed <- function(t, y, p) with(c(as.list(y), p), list(c(x * a * rates[1], sum(rates) * b)))
  both <- by_both_ways(listed, list(rates = c(1, 2), label = "u"), list(x = 1))
  expect_type(both$known$program, "list")
  expect_equal(both$program$p, both$called$p)
})

test_that("a function that decides by values is called by R, and said; its gradients are right", {
  needs_python()
  deciding <- list(
    "a value decides" = function(t, y, p) list(c(if (y[1] > 1) p[[1]] * y[1] else 0, ifelse(y[2] > 1, y[2], -y[2]))),
    "a value decides" = function(t, y, p) list(c(if (t < 1) 1 else p[[1]], y[2])),
    "a value decides" = function(t, y, p) list(c(p[[1]], 2)[1 + (y > 1)] * y)
  )
  for (f in deciding) {
    expect_message(both <- by_both_ways(f, c(k = 0.7)), "called by R.*a value decides")
    expect_equal(both$program, both$called)
    step <- 1e-6
    by_hand <- function(h) {
      sum(sapply(seq_along(both$probe$times), function(i) {
        sum(unlist(f(both$probe$times[i], both$probe$states[i, ], c(k = 0.7 + h)))^2)
      }))
    }
    expect_equal(as.vector(both$called$p), (by_hand(step) - by_hand(-step)) / (2 * step), tolerance = 1e-6)
  }
  # What changes its steps without a decision on a number that remembers is found by trying it.
  calls <- 0
  restless <- function(t, y, p) {
    calls <<- calls + 1
    list(if (calls > 6) 2 * y else y)
  }
  expect_message(by_both_ways(restless, NULL, n = 4), "not take the same steps")
})

test_that("the parameters alone are found, within bounds, and with errors like those of nls()", {
  needs_python()
  set.seed(3)
  time <- seq(0, 6, by = 0.5)
  data <- data.frame(time, size = c(5, 5 * exp(-0.6 * time[-1]) + rnorm(12, sd = 0.1)))
  decay <- function(t, y, parms) with(as.list(c(y, parms)), list(-k * size))
  fit <- nk_fit(data, known = decay, parms = c(k = 0.3), log = "k", layers = NULL, epochs = 300, learning_rate = 0.05,
    rtol = 1e-7, atol = 1e-7, seed = 1, progress = FALSE)
  peer <- stats::nls(size ~ 5 * exp(-k * time), data[-1, ], c(k = 0.5))
  expect_equal(coef(fit), coef(peer), tolerance = 1e-3)
  expect_equal(sqrt(vcov(fit)[1, 1]), sqrt(vcov(peer)[1, 1]), tolerance = 0.01)
  expect_equal(as.double(logLik(fit)), as.double(logLik(peer)), tolerance = 1e-5)
  expect_equal(AIC(fit), AIC(peer), tolerance = 1e-5)
  expect_equal(tidy.nk_fit(fit)$std.error, sqrt(vcov(fit)[1, 1]))
  expect_identical(names(tidy.nk_fit(fit, conf.int = TRUE)), c("term", "estimate", "std.error", "conf.low", "conf.high"))
  expect_gt(confint(fit)[1], 0)
  expect_output(print(fit), "^Differential equation of size\n  known part: k = 0.[56]")
  bounded <- nk_fit(data, known = decay, parms = c(k = 0.3), upper = c(k = 0.4), layers = NULL, epochs = 40,
    learning_rate = 0.05, seed = 1, progress = FALSE)
  expect_equal(coef(bounded), c(k = 0.4))
  expect_true(is.na(vcov(bounded)))
})

test_that("with the start estimated, it is one of the parameters, and the errors are those of nls()", {
  needs_python()
  set.seed(4)
  time <- seq(0, 6, by = 0.5)
  data <- data.frame(time, size = 5 * exp(-0.6 * time) + rnorm(13, sd = 0.1))
  decay <- function(t, y, parms) with(as.list(c(y, parms)), list(-k * size))
  fit <- nk_fit(data, known = decay, parms = c(k = 0.5), layers = NULL, starts = "estimated", epochs = 300,
    learning_rate = 0.05, rtol = 1e-7, atol = 1e-7, seed = 1, progress = FALSE)
  peer <- stats::nls(size ~ a * exp(-k * time), data, c(a = 5, k = 0.5))
  expect_equal(coef(fit), coef(peer)["k"], tolerance = 1e-3)
  expect_equal(fitted(fit)$size[1], coef(peer)[["a"]], tolerance = 1e-3)
  expect_equal(sqrt(vcov(fit)[1, 1]), sqrt(vcov(peer)["k", "k"]), tolerance = 0.01)
  expect_equal(as.double(logLik(fit)), as.double(logLik(peer)), tolerance = 1e-4)
  # The first observation may be missing.
  data$size[1] <- NA
  again <- nk_fit(data, known = decay, parms = c(k = 0.5), layers = NULL, starts = "estimated", epochs = 300,
    learning_rate = 0.05, seed = 1, progress = FALSE)
  expect_equal(fitted(again)$size[1], 5, tolerance = 0.1)
})

test_that("the network finds what the known part leaves out", {
  needs_python()
  data <- lotka_data(count = 3)
  fit <- nk_fit(data, states = c("prey", "predator"), known = without_meeting,
    parms = lotka_truth[c("growth", "death")], fixed = c("growth", "death"),
    layers = 16, window = 4, epochs = 150, learning_rate = 0.03, seed = 1, progress = FALSE)
  expect_identical(coef(fit), lotka_truth[c("growth", "death")])
  terms <- nk_terms(fit, data)
  expect_identical(names(terms),
    c("id", "time", "prey", "predator", "known_prey", "known_predator", "learnt_prey", "learnt_predator"))
  expect_equal(terms$known_prey, data$prey)
  expect_gt(cor(terms$learnt_prey, -data$prey * data$predator), 0.97)
  expect_lt(max(abs(terms$learnt_prey + 0.2 * data$prey * data$predator)), 0.25 * max(0.2 * data$prey * data$predator))
  # It starts from the known part alone.
  none <- nk_fit(data, states = c("prey", "predator"), known = without_meeting,
    parms = lotka_truth[c("growth", "death")], epochs = 1,
    learning_rate = 1e-12, seed = 1, progress = FALSE)
  expect_equal(max(abs(nk_terms(none)$learnt_prey)), 0, tolerance = 1e-6)
  expect_error(vcov(fit), "nk_ensemble", class = "nodekit_value_error")
  out <- nk_ode(c(prey = 4, predator = 2), 0:3, fit)
  expect_equal(unname(out[4, "prey"]), predict(fit, times = c(0, 3), y = c(prey = 4, predator = 2))$prey[2], tolerance = 1e-4)
})

test_that("the network may see some states only, and add to some slopes only", {
  needs_python()
  fit <- nk_fit(lotka_data(count = 1), states = c("prey", "predator"), known = without_meeting,
    parms = lotka_truth, inputs = "prey", learnt = "predator",
    layers = 3, epochs = 2, seed = 1, progress = FALSE)
  expect_output(print(fit), "1 - 3 - 1")
  expect_identical(nk_terms(fit)$learnt_prey, rep(0, 13))
  expect_gt(max(abs(nk_terms(fit)$learnt_predator)), 0)
})

test_that("positive states stay so, and their noise multiplies", {
  needs_python()
  data <- lotka_data(count = 1, by = 0.25, noise = 0.1)
  fit <- nk_fit(data, states = c("prey", "predator"), known = lotka, parms = lotka_truth,
    log = names(lotka_truth), layers = NULL, positive = TRUE,
    starts = "estimated", epochs = 100, learning_rate = 0.03, seed = 1, progress = FALSE)
  expect_lt(max(abs(log(coef(fit) / lotka_truth))), 0.2)
  expect_equal(unname(sigma(fit)), c(0.1, 0.1), tolerance = 0.4)
  bounds <- predict(fit, times = 0:20, interval = "prediction")
  expect_true(all(bounds$prey.lower > 0))
  expect_equal(log(bounds$prey.upper / bounds$prey), rep(qt(0.975, noise_df(fit)[["prey"]]) * sigma(fit)[["prey"]], 21))
  # The likelihood is that of log-normal values.
  e <- log(data$prey / fitted(fit)$prey)
  u <- log(data$predator / fitted(fit)$predator)
  by_hand <- sum(dlnorm(data$prey, log(fitted(fit)$prey), sqrt(mean(e^2)), log = TRUE)) +
    sum(dlnorm(data$predator, log(fitted(fit)$predator), sqrt(mean(u^2)), log = TRUE))
  expect_equal(as.double(logLik(fit)), by_hand, tolerance = 1e-6)
  expect_error(nk_fit(transform(data, prey = prey - 3), positive = "prey", epochs = 1), "named in 'positive'",
    class = "nodekit_value_error")
  expect_error(predict(fit, times = 0:1, y = c(prey = -1, predator = 1)), "negative", class = "nodekit_value_error")
})

test_that("what is wrong with a known part is said", {
  needs_python()
  data <- lotka_data(count = 1)
  bad <- function(message, ..., class = "nodekit_value_error") {
    expect_error(nk_fit(data, states = c("prey", "predator"), ..., epochs = 1, progress = FALSE), message, class = class)
  }
  expect_error(nk_fit(data, known = lotka, parms = lotka_truth), "in which order", class = "nodekit_value_error")
  expect_error(nk_estimate(data, lotka, lotka_truth), "in which order", class = "nodekit_value_error")
  expect_error(nk_estimate(cbind(plot = "a", data[-1]), lotka, lotka_truth), "'plot' may tell trajectories apart",
    class = "nodekit_value_error")
  bad("no 'known'", parms = lotka_truth)
  bad("not a function", known = 1, class = "nodekit_type_error")
  bad("returned 1 derivatives for 2 states", known = function(t, y, parms) list(1))
  bad("no list", known = function(t, y, parms) y, class = "nodekit_type_error")
  bad("'q', which is no parameter", known = lotka, parms = lotka_truth, fixed = "q")
  bad("starts outside", known = lotka, parms = lotka_truth, upper = c(rate = 0.1))
  bad("nothing to fit", layers = NULL)
  bad("nothing to fit", known = function(t, y, parms) list(-y), layers = NULL)
  bad("names 'x', which is no state", inputs = "x")
  bad("names 'x', which is no state", learnt = "x")
  bad("names 'x', which is no state", positive = "x")
  expect_error(nk_fit(data, states = c("prey", "predator"), known = function(t, y, parms) stop("my own"), epochs = 1), "my own")
})

test_that("hares and lynxes: the estimates lie within the intervals of a Bayesian fit that was published", {
  needs_python()
  pelts <- data.frame(
    year = 1900:1920,
    hare = c(30, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22, 25.4, 27.1, 40.3, 57, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2,
      24.7),
    lynx = c(4, 6.1, 9.8, 35.2, 59.4, 41.7, 19, 13, 8.3, 9.1, 7.4, 8, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6)
  )
  lotka_volterra <- function(t, y, parms) with(as.list(c(y, parms)), {
    list(c(growth * hare - caught * hare * lynx, fed * hare * lynx - death * lynx))
  })
  guess <- c(growth = 0.5, caught = 0.03, fed = 0.03, death = 0.8)
  fit <- nk_fit(pelts, time = "year", id = NULL, states = c("hare", "lynx"), known = lotka_volterra, parms = guess,
    log = names(guess), layers = NULL, positive = TRUE, starts = "estimated", epochs = 120, learning_rate = 0.05, seed = 1,
    progress = FALSE)
  # Carpenter, Predator-prey population dynamics: the Lotka-Volterra model in Stan (2018): 80 % intervals of the
  # posterior (its text has the decimal point of `caught` wrong), whose means are 0.55, 0.028, 0.024, 0.80.
  expect_true(all(coef(fit) > c(0.47, 0.023, 0.020, 0.69) & coef(fit) < c(0.63, 0.033, 0.029, 0.91)))
  expect_equal(unname(coef(fit)), c(0.55, 0.028, 0.024, 0.80), tolerance = 0.05)
})
