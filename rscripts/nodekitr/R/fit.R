#' Fit a neural differential equation to trajectories
#'
#' Learns the right-hand side of `dy/dt = f(y)` as a neural network, from one or more observed trajectories. Times
#' may be irregular and differ between trajectories; a value that was not observed is `NA`. Training runs in Python,
#' without R in its loop.
#'
#' States are standardised before they reach the network, and the loss is the mean squared error of the standardised
#' states. Each trajectory starts from its first observation, which must be complete. Adam's learning rate falls along
#' half a cosine to a hundredth of its start.
#'
#' @param data a data frame, one row an observation.
#' @param id,time names of the columns that tell the trajectories apart (a factor, numbers or text) and that hold the
#'   times. `id = NULL`: all rows are one trajectory. Where there is no column `id` and you name neither `id` nor
#'   `states`, a column that may be one is asked for.
#' @param states names of the columns with the states; by default all others.
#' @param layers widths of the hidden layers.
#' @param activation `"tanh"`, `"relu"`, `"elu"`, `"softplus"`, `"sigmoid"` or `"silu"`.
#' @param time_dependent whether the network sees the time too: `dy/dt = f(t, y)`.
#' @param network instead of `layers`: a function `(torch, inputs, outputs)` that builds a PyTorch module.
#' @param method,rtol,atol,options the solver while training, as in [nk_ode()]; tolerances on standardised states.
#' @param gradient how the solve is differentiated: `"checkpoint"`, `"backprop"`, `"adjoint"`, or another of the
#'   library's.
#' @param window observations a training window; `NULL`: whole trajectories. Long or oscillating trajectories are
#'   learnt faster in windows of 10 or 20.
#' @param batch_size windows in a step of the optimiser; `NULL`: all.
#' @param epochs passes over the data.
#' @param learning_rate of Adam, at the start.
#' @param seed for the weights and the order of the batches; `NULL`: from R's generator, so that `set.seed()` governs.
#' @param progress whether to print how far the training is.
#' @return An object of class `nk_fit`: plain R values, see [nk_save()].
#' @seealso [predict.nk_fit()]
#' @examples
#' # Logistic growth from three starts, at irregular times
#' set.seed(1)
#' growth <- do.call(rbind, lapply(c(0.1, 0.5, 1.6), function(start) {
#'   time <- sort(c(0, runif(14, 0, 6)))
#'   data.frame(id = paste("start", start), time, size = start / (start + (1 - start) * exp(-time)))
#' }))
#' if (nk_available()) {
#'   fit <- nk_fit(growth, layers = 8, epochs = 60, learning_rate = 0.05, seed = 1, progress = FALSE)
#'   print(fit)
#'   plot(fit)
#'   predict(fit, times = c(0, 5, 10), y = c(size = 0.3)) # beyond the data
#' }
#' @export
nk_fit <- function(data, id = intersect("id", names(data)), time = "time", states = setdiff(names(data), c(id, time)),
                   layers = c(32, 32), activation = "tanh", time_dependent = FALSE, network = NULL,
                   method = "dopri5", rtol = 1e-3, atol = 1e-3, options = list(), gradient = "checkpoint",
                   window = NULL, batch_size = NULL, epochs = 300, learning_rate = 0.01, seed = NULL,
                   progress = getOption("nodekitr.progress", TRUE)) {
  if (missing(id) && missing(states)) ask_for_id(data, time)
  observed <- as_trajectories(data, id, time, states)
  seed <- as_seed(seed)
  model <- c(
    standardisation(in_order(observed, time), time, states, time_dependent),
    list(
      layers = vapply(layers, as_count, 1L, name = "layers"), seed = seed, network = network,
      activation = as_choice(activation, "activation", names(bridge()$ACTIVATIONS))
    )
  )
  solver <- list(
    method = as_method(method), rtol = as_number(rtol, "rtol"), atol = as_number(atol, "atol"), options = options
  )
  solver$options <- training_options(solver$method, options)
  dynamics <- build_dynamics(model)
  sorted <- in_order(observed, time)
  values <- as.matrix(sorted[states])
  training <- from_python(bridge()$fit_trajectories, dynamics, array(as.double(sorted[[time]])),
    array(as.double(values), dim(values)), array(as.integer(sorted$.series)),
    solver = solver, gradient = gradient, window = if (!is.null(window)) max(2L, as_count(window, "window")),
    batch_size = if (!is.null(batch_size)) as_count(batch_size, "batch_size"), epochs = as_count(epochs, "epochs"),
    learning_rate = as_number(learning_rate, "learning_rate", above = 0), seed = seed
  )
  history <- run_training(training, epochs, progress, learning_rate)
  fit <- structure(
    list(
      call = sys.call(), id = id, time = time, states = states, data = observed, model = model,
      weights = as_weights(bridge()$weights(dynamics)), trained = bridge()$parameter_names(dynamics),
      solver = solver, gradient = gradient, history = history
    ),
    class = "nk_fit"
  )
  fit$fitted <- predict(fit)
  fit
}

# While training no solve may take steps without end: a network that goes astray makes the problem as stiff as it likes.
training_options <- function(method, options) {
  ours <- if (is_adaptive(method) && !any(c("step_size", "grid_constructor") %in% names(options))) {
    list(max_num_steps = 1000L)
  }
  utils::modifyList(as.list(ours), options)
}

# Mean and spread of each state, and the typical size of its slope.
standardisation <- function(observed, time, states, time_dependent) {
  values <- as.matrix(observed[states])
  center <- colMeans(values, na.rm = TRUE)
  scale <- apply(values, 2, stats::sd, na.rm = TRUE)
  scale[scale == 0 | is.na(scale)] <- 1
  times <- observed[[time]]
  same <- diff(observed$.series) == 0
  changes <- diff(values)[same, , drop = FALSE]
  rate <- sqrt(colMeans(changes^2, na.rm = TRUE) / mean(diff(times)[same]^2)) / scale
  rate[rate == 0 | is.na(rate)] <- 1
  list(
    states = states, center = unname(center), scale = unname(scale), rate = unname(rate),
    clock = if (time_dependent) c(mean(times), stats::sd(times))
  )
}

# The Python module of a model, with new weights or those given.
build_dynamics <- function(model, weights = NULL) {
  inputs <- length(model$states) + !is.null(model$clock)
  outputs <- length(model$states)
  network <- if (is.null(model$network)) {
    bridge()$perceptron(inputs, outputs, as.list(model$layers), model$activation, model$seed)
  } else {
    torch <- reticulate::import("torch")
    torch$manual_seed(model$seed)
    model$network(torch, inputs, outputs)
  }
  clock <- if (!is.null(model$clock)) as.list(model$clock)
  dynamics <- from_python(bridge()$Dynamics, network, array(model$center), array(model$scale), array(model$rate), clock)
  if (is.null(weights)) dynamics else from_python(bridge()$load_weights, dynamics, weights)
}

# The right-hand side in the data's units, for nk_ode(func = fit).
fitted_module <- function(fit, names) {
  if (!is.null(names) && !identical(names, fit$states)) {
    abort("value_error", "'y' names the states ", paste(names, collapse = ", "), ".",
      remedy = paste0("The model's are, in this order: ", paste(fit$states, collapse = ", "), ".")
    )
  }
  bridge()$InUnits(build_dynamics(fit$model, fit$weights))
}
