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
#' @param id,time names of the columns that tell the trajectories apart (a factor, numbers or text; none: all rows
#'   are one trajectory) and that hold the times.
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
  observed <- as_trajectories(data, id, time, states)
  seed <- as_seed(seed)
  model <- c(
    standardisation(observed, time, states, time_dependent),
    list(
      layers = vapply(layers, as_count, 1L, name = "layers"), seed = seed, network = network,
      activation = as_choice(activation, "activation", names(bridge()$ACTIVATIONS))
    )
  )
  solver <- list(
    method = as_method(method), rtol = as_number(rtol, "rtol"), atol = as_number(atol, "atol"), options = options
  )
  dynamics <- build_dynamics(model)
  values <- as.matrix(observed[states])
  training <- from_python(bridge()$fit_trajectories, dynamics, array(as.double(observed[[time]])),
    array(as.double(values), dim(values)), array(as.integer(factor(observed$.series))),
    solver = solver, gradient = gradient, window = if (!is.null(window)) max(2L, as_count(window, "window")),
    batch_size = if (!is.null(batch_size)) as_count(batch_size, "batch_size"), epochs = as_count(epochs, "epochs"),
    learning_rate = as_number(learning_rate, "learning_rate", above = 0), seed = seed
  )
  history <- run_training(training, epochs, progress)
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

# The rows in order, with `.series` telling the trajectories apart; all that can be wrong with them is said here.
as_trajectories <- function(data, id, time, states) {
  if (!is.data.frame(data)) {
    abort("type_error", "'data' is of class '", class(data)[1], "', not a data frame.",
      remedy = "Use as.data.frame(); a result of nk_ode() or deSolve too."
    )
  }
  data <- as.data.frame(data)
  absent <- setdiff(c(id, time, states), names(data))
  if (length(absent)) {
    abort("value_error", "'data' has no column '", absent[1], "'.",
      remedy = paste0("Columns: ", paste(names(data), collapse = ", "), ".")
    )
  }
  if (length(id) > 1 || length(time) != 1 || !length(states)) {
    abort("value_error", "One column of times and at least one state are needed, and at most one 'id'.",
      remedy = "Name them: id = , time = , states = ."
    )
  }
  as_numbers(data[[time]], time)
  for (name in states) as_numbers(data[[name]], name, missing_allowed = TRUE)
  series <- if (length(id)) data[[id]] else rep(1L, nrow(data))
  if (anyNA(series)) {
    abort("value_error", "'", id, "' is NA in row ", which(is.na(series))[1], ".",
      remedy = "Give each row its trajectory."
    )
  }
  data$.series <- match(series, unique(series))
  data <- data[order(data$.series, data[[time]]), c(id, time, states, ".series")]
  rownames(data) <- NULL
  firsts <- which(!duplicated(data$.series))
  name_of <- function(row) if (length(id)) paste0(" of trajectory '", data[[id]][row], "'") else ""
  alone <- firsts[tabulate(data$.series) < 2]
  if (length(alone)) {
    abort("value_error", "There is only one observation", name_of(alone[1]), ".",
      remedy = "A trajectory needs two; drop this one."
    )
  }
  twice <- which(diff(data[[time]]) == 0 & diff(data$.series) == 0)
  if (length(twice)) {
    abort("value_error", "The time ", data[[time]][twice[1]], name_of(twice[1]), " occurs twice.",
      remedy = "Average or drop repeated observations."
    )
  }
  incomplete <- firsts[rowSums(is.na(data[firsts, states, drop = FALSE])) > 0]
  if (length(incomplete)) {
    abort("value_error", "The first observation", name_of(incomplete[1]), " is not complete.",
      remedy = "It is where the trajectory starts: fill it in, or drop the rows before a complete one."
    )
  }
  data
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
