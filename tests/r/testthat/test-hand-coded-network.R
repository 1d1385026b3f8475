test_that("the document's accuracies come out: before, as listed, and with the updated biases", {
  # thind 2.2.4 gives 0.64 and 1; the listing as printed reaches 0.99.
  listed <- train_hand_coded_network(25, 50, 1, "global", "Rejection")
  expect_equal(listed$accuracy_before, 0.64)
  expect_equal(tail(listed$history$accuracy, 1), 0.99)
  updated <- train_hand_coded_network(25, 50, 1, "updated", "Rejection")
  expect_equal(tail(updated$history$accuracy, 1), 1)
})

test_that("the mean squared error of rounded outputs is the error rate", {
  history <- train_hand_coded_network(epochs = 20)$history
  expect_equal(history$mse, 1 - history$accuracy)
})

test_that("a step descends the gradient of the squared error", {
  data <- draw_network_data(1, "Rejection", points = 4)
  loss <- function(weights) sum((data$y - forward(data$x, weights, weights)$output)^2)
  rate <- 1e-3
  stepped <- descend(
    data$x, data$y, forward(data$x, data$weights, data$weights), data$weights, data$weights$w2, rate
  )
  for (name in names(data$weights)) {
    for (i in seq_along(data$x)) {
      up <- down <- data$weights
      up[[name]][i] <- up[[name]][i] + 1e-6
      down[[name]][i] <- down[[name]][i] - 1e-6
      slope <- (loss(up) - loss(down)) / 2e-6
      expect_equal((data$weights[[name]][i] - stepped[[name]][i]) / rate, slope, tolerance = 1e-5)
    }
  }
})

test_that("the columns' permutation moves the generator on, as in the document", {
  set.seed(25)
  x <- rnorm(100)
  sample(data.frame(a = 1, b = 2))
  expected <- runif(100)
  expect_equal(draw_network_data(25, "Rejection")$weights$w1, expected)
})

test_that("the script writes its tables and refuses an option that it does not know", {
  folder <- tempfile("N1-")
  script <- file.path(root, "rscripts", "runs", "hand_coded_network.R")
  run <- function(...) {
    suppressWarnings(system2("Rscript", shQuote(c(script, "--output", folder, ...)), stdout = TRUE, stderr = TRUE))
  }
  expect_null(attr(run("--variant", "biases_read", "--biases", "updated", "--epochs", "5"), "status"))
  history <- read_table(file.path(folder, "history.csv"))
  expect_named(history, c("experiment", "variant", "seed", "epoch", "mse", "accuracy", "data_source", "origin", "reduced"))
  expect_equal(history$epoch, 1:5)
  metrics <- read_table(file.path(folder, "metrics.csv"))
  expect_equal(metrics$value[metrics$quantity == "accuracy_before"], 0.64)
  refused <- run("--epoch", "5")
  expect_equal(attr(refused, "status"), 1)
  expect_match(paste(refused, collapse = " "), "unknown option '--epoch'")
})

test_that("sampling the document's data frame moves no observation, whichever way R samples", {
  expect_equal(facts_of_sample(25)[["rows_moved_by_sample"]], 0)
  expect_equal(facts_of_sample(25)[["weights_that_differ_by_sample_kind"]], 0)
})

test_that("the first epoch in which all points are right is found beyond the document's last", {
  for (biases in c("global", "updated")) {
    first <- first_epoch_all_right(seed = 25, biases = biases)
    accuracy <- train_hand_coded_network(25, first, 1, biases)$history$accuracy
    expect_equal(accuracy[first], 1)
    expect_true(all(accuracy[-first] < 1))
  }
  expect_gt(first_epoch_all_right(seed = 25), 50)
  expect_true(is.na(first_epoch_all_right(seed = 25, most = 50)))
})
