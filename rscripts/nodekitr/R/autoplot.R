# Plots by ggplot2, beside those of base graphics.

#' Plots by ggplot2
#'
#' A panel a state, points for the data and lines for the model; of a solution of [nk_ode()] a panel a column.
#' @param object what [nk_fit()], [nk_ensemble()], [nk_estimate()] or [nk_ode()] returned.
#' @param interval,level as in [predict.nk_fit()]: a ribbon.
#' @param until the last time to draw the model at.
#' @param ... nothing may be given.
#' @return A ggplot.
#' @name autoplot.nk_fit
#' @examples
#' if (nk_available() && requireNamespace("ggplot2", quietly = TRUE)) {
#'   out <- nk_ode(c(prey = 1), 0:10, function(t, y, parms) list(-0.2 * y))
#'   ggplot2::autoplot(out)
#' }
NULL

#' @rdname autoplot.nk_fit
#' @exportS3Method ggplot2::autoplot
autoplot.nk_fit <- function(object, interval = c("none", "prediction"), level = 0.95,
                            until = max(object$data[[object$time]]), ...) {
  refuse_arguments(c("interval", "level", "until"), ...)
  model_plot(object, object, match.arg(interval), level, until)
}

#' @rdname autoplot.nk_fit
#' @exportS3Method ggplot2::autoplot
autoplot.nk_ensemble <- function(object, interval = c("confidence", "prediction", "none"), level = 0.95,
                                 until = max(object$object$data[[object$object$time]]), ...) {
  refuse_arguments(c("interval", "level", "until"), ...)
  model_plot(object, object$object, match.arg(interval), level, until)
}

#' @rdname autoplot.nk_fit
#' @exportS3Method ggplot2::autoplot
autoplot.nk_estimate <- function(object, until = max(object$data[[object$time]]), ...) {
  refuse_arguments("until", ...)
  lines <- lines_of_estimate(object, until)
  panels(long_frame(object$data, object$id, object$time, object$observed),
    long_frame(lines, object$id, object$time, object$observed), object$time)
}

#' @rdname autoplot.nk_fit
#' @exportS3Method ggplot2::autoplot
autoplot.nk_ode <- function(object, ...) {
  refuse_arguments(NULL, ...)
  frame <- as.data.frame(unclass_ode(object))
  panels(NULL, long_frame(frame, NULL, "time", names(frame)[-1]), "time")
}

# The model from the start of each trajectory on, with what was observed.
model_plot <- function(object, fit, interval, level, until) {
  starts <- fitted_starts(fit)
  along <- lapply(starts[[fit$time]], function(start) seq(start, max(until, start), length.out = 200))
  newdata <- stats::setNames(data.frame(unlist(along)), fit$time)
  newdata[fit$id] <- starts[rep(seq_along(along), each = 200), fit$id]
  lines <- stats::predict(object, newdata, interval = interval, level = level)
  panels(long_frame(fit$data, fit$id, fit$time, fit$states), long_frame(lines, fit$id, fit$time, fit$states), fit$time)
}

# One row a value.
long_frame <- function(data, id, time, columns) {
  frames <- lapply(columns, function(name) {
    bound_of <- function(end) data[[paste0(name, end)]] %||% rep(NA_real_, nrow(data))
    data.frame(
      time = data[[time]], value = data[[name]], state = factor(name, columns), lower = bound_of(".lower"),
      upper = bound_of(".upper"), id = if (length(id)) factor(data[[id]]) else factor(rep("", nrow(data)))
    )
  })
  do.call(rbind, frames)
}

panels <- function(points, lines, time) {
  several <- nlevels(lines$id) > 1
  aes <- function(...) do.call(ggplot2::aes, lapply(c(x = "time", ..., if (several) c(colour = "id", fill = "id")), as.name))
  plot <- ggplot2::ggplot(lines, aes(y = "value")) +
    ggplot2::facet_wrap("state", scales = "free_y") + ggplot2::labs(x = time, y = NULL)
  if (any(!is.na(lines$lower))) {
    plot <- plot + ggplot2::geom_ribbon(aes(ymin = "lower", ymax = "upper"), alpha = 0.2, colour = NA)
  }
  plot <- plot + ggplot2::geom_line()
  if (!is.null(points)) plot <- plot + ggplot2::geom_point(data = points[!is.na(points$value), ])
  plot + if (several) ggplot2::labs(colour = "id", fill = "id")
}
