#' Fit a neural differential equation to trajectories
#'
#' Learns the right-hand side of `dy/dt = f(y)` as a neural network, from one or more observed trajectories. Times
#' may be irregular and differ between trajectories; a value that was not observed is `NA`. Training runs in Python,
#' without R in its loop.
#'
#' States are standardised before they reach the network, and the loss is the mean squared error of the standardised
#' states. Each trajectory starts from its first observation, which must be complete. Adam's learning rate falls along half a
#' cosine to a hundredth of its start.
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
  if (anyNA(series)) abort("value_error", "'", id, "' is NA in row ", which(is.na(series))[1], ".", remedy = "Give each row its trajectory.")
  data$.series <- match(series, unique(series))
  data <- data[order(data$.series, data[[time]]), c(id, time, states, ".series")]
  rownames(data) <- NULL
  firsts <- which(!duplicated(data$.series))
  name_of <- function(row) if (length(id)) paste0(" of trajectory '", data[[id]][row], "'") else ""
  alone <- firsts[tabulate(data$.series) < 2]
  if (length(alone)) abort("value_error", "There is only one observation", name_of(alone[1]), ".", remedy = "A trajectory needs two; drop this one.")
  twice <- which(diff(data[[time]]) == 0 & diff(data$.series) == 0)
  if (length(twice)) {
    abort("value_error", "The time ", data[[time]][twice[1]], name_of(twice[1]), " occurs twice.", remedy = "Average or drop repeated observations.")
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

#' Predict from a fitted neural differential equation
#'
#' @param object,x what [nk_fit()] returned.
#' @param newdata a data frame with the columns `id` (if the model has one) and `time`: predictions for these rows,
#'   each trajectory of the fitted data going on from its start. A trajectory that is not in the fitted data starts
#'   from its first row, which then must hold the states.
#' @param times instead of `newdata`: the times to predict at, for every trajectory or for `y`.
#' @param y an initial state at `times[1]`, in the order or with the names of the model's states.
#' @param rtol,atol tolerances of the prediction.
#' @param ... unused; for `plot`, handed to `plot.default`.
#' @return `predict`: a data frame with the columns `id`, `time` and the states. `coef`: a named vector of all weights. `residuals`: observed minus fitted, a
#'   data frame. `tidy` and `glance` (where the package generics is there): data frames, one row a weight and one
#'   row a model.
#' @examples
#' # see nk_fit()
#' @export
predict.nk_fit <- function(object, newdata = NULL, times = NULL, y = NULL, rtol = 1e-7, atol = 1e-7, ...) {
  dynamics <- build_dynamics(object$model, object$weights)
  solver <- utils::modifyList(object$solver, list(rtol = as_number(rtol, "rtol"), atol = as_number(atol, "atol")))
  along <- function(start, from, at) {
    if (any(at < from)) {
      abort("value_error", "The time ", min(at), " is before the start of its trajectory at ", from, ".",
        remedy = "Ask for later times, or give 'y' and 'times' with the state at times[1]."
      )
    }
    grid <- sort(unique(c(from, at)))
    if (length(grid) == 1) return(matrix(start, length(at), length(start), byrow = TRUE))
    values <- from_python(bridge()$trajectory, dynamics, array(as.double(start)), array(grid), solver)
    values[match(at, grid), , drop = FALSE]
  }
  if (!is.null(y)) {
    times <- as_times(times)
    start <- as_fitted_state(y, object$states)
    at <- if (length(times) > 1 && times[2] < times[1]) {
      from_python(bridge()$trajectory, dynamics, array(start), array(times), solver)
    } else {
      along(start, times[1], times)
    }
    return(predicted_frame(object, NULL, times, at))
  }
  starts <- object$data[!duplicated(object$data$.series), ]
  wanted <- if (!is.null(newdata)) {
    as_newdata(newdata, object)
  } else if (!is.null(times)) {
    times <- as_numbers(times, "times")
    data.frame(.series = rep(starts$.series, each = length(times)), .time = rep(times, nrow(starts)))
  } else {
    data.frame(.series = object$data$.series, .time = object$data[[object$time]])
  }
  starts <- rbind(starts, attr(wanted, "starts"))
  values <- matrix(NA_real_, nrow(wanted), length(object$states))
  for (series in unique(wanted$.series)) {
    rows <- wanted$.series == series
    start <- starts[starts$.series == series, ]
    values[rows, ] <- along(unlist(start[object$states]), start[[object$time]], wanted$.time[rows])
  }
  predicted_frame(object, starts[[object$id %|0|% ".series"]][match(wanted$.series, starts$.series)], wanted$.time, values)
}

`%|0|%` <- function(a, b) if (length(a)) a else b

predicted_frame <- function(object, ids, times, values) {
  colnames(values) <- object$states
  frame <- data.frame(stats::setNames(list(times), object$time), values, check.names = FALSE)
  if (!length(object$id) || is.null(ids)) return(frame)
  cbind(stats::setNames(data.frame(ids), object$id), frame)
}

as_fitted_state <- function(y, states) {
  state <- as_state(y)
  if (state$n != length(states) || (!is.null(state$names) && !setequal(state$names, states))) {
    abort("value_error", "'y' does not fit the model.", remedy = paste0("Its states are: ", paste(states, collapse = ", "), "."))
  }
  if (is.null(state$names)) state$values else state$values[match(states, state$names)]
}

# Rows to predict, by trajectory; those that the model has not seen bring their own start.
as_newdata <- function(newdata, object) {
  needed <- c(object$id, object$time)
  if (!is.data.frame(newdata) || !all(needed %in% names(newdata))) {
    abort("value_error", "'newdata' must be a data frame with the columns ", paste(needed, collapse = ", "), ".", remedy = NULL)
  }
  at <- as_numbers(newdata[[object$time]], object$time)
  if (!length(object$id)) return(data.frame(.series = 1L, .time = at))
  known <- object$data[[object$id]]
  ids <- as.character(newdata[[object$id]])
  series <- object$data$.series[match(ids, as.character(known))]
  new <- unique(ids[is.na(series)])
  series[is.na(series)] <- max(object$data$.series) + match(ids[is.na(series)], new)
  starts <- lapply(new, function(which) {
    rows <- newdata[ids == which, ]
    first <- rows[which.min(rows[[object$time]]), ]
    if (!all(object$states %in% names(first)) || anyNA(first[object$states])) {
      abort("value_error", "Trajectory '", which, "' is not in the fitted data and has no complete first row.",
        remedy = "Give its states at its first time."
      )
    }
    first[[object$id]] <- which
    cbind(first[c(needed, object$states)], .series = series[ids == which][1])
  })
  structure(data.frame(.series = series, .time = at), starts = do.call(rbind, starts))
}

#' @rdname predict.nk_fit
#' @export
coef.nk_fit <- function(object, ...) flat_weights(object$weights, object$trained)

#' @rdname predict.nk_fit
#' @export
fitted.nk_fit <- function(object, ...) object$fitted

#' @rdname predict.nk_fit
#' @export
residuals.nk_fit <- function(object, ...) {
  frame <- object$fitted
  frame[object$states] <- object$data[object$states] - frame[object$states]
  frame
}

#' @rdname predict.nk_fit
#' @export
nobs.nk_fit <- function(object, ...) nrow(object$data)

#' @rdname predict.nk_fit
#' @export
print.nk_fit <- function(x, ...) {
  cat("Neural differential equation of ", paste(x$states, collapse = ", "), "\n",
    "  network: ", describe_network(x), ", ", length(coef(x)), " weights\n",
    "  data: ", nrow(x$data), " observations of ", max(x$data$.series), " ",
    if (max(x$data$.series) == 1) "trajectory" else "trajectories", "\n",
    "  solver: ", x$solver$method, ", gradient: ", x$gradient, "\n",
    "  trained: ", nrow(x$history), " epochs, loss ", format(utils::tail(x$history$loss, 1), digits = 3), "\n",
    sep = ""
  )
  invisible(x)
}

describe_network <- function(x) {
  if (!is.null(x$model$network)) return("the user's")
  inputs <- length(x$states) + !is.null(x$model$clock)
  paste0(paste(c(inputs, x$model$layers, length(x$states)), collapse = " - "), ", ", x$model$activation)
}

#' @rdname predict.nk_fit
#' @export
summary.nk_fit <- function(object, ...) {
  errors <- residuals(object)[object$states]
  spread <- vapply(object$data[object$states], function(x) mean((x - mean(x, na.rm = TRUE))^2, na.rm = TRUE), 1)
  squares <- vapply(errors, function(x) mean(x^2, na.rm = TRUE), 1)
  structure(
    list(fit = object, states = data.frame(rmse = sqrt(squares), r_squared = 1 - squares / spread)),
    class = "summary.nk_fit"
  )
}

#' @export
print.summary.nk_fit <- function(x, ...) {
  print(x$fit)
  last <- x$fit$history[nrow(x$fit$history), ]
  cat("  evaluations of the derivative a batch: ", format(last$nfe_forward), " forward, ", format(last$nfe_backward),
    " backward\n\n", sep = "")
  print(x$states, digits = 4)
  invisible(x)
}

#' @rdname predict.nk_fit
#' @param which `"trajectories"`: the data as points, the model as lines; `"history"`: the loss by epoch.
#' @param until the last time to draw the model at; beyond the data it extrapolates.
#' @export
plot.nk_fit <- function(x, which = c("trajectories", "history"), until = max(x$data[[x$time]]), ...) {
  which <- match.arg(which)
  if (which == "history") {
    graphics::plot.default(x$history$epoch, x$history$loss, type = "l", log = "y", xlab = "epoch", ylab = "loss", ...)
    return(invisible(x))
  }
  time <- x$data[[x$time]]
  lines <- predict(x, times = seq(max(tapply(time, x$data$.series, min)), until, length.out = 200))
  colours <- grDevices::hcl.colors(max(x$data$.series), "Dark 3")
  ids <- if (length(x$id)) match(as.character(lines[[x$id]]), unique(as.character(x$data[[x$id]]))) else rep(1, nrow(lines))
  old <- graphics::par(mfrow = rev(grDevices::n2mfrow(length(x$states))))
  on.exit(graphics::par(old))
  for (state in x$states) {
    graphics::plot.default(time, x$data[[state]],
      col = colours[x$data$.series], pch = 16, cex = 0.7, xlab = x$time, ylab = state,
      xlim = range(time, until), ylim = range(x$data[[state]], lines[[state]], na.rm = TRUE), ...
    )
    for (series in unique(ids)) {
      graphics::lines(lines[[x$time]][ids == series], lines[[state]][ids == series], col = colours[series])
    }
  }
  invisible(x)
}

#' @rdname predict.nk_fit
#' @exportS3Method generics::tidy
tidy.nk_fit <- function(x, ...) {
  weights <- coef(x)
  data.frame(term = names(weights), estimate = unname(weights))
}

#' @rdname predict.nk_fit
#' @exportS3Method generics::glance
glance.nk_fit <- function(x, ...) {
  last <- x$history[nrow(x$history), ]
  data.frame(
    loss = last$loss, rmse = sqrt(mean(unlist(residuals(x)[x$states])^2, na.rm = TRUE)), weights = length(coef(x)),
    epochs = nrow(x$history), nobs = nobs(x), trajectories = max(x$data$.series), method = x$solver$method,
    gradient = x$gradient, nfe_forward = last$nfe_forward, nfe_backward = last$nfe_backward
  )
}
