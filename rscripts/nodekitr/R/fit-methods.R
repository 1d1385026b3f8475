# What one does with a fitted model: predict, print, plot, and the like.

#' Predict from a fitted neural differential equation
#'
#' @param object,x what [nk_fit()] returned.
#' @param newdata a data frame with the columns `id` (if the model has one) and `time`: predictions for these rows, in
#'   their order and with their names and ids. Each trajectory of the fitted data going on from its start. A trajectory
#'   that is not in the fitted data starts from its first row, which then must hold the states.
#' @param times instead of `newdata`: the times to predict at, for every trajectory or for `y`.
#' @param y an initial state at `times[1]`, in the order or with the names of the model's states. Events without a column
#'   of ids happen then, too; those of one trajectory do not.
#' @param interval `"prediction"`: with the bounds of an interval for a new observation, from the noise that the
#'   residuals show, as columns `x.lower` and `x.upper`. How far the model itself may be wrong is [nk_ensemble()]'s.
#' @param level of the interval.
#' @param forcings,events instead of those of the fit, as in [nk_fit()].
#' @param rtol,atol tolerances of the prediction.
#' @param ... for `plot`, handed to `plot.default`; else nothing may be given.
#' @return `predict`: a data frame with the columns `id`, `time` and the states. `coef`: a named vector, of the
#'   parameters of the known part or of all weights. `fitted` and `residuals` (observed minus fitted): data frames with
#'   the rows of the data, in their order and with their names. `nobs`: the rows with a value that was observed, while
#'   `logLik` and so `BIC` count the values, but not those that trajectories start from exactly; nor do `rmse` and
#'   `r_squared` of `summary` and `glance`. `tidy` and `glance` (where the package generics is there): data frames, one
#'   row a parameter of the known part - none where there is no such part - and one row a model.
#' @examples
#' # see nk_fit()
#' @export
predict.nk_fit <- function(object, newdata = NULL, times = NULL, y = NULL, rtol = 1e-7, atol = 1e-7, ...,
                           interval = c("none", "prediction"), level = 0.95, forcings = NULL, events = NULL) {
  refuse_arguments(c("newdata", "times", "y", "rtol", "atol", "interval", "level", "forcings", "events"), ...)
  if (identical(interval, "confidence")) {
    abort("value_error", "A single model does not know how far it may be wrong.",
      remedy = "Fit it several times, nk_ensemble(), and predict from that with interval = \"confidence\"."
    )
  }
  interval <- match.arg(interval)
  spec <- object$spec
  if (!is.null(forcings)) spec$covariates$forcings <- as_forcing_table(forcings, object$id, object$time)
  if (!is.null(events)) spec$events <- events
  dynamics <- build_dynamics(object$model, object$weights)
  solver <- utils::modifyList(object$solver, list(rtol = as_number(rtol, "rtol"), atol = as_number(atol, "atol")))
  if (!is.null(solver$options$max_num_steps)) solver$options$max_num_steps <- 100000L
  solved <- function(start, grid, outside, place) {
    from_python(bridge()$trajectory, dynamics, array(as.double(start)), array(grid), solver, outside, place)
  }
  along <- function(start, from, at, outside, place) {
    if (any(at < from)) {
      abort("value_error", "The time ", min(at), " is before the start of its trajectory at ", from, ".",
        remedy = "Ask for later times, or give 'y' and 'times' with the state at times[1]."
      )
    }
    grid <- sort(unique(c(from, at)))
    if (length(grid) == 1) return(matrix(start, length(at), length(start), byrow = TRUE))
    solved(start, grid, outside, place)[match(at, grid), , drop = FALSE]
  }
  if (!is.null(y)) {
    times <- as_times(times)
    start <- as_fitted_state(y, object)
    if (!is.null(spec$covariates)) {
      abort("value_error", "The model has covariates, which 'y' and 'times' do not tell.",
        remedy = "Give newdata: rows of a new trajectory, the first with its states."
      )
    }
    row <- stats::setNames(data.frame(1L, times[1]), c(".series", object$time))
    row[object$id] <- NA # of no trajectory of the data
    outside <- as_outside(spec, row, strict = FALSE)
    backwards <- length(times) > 1 && times[2] < times[1]
    if (backwards && length(outside$events[[1]]$times)) {
      abort("value_error", "The model has events, which cannot be gone back over.", remedy = "Give times that go up.")
    }
    at <- if (backwards) solved(start, times, NULL, 0L) else along(start, times[1], times, in_python(outside), 0L)
    return(with_interval(object, predicted_frame(object, NULL, times, at), interval, level))
  }
  starts <- fitted_starts(object)
  wanted <- if (!is.null(newdata)) {
    as_newdata(newdata, object)
  } else if (!is.null(times)) {
    times <- as_numbers(times, "times")
    data.frame(.series = rep(starts$.series, each = length(times)), .time = rep(times, nrow(starts)))
  } else {
    data.frame(.series = object$data$.series, .time = object$data[[object$time]])
  }
  starts <- rbind(starts[c(object$time, object$states, ".series")], attr(wanted, "starts"))
  values <- matrix(NA_real_, nrow(wanted), length(object$states))
  for (series in unique(wanted$.series)) {
    rows <- wanted$.series == series
    start <- starts[starts$.series == series, ]
    outside <- as_outside(spec, rows_of(object, spec, series, newdata[rows, ]), max(wanted$.time[rows]), strict = FALSE)
    values[rows, ] <- along(unlist(start[object$states]), start[[object$time]], wanted$.time[rows], in_python(outside), 0L)
  }
  ids <- if (length(object$id)) {
    if (is.null(newdata)) object$data[[object$id]][match(wanted$.series, object$data$.series)] else newdata[[object$id]]
  }
  rows <- if (!is.null(newdata)) newdata else if (is.null(times)) object$data
  at <- if (!is.null(newdata)) newdata[[object$time]] else wanted$.time
  with_interval(object, predicted_frame(object, ids, at, values, attr(rows, "row.names")), interval, level)
}

# Where each trajectory starts: at its first observation, or at the state that was estimated there.
fitted_starts <- function(object) {
  starts <- starts_of(object$data, object$time)
  estimated <- match(object$first$series + 1, starts$.series)
  if (length(estimated)) {
    starts[estimated, object$states] <- matrix(object$first$states, length(estimated))
    starts[[object$time]][estimated] <- object$first$time
  }
  starts
}

# Rows that tell what acts on a trajectory: those of the data, and those that were given anew.
rows_of <- function(object, spec, series, new) {
  columns <- c(object$id, object$time, intersect(spec$covariates$names, names(object$data)), ".series")
  old <- object$data[object$data$.series == series, columns, drop = FALSE]
  given <- intersect(columns, names(new))
  absent <- setdiff(columns, c(names(new), ".series"))
  if (!nrow(old) && length(absent)) {
    abort("value_error", "'newdata' has no column '", absent[1], "'.", remedy = "It is a covariate of the model.")
  }
  if (is.null(new) || length(absent)) return(old)
  new <- cbind(new[given], .series = rep(series, nrow(new)))[columns]
  for (name in intersect(spec$covariates$names, columns)) {
    before <- unique(old[[name]][!is.na(old[[name]])])
    if (length(before) == 1 && !all(new[[name]] %in% c(before, NA) | as.character(new[[name]]) == as.character(before))) {
      abort("value_error", "'", name, "' of a trajectory of the data is ", format(before), ", and another in 'newdata'.",
        remedy = "For another one, give the trajectory a new id, and its states in its first row."
      )
    }
  }
  old <- old[!old[[object$time]] %in% new[[object$time]], , drop = FALSE]
  for (name in names(old)) if (is.factor(old[[name]])) old[[name]] <- as.character(old[[name]])
  for (name in names(new)) if (is.factor(new[[name]])) new[[name]] <- as.character(new[[name]])
  rbind(old, new)
}

predicted_frame <- function(object, ids, times, values, rows = NULL) {
  colnames(values) <- object$states
  frame <- data.frame(stats::setNames(list(times), object$time), values, check.names = FALSE)
  if (!is.null(ids)) frame <- cbind(stats::setNames(data.frame(ids), object$id), frame)
  if (!is.null(rows)) attr(frame, "row.names") <- rows
  frame
}

as_fitted_state <- function(y, object) {
  states <- object$states
  state <- as_state(y)
  if (state$n != length(states) || (!is.null(state$names) && !setequal(state$names, states))) {
    abort("value_error", "'y' does not fit the model.",
      remedy = paste0("Its states are: ", paste(states, collapse = ", "), ".")
    )
  }
  values <- if (is.null(state$names)) state$values else state$values[match(states, state$names)]
  if (any(values[object$model$positive] <= 0)) {
    abort("value_error", "'y' is zero or negative where the model's states are positive.", remedy = "Give positive states.")
  }
  values
}

# Rows to predict, by trajectory; those that the model has not seen bring their own start.
as_newdata <- function(newdata, object) {
  needed <- c(object$id, object$time)
  if (!is.data.frame(newdata) || !all(needed %in% names(newdata))) {
    abort("value_error", "'newdata' must be a data frame with the columns ", paste(needed, collapse = ", "), ".",
      remedy = NULL
    )
  }
  at <- as_numbers(newdata[[object$time]], object$time)
  if (!length(object$id)) return(data.frame(.series = rep(1L, length(at)), .time = at))
  ids <- newdata[[object$id]]
  if (anyNA(ids)) {
    abort("value_error", "'", object$id, "' is NA in row ", which(is.na(ids))[1], " of 'newdata'.",
      remedy = "Give each row its trajectory."
    )
  }
  place <- match_ids(ids, object$data[[object$id]])
  series <- object$data$.series[place]
  new <- unique(ids[is.na(place)])
  series[is.na(place)] <- max(object$data$.series) + match(ids[is.na(place)], new)
  starts <- lapply(which(is.na(place) & !duplicated(series)), function(row) {
    rows <- newdata[series == series[row], ]
    first <- rows[which.min(rows[[object$time]]), ]
    if (!all(object$states %in% names(first)) || anyNA(first[object$states])) {
      abort("value_error", "Trajectory '", as.character(ids[row]), "' is not in the fitted data and has no complete ",
        "first row.", remedy = "Give its states at its first time."
      )
    }
    cbind(first[c(object$time, object$states)], .series = series[row])
  })
  structure(data.frame(.series = series, .time = at), starts = do.call(rbind, starts))
}

# Which of `known` each id is: numbers as numbers, however they are kept; all else by its text.
match_ids <- function(ids, known) {
  numbers <- function(x) if (is.numeric(x)) x else suppressWarnings(as.numeric(as.character(x)))
  if (is.numeric(ids) || is.numeric(known)) return(match(numbers(ids), numbers(known)))
  match(as.character(ids), as.character(known))
}

#' @rdname predict.nk_fit
#' @param weights whether the weights of the network are wanted, or the parameters of the known part.
#' @export
coef.nk_fit <- function(object, weights = is.null(object$model$known), ...) {
  refuse_arguments("weights", ...)
  if (weights) return(flat_weights(object$weights, object$trained))
  if (is.null(object$theta)) return(stats::setNames(numeric(), character()))
  object$model$known$scale$natural(object$theta)
}

#' @rdname predict.nk_fit
#' @export
fitted.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  object$fitted
}

#' @rdname predict.nk_fit
#' @export
residuals.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  frame <- object$fitted
  frame[object$states] <- object$data[object$states] - frame[object$states]
  frame
}

#' @rdname predict.nk_fit
#' @export
nobs.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  sum(rowSums(!is.na(object$data[object$states])) > 0)
}

#' @rdname predict.nk_fit
#' @export
print.nk_fit <- function(x, ...) {
  refuse_arguments(NULL, ...)
  cat(if (has_network(x)) "Neural differential" else "Differential", " equation of ", paste(x$states, collapse = ", "), "\n",
    if (!is.null(x$model$known)) c("  known part: ", describe_known(x), "\n"),
    if (has_network(x)) c("  network: ", describe_network(x), ", ", length(coef(x, weights = TRUE)), " weights\n"),
    if (!is.null(x$spec$covariates)) c("  covariates: ", paste(x$spec$covariates$columns, collapse = ", "), "\n"),
    "  data: ", nrow(x$data), " observations of ", max(x$data$.series), " ",
    if (max(x$data$.series) == 1) "trajectory" else "trajectories", "\n",
    "  solver: ", x$solver$method, ", gradient: ", x$gradient, "\n",
    describe_training(x$history),
    sep = ""
  )
  invisible(x)
}

has_network <- function(x) !is.null(x$model$layers) || !is.null(x$model$network)

describe_network <- function(x) {
  if (!is.null(x$model$network)) return("the user's")
  inputs <- length(x$model$seen) + (!is.null(x$model$clock)) + length(x$model$covariates$center)
  paste0(paste(c(inputs, x$model$layers, length(x$model$learnt)), collapse = " - "), ", ", x$model$activation)
}

describe_known <- function(x) {
  found <- coef(x, weights = FALSE)
  if (length(found)) paste(names(found), "=", format(found, digits = 4), collapse = ", ") else "no parameters"
}

# Residuals but where a trajectory starts exactly, which is no merit of the model.
solution_errors <- function(object) {
  errors <- residuals(object)[object$states]
  if (!object$estimated_starts) errors[is_start(object), ] <- NA
  errors
}

#' @rdname predict.nk_fit
#' @export
summary.nk_fit <- function(object, ...) {
  refuse_arguments(NULL, ...)
  errors <- solution_errors(object)
  spread <- vapply(object$states, function(name) {
    x <- object$data[[name]][!is.na(errors[[name]])]
    mean((x - mean(x))^2)
  }, 1)
  squares <- vapply(errors, function(x) mean(x^2, na.rm = TRUE), 1)
  structure(
    list(fit = object, states = data.frame(rmse = sqrt(squares), r_squared = 1 - squares / spread)),
    class = "summary.nk_fit"
  )
}

#' @export
print.summary.nk_fit <- function(x, ...) {
  refuse_arguments(NULL, ...)
  print(x$fit)
  kept <- kept_epoch(x$fit$history)
  cat("  evaluations of the derivative a batch: ", format(kept$nfe_forward), " forward, ", format(kept$nfe_backward),
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
  refuse_plot_arguments(c("which", "until"), ...)
  if (which == "history") {
    graphics::plot.default(x$history$epoch, x$history$loss, type = "l", log = "y", xlab = "epoch", ylab = "loss", ...)
    return(invisible(x))
  }
  starts <- starts_of(x$data, x$time)
  along <- lapply(starts[[x$time]], function(start) seq(start, until, length.out = 200))
  newdata <- stats::setNames(data.frame(unlist(along)), x$time)
  newdata[x$id] <- starts[rep(seq_along(along), each = 200), x$id]
  plot_trajectories(x$data, predict(x, newdata), x$time, x$states, until, ...)
  invisible(x)
}

# A panel a state: the data as points, and lines of 200 points each, one a trajectory.
plot_trajectories <- function(data, lines, time, states, until, ...) {
  colours <- grDevices::hcl.colors(max(data$.series), "Dark 3")
  old <- graphics::par(mfrow = rev(grDevices::n2mfrow(length(states))))
  on.exit(graphics::par(old))
  for (state in states) {
    graphics::plot.default(data[[time]], data[[state]],
      col = colours[data$.series], pch = 16, cex = 0.7, xlab = time, ylab = state,
      xlim = range(data[[time]], until), ylim = range(data[[state]], lines[[state]], na.rm = TRUE), ...
    )
    for (rows in split(seq_len(nrow(lines)), rep(seq_along(colours), each = 200))) {
      graphics::lines(lines[[time]][rows], lines[[state]][rows], col = colours[(rows[1] + 199) / 200])
    }
  }
}

#' @rdname predict.nk_fit
#' @param conf.int,conf.level whether `tidy` adds intervals, and their level.
#' @exportS3Method generics::tidy
tidy.nk_fit <- function(x, conf.int = FALSE, conf.level = 0.95, ...) {
  refuse_arguments(c("conf.int", "conf.level"), ...)
  found <- coef(x, weights = FALSE)
  errors <- if (length(found) && !has_network(x)) sqrt(diag(stats::vcov(x))) else rep(NA_real_, length(found))
  frame <- data.frame(term = names(found), estimate = unname(found), std.error = unname(errors))
  if (!conf.int) return(frame)
  interval <- if (has_network(x)) matrix(NA_real_, length(found), 2) else stats::confint(x, level = conf.level)
  cbind(frame, conf.low = unname(interval[, 1]), conf.high = unname(interval[, 2]))
}

#' @rdname predict.nk_fit
#' @exportS3Method generics::glance
glance.nk_fit <- function(x, ...) {
  refuse_arguments(NULL, ...)
  kept <- kept_epoch(x$history)
  data.frame(
    loss = kept$loss, rmse = sqrt(mean(unlist(solution_errors(x))^2, na.rm = TRUE)),
    weights = if (has_network(x)) length(coef(x, weights = TRUE)) else 0L,
    epochs = nrow(x$history), nobs = nobs(x), trajectories = max(x$data$.series), method = x$solver$method,
    gradient = x$gradient, nfe_forward = kept$nfe_forward, nfe_backward = kept$nfe_backward
  )
}
