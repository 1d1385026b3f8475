# Experiment N1: the hand-coded network of thind 2.2.4 and 7.1.2, in R itself.
#
#   Rscript rscripts/runs/hand_coded_network.R --output <folder> --experiment N1 --variant as_listed
#     --seed 25 --epochs 50 --learning-rate 1 --biases global|updated --sample-kind Rejection|Rounding
#     [--reduced "10 of 50 epochs"]
#
# One input, one hidden and one output unit, all sigmoid, and a set of weights for every observation:
# as the document lists it, so nothing it learns carries over to a new point.

sigmoid <- function(x) 1 / (1 + exp(-x))

# The derivative of the sigmoid in terms of its value.
sigmoid_slope <- function(value) value * (1 - value)

#' The document's data: Gaussian points x, with y = 1 where -0.5 <= x <= 0.5.
#' The order of the draws is the document's: points, a permutation of the two columns, four sets of weights.
#' @param sample_kind how `sample()` draws: "Rejection" (R >= 3.6) or "Rounding" (before).
#' @return list(x, y, weights = list(w1, w2, b1, b2)).
draw_network_data <- function(seed, sample_kind, points = 100) {
  # R warns that "Rounding" is not uniform; it is asked for as the document's R may have used it.
  withCallingHandlers(
    RNGkind("Mersenne-Twister", "Inversion", sample_kind),
    warning = function(w) if (grepl("Rounding", conditionMessage(w))) invokeRestart("muffleWarning")
  )
  set.seed(seed)
  x <- rnorm(points)
  y <- ifelse(x >= -0.5 & x <= 0.5, 1, 0)
  permuted <- sample(data.frame(x = x, y = y)) # permutes columns, not rows, and moves the generator on
  weights <- list(w1 = runif(points), w2 = runif(points), b1 = runif(points), b2 = runif(points))
  list(x = permuted$x, y = permuted$y, weights = weights)
}

#' Hidden and output activations of every observation.
forward <- function(x, weights, biases) {
  hidden <- sigmoid(x * weights$w1 + biases$b1)
  list(hidden = hidden, output = sigmoid(hidden * weights$w2 + biases$b2))
}

#' One step of gradient descent on (y - output)^2, each observation for itself.
#' @param w2_of_bias the second weights that the gradient of the first bias reads.
descend <- function(x, y, activations, weights, w2_of_bias, learning_rate) {
  output_slope <- 2 * (y - activations$output) * sigmoid_slope(activations$output)
  hidden_slope <- sigmoid_slope(activations$hidden)
  list(
    w1 = weights$w1 + learning_rate * x * output_slope * weights$w2 * hidden_slope,
    w2 = weights$w2 + learning_rate * activations$hidden * output_slope,
    b1 = weights$b1 + learning_rate * output_slope * w2_of_bias * hidden_slope,
    b2 = weights$b2 + learning_rate * output_slope
  )
}

#' Train the network.
#' @param biases "global": the forward pass reads the initial biases, never updated, and the bias gradient the
#'   initial weights, as the listing does by naming its global variables; "updated": it reads the trained ones.
#' @return list(accuracy_before, history = data.frame(epoch, mse, accuracy)); accuracies are fractions.
train_hand_coded_network <- function(seed = 25, epochs = 50, learning_rate = 1, biases = "global",
                                     sample_kind = "Rejection") {
  biases <- match.arg(biases, c("global", "updated"))
  data <- draw_network_data(seed, match.arg(sample_kind, c("Rejection", "Rounding")))
  initial <- weights <- data$weights
  history <- data.frame(epoch = seq_len(epochs), mse = NA_real_, accuracy = NA_real_)
  for (epoch in seq_len(epochs)) {
    read <- if (biases == "global") initial else weights
    activations <- forward(data$x, weights, read)
    # The document's loss is that of the rounded output, which makes it the error rate.
    history$mse[epoch] <- mean((data$y - round(activations$output))^2)
    history$accuracy[epoch] <- mean(round(activations$output) == data$y)
    weights <- descend(data$x, data$y, activations, weights, read$w2, learning_rate)
  }
  list(accuracy_before = mean(data$y == 0), history = history) # before training the document predicts 0 for all
}

#' The first epoch, however late, after which every point is answered right; NA if none of the first `most` is.
first_epoch_all_right <- function(..., most = 1000) {
  accuracy <- train_hand_coded_network(epochs = most, ...)$history$accuracy
  which(accuracy == 1)[1]
}

#' What `sample()` does to the document's data frame, and what changes with how it draws.
#' @return named numbers: rows that moved, initial weights that differ between R before and since 3.6.
facts_of_sample <- function(seed, points = 100) {
  drawn <- lapply(c("Rejection", "Rounding"), function(kind) draw_network_data(seed, kind, points))
  set.seed(seed)
  unsampled <- rnorm(points)
  c(
    rows_moved_by_sample = sum(drawn[[1]]$x != unsampled),
    weights_that_differ_by_sample_kind = sum(unlist(drawn[[1]]$weights) != unlist(drawn[[2]]$weights))
  )
}

if (sys.nframe() == 0) {
  folder <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))[1]))
  source(file.path(folder, "..", "files.R"))
  source(file.path(folder, "..", "arguments.R"))
  options <- command_options(list(
    output = NULL, experiment = "N1", variant = "as_listed", seed = 25, epochs = 50, learning_rate = 1,
    biases = "global", sample_kind = "Rejection", reduced = ""
  ))
  trained <- train_hand_coded_network(
    options$seed, options$epochs, options$learning_rate, options$biases, options$sample_kind
  )
  run <- data.frame(experiment = options$experiment, variant = options$variant, seed = options$seed)
  origin <- data.frame(
    data_source = paste0(length(draw_network_data(options$seed, options$sample_kind)$x),
                         " Gaussian points, R's RNG, seed ", options$seed),
    origin = "computed",
    reduced = options$reduced
  )
  write_csv(cbind(run, trained$history, origin), file.path(options$output, "history.csv"))
  sampled <- facts_of_sample(options$seed)
  quantities <- data.frame(
    quantity = c("accuracy_before", "accuracy_after", "mse_after", "first_epoch_all_right", names(sampled)),
    value = c(
      trained$accuracy_before, tail(trained$history$accuracy, 1), tail(trained$history$mse, 1),
      first_epoch_all_right(
        seed = options$seed, learning_rate = options$learning_rate, biases = options$biases, sample_kind = options$sample_kind
      ),
      sampled
    ),
    unit = c("fraction", "fraction", "", "epoch", rep("", length(sampled)))
  )
  write_csv(cbind(run, quantities, origin), file.path(options$output, "metrics.csv"))
}
