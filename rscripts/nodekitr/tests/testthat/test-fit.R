# Learning from trajectories.

# Damped oscillations from several starts, at irregular times.
oscillations <- function(seed = 1, count = 4, points = 15, until = 5) {
  set.seed(seed)
  do.call(rbind, lapply(seq_len(count), function(i) {
    time <- sort(c(0, runif(points - 1, 0, until)))
    angle <- runif(1, 0, 2 * pi)
    size <- exp(-0.1 * time)
    data.frame(id = factor(letters[i]), time, x = size * cos(time + angle), v = size * sin(time + angle))
  }))
}

fitted_once <- local({
  fit <- NULL
  function() {
    if (is.null(fit)) {
      fit <<- nk_fit(oscillations(), layers = 16, activation = "softplus", window = 4, epochs = 100,
        learning_rate = 0.05, seed = 2, progress = FALSE)
    }
    fit
  }
})

test_that("the dynamics are learnt well enough to go beyond the data", {
  needs_python()
  fit <- fitted_once()
  expect_s3_class(fit, "nk_fit")
  expect_lt(tail(fit$history$loss, 1), fit$history$loss[1] / 20)
  expect_true(all(summary(fit)$states$r_squared > 0.97))
  # A start that was not in the data, until a time that was not.
  ahead <- predict(fit, times = 0:6, y = c(v = 0, x = 0.8))
  expect_lt(max(abs(ahead$x - 0.8 * exp(-0.1 * 0:6) * cos(0:6))), 0.15)
  expect_identical(names(ahead), c("time", "x", "v"))
})

test_that("the same seed gives the same model, and set.seed() governs where none is given", {
  needs_python()
  few <- oscillations(count = 2, points = 5)
  fit <- function(...) coef(nk_fit(few, layers = 4, epochs = 3, progress = FALSE, ...))
  expect_identical(fit(seed = 7), fit(seed = 7))
  expect_false(identical(fit(seed = 7), fit(seed = 8)))
  set.seed(5)
  first <- fit()
  set.seed(5)
  expect_identical(fit(), first)
})

test_that("predictions: the data's rows, other times, other trajectories", {
  needs_python()
  fit <- fitted_once()
  data <- oscillations()
  expect_identical(fitted(fit)[c("id", "time")], fit$data[c("id", "time")])
  expect_equal(residuals(fit)$x, fit$data$x - fitted(fit)$x)
  expect_identical(nobs(fit), nrow(data))
  elsewhere <- predict(fit, times = c(0, 9))
  expect_identical(dim(elsewhere), c(8L, 4L))
  expect_equal(elsewhere$x[elsewhere$time == 0], data$x[data$time == 0], tolerance = 1e-10)
  new <- predict(fit, data.frame(id = c("z", "z", "a"), time = c(0, 2, 0), x = c(0.5, NA, NA), v = c(0, NA, NA)))
  expect_identical(as.character(new$id), c("z", "z", "a"))
  expect_equal(new$x[c(1, 3)], c(0.5, data$x[1]), tolerance = 1e-10)
  same <- predict(fit, times = c(0, 2), y = c(x = 0.5, v = 0))
  expect_equal(new$x[2], same$x[2], tolerance = 1e-8)
  expect_error(predict(fit, times = -1), "before the start", class = "nodekit_value_error")
  expect_error(predict(fit, times = 0:1, y = c(x = 1, w = 1)), "x, v", class = "nodekit_value_error")
  expect_error(predict(fit, data.frame(id = "new", time = 0)), "not in the fitted data", class = "nodekit_value_error")
})

test_that("nk_ode solves the fitted model, without R", {
  needs_python()
  fit <- fitted_once()
  out <- nk_ode(c(x = 0.5, v = 0), c(0, 2), fit, rtol = 1e-8, atol = 1e-8)
  expect_equal(unname(out[2, "x"]), predict(fit, times = c(0, 2), y = c(x = 0.5, v = 0))$x[2], tolerance = 1e-6)
  expect_error(nk_ode(c(v = 0, x = 1), 0:1, fit), "in this order: x, v", class = "nodekit_value_error")
})

test_that("print, summary, coef, tidy, glance and plot", {
  needs_python()
  fit <- fitted_once()
  expect_output(print(fit), "2 - 16 - 2, softplus, 82 weights")
  expect_output(print(summary(fit)), "r_squared")
  expect_length(coef(fit), 82)
  expect_identical(names(coef(fit))[1], "network.0.weight[1,1]")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  expect_no_error(plot(fit, until = 8))
  expect_no_error(plot(fit, "history"))
  expect_identical(dim(tidy.nk_fit(fit)), c(0L, 3L)) # weights are no estimates
  expect_identical(glance.nk_fit(fit)$nobs, nobs(fit))
  skip_if_not_installed("generics") # whose generics find them
  expect_identical(generics::tidy(fit), tidy.nk_fit(fit))
  expect_identical(names(generics::augment(fit)), names(augment.nk_fit(fit)))
})

test_that("a saved model is the same model, in another session too", {
  needs_python()
  fit <- fitted_once()
  file <- tempfile(fileext = ".rds")
  nk_save(fit, file)
  again <- nk_load(file)
  expect_identical(coef(again), coef(fit))
  expect_identical(predict(again, times = c(1, 7)), predict(fit, times = c(1, 7)))
  expect_error(nk_save(fit, "no/such/folder/fit.rds"), "could not be written", class = "nodekit_value_error")
  writeLines("x", file)
  expect_error(nk_load(file), "no fitted model", class = "nodekit_value_error")
  expect_error(nk_save(1, file), class = "nodekit_type_error")
})

test_that("values not observed are left out, windows and batches are formed, the time may be an input", {
  needs_python()
  data <- oscillations(count = 2, points = 12)
  data$x[c(4, 8)] <- NA
  fit <- nk_fit(data,
    layers = 4, epochs = 2, window = 4, batch_size = 3, time_dependent = TRUE, seed = 1, progress = FALSE
  )
  expect_true(all(is.finite(fit$history$loss)))
  expect_output(print(fit), "3 - 4 - 2")
  expect_false(anyNA(predict(fit)))
  # The loss counts what was observed only: of one trajectory it is the mean square of the standardised residuals.
  one <- nk_fit(data[data$id == "a", ], layers = 4, epochs = 1, learning_rate = 1e-12, seed = 1, progress = FALSE,
    rtol = 1e-8, atol = 1e-8)
  scaled <- sweep(as.matrix(residuals(one)[-1, c("x", "v")]), 2, one$model$scale, "/")
  expect_equal(one$history$loss, mean(scaled^2, na.rm = TRUE), tolerance = 1e-5)
})

test_that("the network may be the user's own", {
  needs_python()
  fit <- nk_fit(oscillations(count = 2, points = 5), epochs = 1, seed = 1, progress = FALSE,
    network = function(torch, inputs, outputs) torch$nn$Linear(inputs, outputs))
  expect_length(coef(fit), 6)
  expect_output(print(fit), "the user's")
})

test_that("columns may be named otherwise; a single trajectory needs no id; factors and text are ids", {
  needs_python()
  data <- data.frame(who = rep(c("one", "two"), each = 4), hour = rep(0:3, 2), level = exp(-(0:7) / 4), note = "x")
  fit <- nk_fit(data, id = "who", time = "hour", states = "level", layers = 3, epochs = 1, seed = 1, progress = FALSE)
  expect_identical(names(predict(fit)), c("who", "hour", "level"))
  fit <- nk_fit(data[1:4, 2:3], time = "hour", layers = 3, epochs = 1, seed = 1, progress = FALSE)
  expect_identical(names(predict(fit, times = 1:2)), c("hour", "level"))
})

test_that("what is wrong with the data is said", {
  needs_python()
  good <- data.frame(id = c(1, 1, 2, 2), time = c(0, 1, 0, 1), x = 1:4 + 0)
  bad <- function(message, data, class = "nodekit_value_error", ...) {
    expect_error(nk_fit(data, ..., epochs = 1, progress = FALSE), message, class = class)
  }
  bad("not a data frame", as.list(good), "nodekit_type_error")
  bad("no column 'y'", good, states = "y")
  bad("only one observation of trajectory '2'", good[1:3, ])
  bad("occurs twice", transform(good, time = 0))
  bad("first observation of trajectory '2' is not complete", transform(good, x = c(1, 2, NA, 4)))
  bad("'x' is of class 'factor'", transform(good, x = factor(x)), "nodekit_type_error")
  bad("time\\[2\\]", transform(good, time = c(0, NA, 0, 1)))
  bad("'id' is NA", transform(good, id = c(1, 1, NA, 2)))
  bad("x\\[3\\]' is Inf", transform(good, x = c(1, 2, Inf, 4)))
  bad("Choose one of", good, activation = "swish")
  bad("'epochs'|'layers' is 0.5", good, layers = 0.5)
})

test_that("fitted values and residuals have the rows of the data, in their order and with their names", {
  needs_python()
  data <- expand.grid(id = c("b", "a"), time = 0:3)[c(3, 1, 2, 4, 8, 5:7), ]
  rownames(data) <- paste0("row", 1:8)
  data$size <- ifelse(data$id == "b", 1, 5) * exp(-0.3 * data$time)
  fit <- nk_fit(data, layers = 4, epochs = 30, learning_rate = 0.05, seed = 1, progress = FALSE)
  for (found in list(fitted(fit), residuals(fit), predict(fit, data), fit$data)) {
    expect_identical(rownames(found), rownames(data))
    expect_identical(found$id, data$id)
    expect_identical(found$time, data$time)
  }
  expect_equal(fitted(fit)$size, predict(fit, data)$size)
  expect_equal(residuals(fit)$size, data$size - predict(fit, data)$size)
  expect_equal(fitted(fit)["row2", "size"], 1, tolerance = 1e-10) # where it starts
  # The order of the rows is nothing that is learnt.
  sorted <- nk_fit(data[order(match(data$id, data$id), data$time), ], layers = 4, epochs = 30, learning_rate = 0.05,
    seed = 1, progress = FALSE)
  expect_equal(coef(sorted), coef(fit))
  data$size[c(3, 8)] <- NA
  expect_identical(nobs(nk_fit(data[-3, ], layers = 2, epochs = 1, seed = 1, progress = FALSE)), 6L)
})

test_that("arguments that a method does not know are said", {
  needs_python()
  fit <- fitted_once()
  unknown <- function(expression, message) expect_error(expression, message, class = "nodekit_unknown_argument")
  unknown(predict(fit, new_data = data.frame(id = "a", time = 1)), "'new_data'.*\n.*'newdata'")
  unknown(predict(fit, times = 0:1, intervall = "prediction"), "'interval'")
  expect_error(predict(fit, times = 0:1, interval = "confidence"), "nk_ensemble", class = "nodekit_value_error")
  unknown(predict(fit, times = 0:1, r_tol = 1), "'rtol'")
  unknown(predict(fit, NULL, 0:1, NULL, 1e-7, 1e-7, 3), "more arguments")
  unknown(fitted(fit, type = "x"), "'type'")
  unknown(residuals(fit, type = "x"), "'type'")
  unknown(coef(fit, complete = TRUE), "'complete'")
  unknown(summary(fit, digits = 3), "'digits'")
  unknown(nobs(fit, use = 1), "'use'")
  unknown(print(fit, digit = 3), "'digit'")
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  unknown(plot(fit, untill = 3), "'until'")
  expect_no_error(plot(fit, main = "title", cex.lab = 2))
  unknown(tidy.nk_fit(fit, conf_int = TRUE), "'conf.int'")
  unknown(glance.nk_fit(fit, what = 1), "'what'")
})

test_that("a column that may tell trajectories apart is asked about, and others are said to be states", {
  needs_python()
  sub <- data.frame(subject = rep(1:2, each = 4), time = c(0, 1.1, 2.2, 3.3, 0.1, 1.2, 2.3, 3.4),
    size = c(1, 0.7, 0.5, 0.4, 5, 3.6, 2.6, 1.9))
  quick <- function(data, ...) nk_fit(data, ..., layers = 2, epochs = 1, seed = 1, progress = FALSE)
  asked <- function(expression, message) expect_error(expression, message, class = "nodekit_value_error")
  asked(quick(sub), "'subject' may tell.*\n.*id = \"subject\"")
  asked(quick(transform(sub, subject = letters[subject])), "'subject' may tell")
  asked(quick(transform(sub, subject = subject + 0.5)), "do not go on")
  asked(quick(transform(sub, time = c(0:3, 0:3))), "'subject'")
  asked(quick(transform(sub, time = c(0:3, 0:3)), id = NULL), "occurs twice.\nIf a column tells trajectories apart")
  expect_identical(quick(sub, id = "subject")$states, "size")
  expect_identical(quick(sub, id = NULL)$states, c("subject", "size"))
  expect_identical(quick(sub, states = "size")$states, "size")
  one <- data.frame(time = 0:4, x = exp(-(0:4)), v = sin(0:4))
  expect_message(quick(one), "one trajectory of x, v")
  expect_no_message(quick(one, id = NULL))
  expect_no_message(quick(one[1:2]))
  expect_error(quick(transform(one, sex = "f"), id = NULL), "states = c", class = "nodekit_type_error")
})

test_that("ids keep their type, whatever it is", {
  needs_python()
  base <- data.frame(id = rep(c(10, 2), each = 4), time = rep(0:3, 2), size = c(1, 0.7, 0.5, 0.4, 5, 3.6, 2.6, 1.9))
  quick <- function(ids) {
    nk_fit(transform(base, id = ids), layers = 2, epochs = 1, seed = 1, progress = FALSE)
  }
  kinds <- list(base$id, as.integer(base$id), as.character(base$id), factor(base$id), factor(base$id, ordered = TRUE))
  new <- list(c(10, 99), c(10L, 99L), c("10", "99"), factor(c("10", "99")), factor(c("10", "99"), ordered = TRUE))
  for (i in seq_along(kinds)) {
    fit <- quick(kinds[[i]])
    expect_identical(predict(fit)$id, kinds[[i]])
    expect_identical(class(predict(fit, times = 0)$id), class(kinds[[i]]))
    for (asked in new) {
      found <- predict(fit, data.frame(id = asked, time = c(2, 2), size = 1))
      expect_identical(found$id, asked)
      expect_equal(found$size, c(predict(fit)$size[3], 1), tolerance = 1e-6)
    }
  }
  # 1e5 as text is "1e+05", and as an integer "100000".
  fit <- quick(base$id * 1e4)
  expect_equal(predict(fit, data.frame(id = c(100000L, 20000L), time = 0))$size, c(1, 5), tolerance = 1e-10)
  expect_error(predict(fit, data.frame(id = c(1e5, NA), time = 0:1, size = 1)), "'id' is NA in row 2",
    class = "nodekit_value_error"
  )
})

test_that("training that diverges ends in time, keeps the best it had, and says what to do", {
  needs_python()
  data <- data.frame(time = 0:9, x = exp(-(0:9) / 3))
  for (rate in c(50, 1e6)) {
    expect_warning(
      fit <- nk_fit(data, learning_rate = rate, seed = 1, progress = FALSE), "diverged after .*Lower learning_rate",
      class = "nodekit_warning"
    )
    expect_lt(nrow(fit$history), 30)
    expect_lt(max(abs(residuals(fit)$x)), 10)
    # What is shown is told of the weights that were kept, not of the epoch that diverged.
    expect_equal(glance.nk_fit(fit)$loss, min(fit$history$loss))
    expect_output(print(fit), paste0("the best was 1, loss ", format(min(fit$history$loss), digits = 3)), fixed = TRUE)
    untouched <- nk_fit(data, learning_rate = 1e-12, epochs = 1, seed = 1, progress = FALSE)
    expect_lte(mean(residuals(fit)$x^2), mean(residuals(untouched)$x^2) * 1.001)
  }
})

test_that("progress is told in lines where there is no terminal", {
  needs_python()
  expect_message(nk_fit(oscillations(count = 2, points = 4), layers = 2, epochs = 2, seed = 1), "epoch 2/2 .*loss")
})

test_that("a column with the name that rows are told apart by is refused", {
  expect_error(nk_fit(data.frame(id = 1, time = 0:2, .series = 3:5)), ".series", fixed = TRUE, class = "nodekit_value_error")
})

test_that("an interrupt keeps what was learnt", {
  needs_python()
  bridge <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))
  interrupting <- reticulate::py_run_string("
def interrupting(training):
    original = training.Training._learn
    def learn(self, batch):
        import signal
        original(self, batch)
        if self.done == 5:
            signal.raise_signal(signal.SIGINT)
    training.Training._learn = learn
    def end():
        training.Training._learn = original
    return end
")$interrupting(bridge$training)
  on.exit(interrupting())
  handler <- reticulate::py_run_string("
import ctypes
handler = ctypes.pythonapi.PyOS_getsig
handler.restype = ctypes.c_void_p
")$handler
  of_r <- handler(2L)
  data <- data.frame(time = 0:4, x = exp(-(0:4)))
  expect_warning(
    fit <- nk_fit(data, layers = 4, epochs = 12345, seed = 1, progress = FALSE), "Interrupted after .* of 12345",
    class = "nodekit_warning"
  )
  expect_gte(nrow(fit$history), 4)
  expect_length(coef(fit), 13)
  expect_identical(handler(2L), of_r) # R hears of the next interrupt
})
