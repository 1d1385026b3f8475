#' Fit a neural differential equation to trajectories
#'
#' Learns the right-hand side of `dy/dt = f(y)` as a neural network, from one or more observed trajectories; or, with
#' `known`, what an equation leaves out. Times may be irregular and differ between trajectories; a value that was not
#' observed is `NA`. Training runs in Python, without R in its loop.
#'
#' States are standardised before they reach the network, and the loss is the mean squared error of the standardised
#' states. Each trajectory starts from its first complete observation. Adam's learning rate falls along half a cosine to
#' a hundredth of its start.
#'
#' # A known part
#' With `known`, a function as deSolve takes it, `dy/dt = known(t, y, parms) + network(y)`: a universal differential
#' equation (Rackauckas and others, 2020). The network starts at zero, so that training starts from the known part
#' alone. `parms` are fitted along. `layers = NULL` leaves the network out: then only the parameters are fitted, and
#' [vcov()] and [confint()] know their errors; [nk_estimate()] does the same by maximum likelihood.
#'
#' The function is called once, and the steps that it takes run in Python from then on, if what it computes is
#' understood (see [nk_gradient()]) and no value decides what it does next. Otherwise R calls it for each state, which is
#' slow and is said; slopes that jump at a threshold of a state are learnt from without what comes from the time of the
#' jump. What the network has learnt may be what a parameter could have said as well: see [nk_ensemble()].
#'
#' # Covariates, forcings, events
#' `covariates` are seen by the network, standardised, and by `known` as entries of `parms` with their values at the time
#' `t`. One that is the same in all rows of a trajectory is constant; another is interpolated between its rows. Factors
#' and text become columns of 0 and 1, one for each level but the first, named as in [stats::model.matrix()]:
#' `treatmentB`. No step goes over a time at which they jump or have a kink, nor over an event. As in deSolve, the row at
#' an event's time holds the state before it.
#'
#' # Positive states
#' Those named by `positive` are kept as logarithms: they cannot become zero or less, their noise multiplies, and what
#' the network adds is to the slope of the logarithm, the rate per head.
#'
#' @param data a data frame, one row an observation.
#' @param id,time names of the columns that tell the trajectories apart (a factor, numbers or text) and that hold the
#'   times. `id = NULL`: all rows are one trajectory. Where there is no column `id` and you name neither `id` nor
#'   `states`, a column that may be one is asked for.
#' @param states names of the columns with the states; by default all others. Where `known` has several states, they
#'   are to be named, in the order of the slopes that it returns.
#' @param layers widths of the hidden layers.
#' @param activation `"tanh"`, `"relu"`, `"elu"`, `"softplus"`, `"sigmoid"` or `"silu"`.
#' @param time_dependent whether the network sees the time too: `dy/dt = f(t, y)`.
#' @param network instead of `layers`: a function `(torch, inputs, outputs)` that builds a PyTorch module.
#' @param known the known part, see there: a function `(t, y, parms)` that returns `list(dy)`.
#' @param parms parameters of `known` to start from: numbers with names, or a list. They are fitted.
#' @param log,lower,upper,fixed names of parameters that are searched on the scale of their logarithm; bounds, by name;
#'   names of parameters that stay as they are.
#' @param inputs which states the network sees.
#' @param learnt which states' slopes have a learnt part.
#' @param covariates names of what acts from outside: columns of `data`.
#' @param forcings a data frame with times of its own of what acts from outside; with a column of ids, on each trajectory
#'   its own. Of a jump between straight lines, the second value stands a little later.
#' @param fcontrol how covariates go on between their times, as in [deSolve::forcings]: `method`, `rule`, `f`, `ties` of
#'   [stats::approx()]; by default `list(method = "linear", rule = 2, f = 0, ties = "ordered")`.
#' @param events a data frame with the columns `var`, `time`, `value`, `method` ("replace", "add" or "multiply"), as in
#'   [deSolve::events], and the ids of the trajectories that they happen in; without ids they happen in all. In
#'   `nk_ode(y, times, fit)`, events are those that you give there.
#' @param positive names of states that are positive; `TRUE`: all.
#' @param weights of the rows: numbers, or the name of a column.
#' @param starts whether trajectories start from what was `"observed"`, or from states that are `"estimated"`, the first
#'   observation then being one with noise like the others.
#' @param method,rtol,atol,options the solver while training, as in [nk_ode()]; tolerances on standardised states.
#' @param gradient how the solve is differentiated: `"checkpoint"`, `"backprop"`, `"adjoint"`, or another of the
#'   library's.
#' @param window observations a training window; `NULL`: whole trajectories. Long or oscillating trajectories are
#'   learnt faster in windows of 10 or 20.
#' @param batch_size windows in a step of the optimiser; `NULL`: all.
#' @param epochs passes over the data.
#' @param learning_rate of Adam, at the start.
#' @param validation rows not to be trained on, for the loss of validation: a fraction of the trajectories, or their ids;
#'   of a single trajectory the fraction at its end. The weights are those of the epoch at which this loss was least.
#' @param patience epochs without a better loss of validation after which training ends; `NULL`: all are done.
#' @param device where PyTorch computes: `"cpu"`, `"cuda"`, ...
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
nk_fit <- function(data, id = intersect("id", names(data)), time = "time",
                   states = setdiff(names(data), c(id, time, covariates, if (is.character(weights)) weights)),
                   layers = c(32, 32), activation = "tanh", time_dependent = FALSE, network = NULL,
                   known = NULL, parms = NULL, log = NULL, lower = -Inf, upper = Inf, fixed = NULL, inputs = states,
                   learnt = states, covariates = NULL, forcings = NULL, fcontrol = list(), events = NULL,
                   positive = NULL, weights = NULL, starts = c("observed", "estimated"),
                   method = "dopri5", rtol = 1e-3, atol = 1e-3, options = list(), gradient = "checkpoint",
                   window = NULL, batch_size = NULL, epochs = 300, learning_rate = 0.01, validation = NULL,
                   patience = NULL, device = "cpu", seed = NULL, progress = getOption("nodekitr.progress", TRUE)) {
  if (missing(id) && missing(states) && is.data.frame(data)) {
    ask_for_id(data[setdiff(names(data), c(covariates, if (is.character(weights)) weights))], time)
  }
  if (!is.null(known) && missing(states)) ask_for_order(states, "states", "known")
  starts <- match.arg(starts)
  observed <- as_trajectories(data, id, time, states, starts_complete = starts == "observed")
  if (isTRUE(positive)) positive <- states
  check_positive(observed, positive, states)
  seed <- as_seed(seed)
  spec <- list(
    covariates = as_covariates(data, covariates, forcings, fcontrol, id, time), events = events, id = id, time = time,
    states = states
  )
  more <- setdiff(intersect(spec$covariates$names, names(data)), names(observed))
  observed[more] <- data[more]
  sorted <- in_order(observed, time)
  outside <- as_outside(spec, sorted)
  held <- held_out(sorted, validation, id)
  known <- as_known(known, parms, log, lower, upper, fixed, states, probe_of(sorted, spec, outside))
  model <- c(
    standardisation(transformed(sorted[!held, ], positive), time, states, time_dependent),
    list(
      layers = if (!is.null(layers)) vapply(layers, as_count, 1L, name = "layers"), seed = seed, network = network,
      activation = as_choice(activation, "activation", names(bridge()$ACTIVATIONS)), known = known,
      positive = states %in% positive, seen = state_places(inputs, states, "inputs"),
      learnt = state_places(learnt, states, "learnt"), covariates = covariate_spread(outside$tables), device = device
    )
  )
  if (is.null(known) && is.null(layers) && is.null(network)) {
    abort("value_error", "There is nothing to fit.", remedy = "Give layers = , or known = .")
  }
  if (is.null(layers) && is.null(network) && is.null(known$scale)) {
    abort("value_error", "There is nothing to fit: 'known' has no parameters.", remedy = "Give parms = , or layers = .")
  }
  fit <- structure(
    list(
      call = sys.call(), id = id, time = time, states = states, data = observed, model = model, spec = spec,
      outside = outside, solver = as_training_solver(method, rtol, atol, options, known, sorted, time),
      gradient = gradient, estimated_starts = starts == "estimated",
      training = list(
        window = if (!is.null(window)) max(2L, as_count(window, "window")), patience = patience,
        batch_size = if (!is.null(batch_size)) as_count(batch_size, "batch_size"), held = held,
        weights = as_row_weights(weights, data)[order(observed$.series, observed[[time]])],
        epochs = epochs, learning_rate = learning_rate
      )
    ),
    class = "nk_fit"
  )
  trained(fit, epochs, learning_rate, seed, progress)
}

# A fit with its weights after training, from new ones or from those that it has.
trained <- function(fit, epochs, learning_rate, seed, progress) {
  dynamics <- build_dynamics(fit$model, fit$weights)
  sorted <- in_order(fit$data, fit$time)
  values <- as.matrix(sorted[fit$states])
  plan <- fit$training
  training <- from_python(bridge()$fit_trajectories, dynamics, array(as.double(sorted[[fit$time]])),
    array(as.double(values), dim(values)), array(as.integer(sorted$.series - 1)),
    outside = in_python(fit$outside), weights = array(plan$weights), held = array(plan$held),
    estimate_starts = fit$estimated_starts, starts = fit$starts, solver = fit$solver, gradient = fit$gradient,
    window = plan$window,
    batch_size = plan$batch_size, epochs = as_count(epochs, "epochs"),
    learning_rate = as_number(learning_rate, "learning_rate", above = 0),
    patience = if (!is.null(plan$patience)) as_count(plan$patience, "patience"), seed = seed
  )
  history <- run_training(training, epochs, progress, learning_rate)
  history$epoch <- history$epoch + (utils::tail(fit$history$epoch, 1) %||% 0)
  weights <- as_weights(bridge()$weights(dynamics))
  fit$starts <- weights$starts.values
  fit$weights <- weights[names(weights) != "starts.values"]
  fit$trained <- setdiff(bridge()$parameter_names(dynamics), c("starts.values", "parameters_of_known.moved"))
  fit$theta <- if (!is.null(fit$model$known$scale)) {
    stats::setNames(as.double(bridge()$values(dynamics$parameters_of_known$searched())), names(fit$model$known$scale$start))
  }
  if (!is.null(fit$history)) fit$history$kept <- FALSE
  fit$history <- rbind(fit$history, history)
  fit$learning_rate <- learning_rate
  if (fit$estimated_starts) fit$first <- from_python(training$first_states)
  fit$fitted <- predict(fit)
  fit
}

#' Go on with training
#'
#' Trains a model that [nk_fit()] returned for more epochs, on the same data and from the weights that it has. Adam
#' starts afresh.
#' @param object what [nk_fit()] returned.
#' @inheritParams nk_fit
#' @return The model, its history going on.
#' @examples
#' if (nk_available()) {
#'   data <- data.frame(time = 0:5, x = exp(-(0:5)))
#'   fit <- nk_fit(data, layers = 4, epochs = 5, seed = 1, progress = FALSE)
#'   nrow(nk_continue(fit, epochs = 5, progress = FALSE)$history) # 10
#' }
#' @export
nk_continue <- function(object, epochs = 100, learning_rate = object$learning_rate / 3,
                        progress = getOption("nodekitr.progress", TRUE)) {
  if (!inherits(object, "nk_fit")) {
    abort("type_error", "'object' is of class '", class(object)[1], "'.", remedy = "Give what nk_fit() returned.")
  }
  trained(object, epochs, learning_rate, object$model$seed, progress)
}

as_training_solver <- function(method, rtol, atol, options, known, sorted, time) {
  method <- as_method(method)
  if (!is.null(known) && is_adaptive(method) && is.null(options$max_step)) { # its inputs may be short
    steps <- diff(sorted[[time]])[diff(sorted$.series) == 0]
    options <- c(options, list(max_step = max(steps)))
  }
  list(
    method = method, rtol = as_number(rtol, "rtol"), atol = as_number(atol, "atol"),
    options = training_options(method, options)
  )
}

check_positive <- function(observed, positive, states) {
  unknown <- setdiff(positive, states)
  if (length(unknown)) {
    abort("value_error", "'positive' names '", unknown[1], "', which is no state.",
      remedy = paste0("States: ", paste(states, collapse = ", "), ".")
    )
  }
  for (name in positive) {
    bad <- which(observed[[name]] <= 0)
    if (length(bad)) {
      abort("value_error", "'", name, "' is ", observed[[name]][bad[1]], " in row ", bad[1], ", but named in 'positive'.",
        remedy = "Replace it by NA, or leave the state out of 'positive'."
      )
    }
  }
}

transformed <- function(data, positive) {
  data[positive] <- lapply(data[positive], log)
  data
}

state_places <- function(names, states, argument) {
  unknown <- setdiff(names, states)
  if (length(unknown) || !length(names)) {
    abort("value_error", "'", argument, "' ", if (length(names)) c("names '", unknown[1], "', which is no state.") else
      "is empty.", remedy = paste0("States: ", paste(states, collapse = ", "), "."))
  }
  match(names, states) - 1L
}

covariate_spread <- function(tables) {
  if (is.null(tables)) return(NULL)
  values <- do.call(rbind, lapply(tables, `[[`, "values"))
  spread <- apply(values, 2, stats::sd)
  list(center = array(colMeans(values)), scale = array(ifelse(is.na(spread) | spread == 0, 1, spread)))
}

as_row_weights <- function(weights, data) {
  if (is.null(weights)) return(rep(1, nrow(data)))
  if (is.character(weights) && length(weights) == 1) {
    if (!weights %in% names(data)) {
      abort("value_error", "'weights' names '", weights, "', which is no column of 'data'.", remedy = "Give numbers.")
    }
    weights <- data[[weights]]
  }
  weights <- as_numbers(weights, "weights")
  if (length(weights) != nrow(data) || any(weights < 0) || all(weights == 0)) {
    abort("value_error", "'weights' must be ", nrow(data), " numbers that are not negative.",
      remedy = "Give one for each row of 'data'."
    )
  }
  weights
}

# Which rows are not to be trained on.
held_out <- function(sorted, validation, id) {
  none <- rep(FALSE, nrow(sorted))
  if (is.null(validation)) return(none)
  series <- unique(sorted$.series)
  is_fraction <- is.numeric(validation) && length(validation) == 1 && validation > 0 && validation < 1
  if (is_fraction && length(series) == 1) {
    count <- max(2, round(validation * nrow(sorted)))
    held <- seq_len(nrow(sorted)) > nrow(sorted) - count
  } else if (is_fraction) {
    held <- sorted$.series %in% series[seq_len(max(1, round(validation * length(series)))) + length(series) -
      max(1, round(validation * length(series)))]
  } else {
    if (!length(id) || anyNA(match_ids(validation, sorted[[id]]))) {
      abort("value_error", "'validation' is neither a fraction nor ids of trajectories.",
        remedy = "For example validation = 0.2."
      )
    }
    held <- !is.na(match_ids(sorted[[id]], validation))
  }
  if (sum(!held) < 2) abort("value_error", "'validation' leaves nothing to train on.", remedy = "Take less.")
  held
}

# Some of the data's states, with what acts on them, at which a known part is tried.
probe_of <- function(sorted, spec, outside) {
  complete <- which(rowSums(is.na(sorted[spec$states])) == 0)
  if (!length(complete)) complete <- 1
  rows <- sorted[complete[unique(round(seq(1, length(complete), length.out = min(20, length(complete)))))], ]
  states <- as.matrix(rows[spec$states])
  states[is.na(states)] <- 1
  inputs <- lapply(seq_len(nrow(rows)), function(i) {
    if (is.null(spec$covariates)) return(list())
    table <- outside$tables[[rows$.series[i]]]
    stats::setNames(lapply(seq_len(ncol(table$values)), function(k) {
      if (length(table$times) < 2) return(table$values[1, k])
      stats::approx(table$times, table$values[, k], rows[[spec$time]][i], outside$kind, rule = 2)$y
    }), spec$covariates$columns)
  })
  list(times = as.double(rows[[spec$time]]), states = unname(states), inputs = inputs)
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
  inputs <- length(model$seen) + (!is.null(model$clock)) + length(model$covariates$center)
  outputs <- length(model$learnt)
  network <- if (!is.null(model$network)) {
    torch <- reticulate::import("torch")
    torch$manual_seed(model$seed)
    model$network(torch, inputs, outputs)
  } else if (!is.null(model$layers)) {
    bridge()$perceptron(inputs, outputs, as.list(model$layers), model$activation, model$seed, !is.null(model$known))
  }
  clock <- if (!is.null(model$clock)) as.list(model$clock)
  known <- if (!is.null(model$known)) known_in_python(model$known)
  dynamics <- from_python(bridge()$Dynamics, network, array(model$center), array(model$scale), array(model$rate), clock,
    positive = array(model$positive), seen = as.list(model$seen), learnt = as.list(model$learnt),
    covariates = model$covariates, known = known,
    parameters = if (!is.null(model$known)) parameters_in_python(model$known)
  )
  if (!is.null(weights)) dynamics <- from_python(bridge()$load_weights, dynamics, weights)
  from_python(dynamics$to, model$device)
}

# The right-hand side in the data's units, for nk_ode(func = fit).
fitted_module <- function(fit, names) {
  if (!is.null(names) && !identical(names, fit$states)) {
    abort("value_error", "'y' names the states ", paste(names, collapse = ", "), ".",
      remedy = paste0("The model's are, in this order: ", paste(fit$states, collapse = ", "), ".")
    )
  }
  if (!is.null(fit$spec$covariates)) {
    abort("value_error", "The model has covariates, which nk_ode() does not know.", remedy = "Use predict().")
  }
  fit$model$device <- "cpu"
  bridge()$InUnits(build_dynamics(fit$model, fit$weights))
}
