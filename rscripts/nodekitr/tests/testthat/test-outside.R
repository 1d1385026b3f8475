# What acts on trajectories from outside while they are learnt: covariates, forcings, events; weights; validation.

# dy/dt = -k y + warmth for trajectories of their own warmth, which may change with time.
heated <- function(times, start, warmth, k = 0.5) {
  out <- nk_ode(c(y = start), times, function(t, y, p) list(-k * y + warmth(t)), rtol = 1e-9, atol = 1e-9)
  data.frame(time = out[, "time"], y = out[, "y"])
}
cooling <- function(t, y, parms) with(as.list(c(y, parms)), list(-k * y + gain * warmth))
quick <- function(data, ..., epochs = 150, learning_rate = 0.05) {
  nk_fit(data, ..., epochs = epochs, learning_rate = learning_rate, rtol = 1e-6, atol = 1e-6, seed = 1, progress = FALSE)
}

test_that("a covariate that changes acts on each trajectory by its table, as approx() says", {
  needs_python()
  times <- seq(0, 8, by = 0.5)
  temperature <- data.frame(id = rep(c("a", "b"), each = 5), time = c(0, 2, 4, 6, 8, 0, 3, 3.5, 6, 8),
    warmth = c(1, 3, 0, 2, 1, 0, 4, 0, 2, 2))
  for (method in c("linear", "constant")) {
    data <- do.call(rbind, lapply(c("a", "b"), function(id) {
      own <- temperature[temperature$id == id, ]
      cbind(id = id, heated(times, 2, approxfun(own$time, own$warmth, method = method)))
    }))
    fit <- quick(data, known = cooling, parms = c(k = 0.3, gain = 0.7), layers = NULL, forcings = temperature,
      fcontrol = list(method = method))
    expect_equal(coef(fit), c(k = 0.5, gain = 1), tolerance = 2e-3, info = method)
    expect_lt(max(abs(residuals(fit)$y)), 5e-3)
    expect_output(print(fit), "covariates: warmth")
    # Elsewhere: other forcings, and a trajectory that was not in the data.
    cold <- predict(fit, data.frame(id = "z", time = 0:4, y = 2), forcings = data.frame(time = 0:1, warmth = 0))
    expect_equal(cold$y, 2 * exp(-0.5 * 0:4), tolerance = 5e-3)
  }
})

test_that("no pulse is missed, and trajectories in windows see their own part of it", {
  needs_python()
  times <- 0:12
  pulse <- data.frame(time = c(0, 5.2, 5.3), warmth = c(0, 20, 0))
  data <- heated(times, 1, approxfun(pulse$time, pulse$warmth, method = "constant", rule = 2))
  fit <- quick(data, known = cooling, parms = c(k = 0.5, gain = 0.8), layers = NULL, forcings = pulse, window = 3,
    fcontrol = list(method = "constant"), epochs = 120)
  expect_equal(coef(fit), c(k = 0.5, gain = 1), tolerance = 5e-3)
  for (method in c("rk4", "dopri5")) { # what is predicted is what was solved
    again <- quick(data, known = cooling, parms = c(k = 0.5, gain = 1), layers = NULL, forcings = pulse,
      fcontrol = list(method = "constant"), epochs = 1, learning_rate = 1e-9, method = method)
    expect_lt(max(abs(residuals(again)$y)), if (method == "rk4") 0.05 else 1e-4)
  }
})

test_that("constant covariates and factors are seen by the network and by the known part", {
  needs_python()
  times <- seq(0, 3, by = 0.25)
  data <- do.call(rbind, Map(function(id, treated) {
    data.frame(id, treatment = treated, dose = 2, heated(times, 3, function(t) if (treated == "B") 2 else 0))
  }, 1:4, c("A", "B", "A", "B")))
  by_treatment <- function(t, y, parms) with(as.list(c(y, parms)), list(-k * y + gain * treatmentB * dose))
  fit <- quick(data, known = by_treatment, parms = c(k = 0.4, gain = 0.5), layers = NULL,
    covariates = c("treatment", "dose"))
  expect_identical(fit$states, "y")
  expect_equal(coef(fit), c(k = 0.5, gain = 1), tolerance = 5e-3)
  learnt <- quick(data, covariates = "treatment", states = "y", layers = 8, window = 5, epochs = 100)
  expect_gt(summary(learnt)$states$r_squared, 0.99)
  expect_output(print(learnt), "2 - 8 - 1")
  new <- data.frame(id = c("x", "x", "z", "z"), treatment = c("A", "A", "B", "B"), time = c(0, 2, 0, 2), y = 2)
  found <- predict(learnt, new)
  expect_equal(found$y[2], 2 * exp(-1), tolerance = 0.2)
  expect_equal(found$y[4], 4 - 2 * exp(-1), tolerance = 0.1)
  expect_error(predict(learnt, transform(new, treatment = "C")), "has not seen", class = "nodekit_value_error")
  expect_error(predict(learnt, new[c("id", "time", "y")]), "no column 'treatment'", class = "nodekit_value_error")
  expect_error(predict(learnt, data.frame(id = 1, time = 0:1, treatment = "B")), "another in 'newdata'",
    class = "nodekit_value_error")
  expect_error(predict(learnt, times = 0:1, y = c(y = 1)), "has covariates", class = "nodekit_value_error")
  expect_error(nk_ode(c(y = 1), 0:1, learnt), "has covariates", class = "nodekit_value_error")
  expect_identical(predict(learnt, data), fitted(learnt))
})

test_that("doses act during a fit, on the trajectories that got them, and the row at a dose is before it", {
  needs_python()
  elimination <- function(t, y, parms) with(as.list(c(y, parms)), list(c(-ka * gut, ka * gut - ke * blood)))
  doses <- data.frame(id = c("u", "u", "v", "v"), var = "gut", time = c(0, 4, 2, 5.3), value = c(10, 5, 8, 0.5),
    method = c("add", "add", "add", "multiply"))
  data <- do.call(rbind, lapply(c("u", "v"), function(id) {
    out <- suppressWarnings(nk_ode(c(gut = 0, blood = 1), 0:8, elimination, c(ka = 1.2, ke = 0.4), rtol = 1e-9,
      atol = 1e-9, events = list(data = doses[doses$id == id, -1])))
    out <- out[out[, "time"] %in% 0:8, ]
    data.frame(id, unclass(out)[, 1:3])
  }))
  fit <- quick(data, states = c("gut", "blood"), known = elimination, parms = c(ka = 1, ke = 0.5), log = c("ka", "ke"),
    layers = NULL, events = doses)
  expect_equal(coef(fit), c(ka = 1.2, ke = 0.4), tolerance = 2e-3)
  expect_equal(fitted(fit)$gut[c(1, 5)], c(0, 10 * exp(-4 * 1.2)), tolerance = 0.02)
  in_windows <- quick(data, states = c("gut", "blood"), known = elimination, parms = c(ka = 1, ke = 0.5),
    log = c("ka", "ke"), layers = NULL,
    events = doses, window = 4, epochs = 100)
  expect_equal(coef(in_windows), c(ka = 1.2, ke = 0.4), tolerance = 5e-3)
  without <- predict(fit, data.frame(id = "w", time = 0:8, gut = 10, blood = 1))
  expect_equal(without$gut, 10 * exp(-coef(fit)[["ka"]] * 0:8), tolerance = 1e-4)
  expect_error(quick(data, events = transform(doses, id = "w")), "no trajectory", class = "nodekit_value_error")
  expect_error(quick(data, events = transform(doses, var = "w")), "which is no state", class = "nodekit_value_error")
  expect_error(quick(transform(data, gut = gut + 1), events = transform(doses, method = "replace", value = 0),
    positive = "gut", epochs = 1), "zero or negative that is to be positive")
})

test_that("events without ids happen in all trajectories, and along what starts elsewhere", {
  needs_python()
  elimination <- function(t, y, parms) list(-parms[["k"]] * y)
  doses <- data.frame(var = "drug", time = c(0.3, 0.7), value = c(5, 3), method = "add")
  solved <- function(start, times) {
    out <- nk_ode(c(drug = start), times, elimination, c(k = 0.5), rtol = 1e-9, atol = 1e-9, events = list(data = doses))
    as.data.frame(out)
  }
  times <- seq(0, 2, by = 0.1) # 0.3 is one of them but for rounding
  data <- rbind(cbind(id = "a", solved(1, times)), cbind(id = "b", solved(4, times)))
  expect_message(fit <- quick(data, known = elimination, parms = c(k = 0.7), layers = NULL, events = doses),
    "in all trajectories")
  expect_equal(coef(fit), c(k = 0.5), tolerance = 1e-3)
  expect_lt(max(abs(residuals(fit)$drug)), 1e-2)
  one <- quick(data[data$id == "b", -1], known = elimination, parms = c(k = 0.7), layers = NULL, events = doses)
  expect_equal(coef(one), c(k = 0.5), tolerance = 1e-3)
  for (model in list(fit, one)) {
    expect_equal(predict(model, times = times, y = c(drug = 2))$drug, solved(2, times)$drug, tolerance = 2e-3)
    later <- data.frame(var = "drug", time = 1, value = 1, method = "replace")
    found <- predict(model, times = 0:2, y = c(drug = 2), events = later)
    expect_equal(found$drug, c(2, 2 * exp(-0.5), exp(-0.5)), tolerance = 2e-3)
    expect_error(predict(model, times = 2:0, y = c(drug = 2)), "gone back over", class = "nodekit_value_error")
  }
  own <- suppressMessages(quick(data, known = elimination, parms = c(k = 0.5), layers = NULL,
    events = rbind(cbind(id = "a", doses), cbind(id = "b", doses)), epochs = 1, learning_rate = 1e-9))
  expect_equal(predict(own, times = 0:2, y = c(drug = 2))$drug, 2 * exp(-0.5 * 0:2), tolerance = 1e-4)
})

test_that("rows without weight are not learnt from, and whole numbers are rows given as often", {
  needs_python()
  decay <- function(t, y, parms) list(-parms * y)
  data <- data.frame(time = 0:6, y = 3 * exp(-0.4 * 0:6))
  wrong <- transform(data, y = replace(y, 4, 9), w = replace(rep(1, 7), 4, 0))
  fit <- quick(wrong, known = decay, parms = c(k = 0.3), layers = NULL, weights = "w")
  expect_identical(fit$states, "y")
  expect_equal(coef(fit), c(k = 0.4), tolerance = 2e-3)
  expect_gt(abs(coef(quick(wrong[1:2], known = decay, parms = c(k = 0.3), layers = NULL)) - 0.4), 0.05)
  expect_error(quick(data, weights = c(1, 2)), "7 numbers", class = "nodekit_value_error")
  expect_error(quick(data, weights = "v"), "no column", class = "nodekit_value_error")
  expect_error(quick(data, weights = c(rep(1, 6), -1)), "not negative", class = "nodekit_value_error")
})

test_that("what is held out is not learnt from, and the best epoch by it is kept", {
  needs_python()
  data <- do.call(rbind, lapply(1:5, function(id) cbind(id, heated(seq(0, 4, by = 0.5), id, function(t) 0))))
  wrong <- transform(data, y = ifelse(id == 5, 5 + time, y))
  fit <- quick(wrong, known = cooling, parms = c(k = 0.2, gain = 1, warmth = 0), fixed = c("gain", "warmth"),
    layers = NULL, validation = 0.2, patience = 5)
  expect_identical(names(fit$history)[5], "validation")
  expect_lt(nrow(fit$history), 150) # the nearer k to the truth, the worse for trajectory 5
  best <- which.min(fit$history$validation)
  expect_identical(nrow(fit$history), best + 5L)
  expect_identical(which(fit$history$kept), best)
  expect_output(print(fit), paste("the best was", best))
  same <- quick(wrong, known = cooling, parms = c(k = 0.2, gain = 1, warmth = 0), fixed = c("gain", "warmth"),
    layers = NULL, validation = 5)
  expect_equal(min(same$history$validation), min(fit$history$validation))
  end <- quick(data[data$id == 1, -1], layers = 3, epochs = 3, validation = 0.3)
  expect_identical(which(end$training$held), 7:9)
  expect_error(quick(data, validation = "q"), "neither a fraction nor ids", class = "nodekit_value_error")
  expect_error(quick(data, validation = 1:5), "nothing to train on", class = "nodekit_value_error")
})

test_that("training goes on from where it was", {
  needs_python()
  data <- heated(seq(0, 4, by = 0.5), 3, function(t) 0)
  short <- quick(data, layers = 4, epochs = 20)
  longer <- nk_continue(short, epochs = 30, learning_rate = 0.02, progress = FALSE)
  expect_equal(longer$history$epoch, 1:50)
  expect_identical(which(longer$history$kept), 50L)
  expect_lt(longer$history$loss[50], short$history$loss[20])
  expect_equal(longer$history$loss[21], short$history$loss[20], tolerance = 0.1)
  expect_error(nk_continue(1), class = "nodekit_type_error")
})

test_that("a device that is not there is said", {
  needs_python()
  skip_if(reticulate::import("torch")$cuda$is_available())
  expect_error(quick(data.frame(time = 0:2, y = 3:1), device = "cuda", epochs = 1), class = "nodekit_error")
})

test_that("what is wrong with covariates is said", {
  needs_python()
  data <- data.frame(time = 0:4, y = 5:1 + 0, warmth = c(1, 2, 2, 1, 3), kind = c("a", "b", "b", "a", "a"))
  bad <- function(message, ..., class = "nodekit_value_error") {
    expect_error(quick(data, states = "y", epochs = 1, layers = 2, ...), message, class = class)
  }
  bad("names 'cold'", covariates = "cold")
  bad("no values between its levels", covariates = "kind")
  expect_s3_class(quick(data, states = "y", epochs = 1, layers = 2, covariates = "kind",
    fcontrol = list(method = "constant")), "nk_fit")
  bad("unknown element 'rules'", covariates = "warmth", fcontrol = list(rules = 1))
  bad("is not given at time = 4", forcings = data.frame(time = 0:3, rain = 1:4), fcontrol = list(rule = 1))
  twice <- data.frame(time = c(0, 2, 2, 4), rain = c(0, 3, 1, 1))
  bad("'rain' is given twice at time = 2", forcings = twice)
  expect_s3_class(quick(data, states = "y", epochs = 1, layers = 2, forcings = twice,
    fcontrol = list(ties = mean)), "nk_fit")
  bad("must be a data frame", forcings = cbind(0:3, 1:4), class = "nodekit_type_error")
  bad("no value of 'warmth'", covariates = "warmth", forcings = data.frame(time = 0:1, warmth = NA_real_))
  expect_error(quick(data[c("time", "y", "warmth")], covariates = "warmth", epochs = 1,
    known = function(t, y, parms) list(-y), parms = c(warmth = 1)), "parameter and of a covariate",
    class = "nodekit_value_error")
})
