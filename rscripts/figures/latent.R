# Chen et al.'s latent ODE beside a recurrent network: what each makes of spirals seen in part.

#' @param history of the experiment, for where its data come from.
#' @param curves columns variant, seed, series, seen, spiral, t, x, y, of all runs.
#' @param seen which number of observations; by default the fewest.
figure_latent <- function(history, curves, seen = min(curves$seen)) {
  columns <- c("variant", "seed", "series", "seen", "spiral", "t", "x", "y")
  require_columns(curves, columns, "latent", "curves")
  chosen <- curves[curves$seed == min(curves$seed) & curves$seen == seen & curves$spiral < 3, ]
  models <- c(rnn = "RNN", latent_ode = "Latent ODE")
  chosen$model <- factor(models[chosen$variant], models)
  chosen$column <- chosen$spiral + 1
  chosen <- chosen[order(chosen$t), ]
  truth <- chosen[chosen$series == "truth", ]
  # A prediction may leave the plane; the panels of a column stay with its spiral.
  limits <- do.call(rbind, lapply(split(truth, truth$column), function(spiral) {
    reach <- 0.75 * max(diff(range(spiral$x)), diff(range(spiral$y)))
    middle <- c(mean(range(spiral$x)), mean(range(spiral$y)))
    data.frame(column = spiral$column[1], x = middle[1] + c(-1, 1) * reach, y = middle[2] + c(-1, 1) * reach)
  }))
  for (column in unique(limits$column)) {
    here <- limits[limits$column == column, ]
    inside <- chosen$x >= here$x[1] & chosen$x <= here$x[2] & chosen$y >= here$y[1] & chosen$y <= here$y[2]
    chosen[chosen$column == column & !inside, c("x", "y")] <- NA
  }
  predicted <- chosen[chosen$series %in% c("reconstruction", "extrapolation"), ]
  labels <- c(truth = "true", reconstruction = "reconstructed", extrapolation = "extrapolated")
  lines <- rbind(chosen[chosen$series == "truth", ], predicted)
  lines$line <- factor(labels[lines$series], labels)
  plot <- ggplot(lines, aes(x, y)) +
    geom_blank(data = limits) +
    geom_path(aes(colour = line, linewidth = line, group = interaction(series, spiral)), na.rm = TRUE) +
    geom_point(
      aes(shape = "observed"), chosen[chosen$series == "observation", ], size = 0.9, colour = INK, na.rm = TRUE
    ) +
    facet_wrap(~ model + column, scales = "free", labeller = labeller(.multi_line = FALSE)) +
    scale_colour_manual(values = stats::setNames(c(PALE, PALETTE[["blue"]], PALETTE[["vermillion"]]), labels)) +
    scale_linewidth_manual(values = stats::setNames(c(1.5, 0.8, 0.8), labels), guide = "none") +
    scale_shape_manual(values = c(observed = 16)) +
    labs(x = NULL, y = NULL, subtitle = origin_words(history)) +
    theme(
      axis.text = element_blank(), strip.text = element_text(size = rel(0.75)), aspect.ratio = 1,
      panel.border = element_rect(fill = NA, colour = GRID), panel.spacing = unit(6, "pt")
    )
  structure(plot, size = 9.4 / 2.54)
}

#' The error of predicting what follows, by the number of observations. Chen et al.'s own errors are on another scale.
#' @param metrics columns variant, seed, quantity, value.
figure_predictive_rmse <- function(metrics) {
  require_columns(metrics, c("experiment", "variant", "seed", "quantity", "value"), "predictive_rmse", "metrics")
  pattern <- "^predictive_rmse_at_"
  ours <- over_seeds(metrics[grepl(pattern, metrics$quantity), ], c("variant", "quantity"), "value")
  ours$seen <- as.numeric(sub(pattern, "", ours$quantity))
  models <- c(rnn = "recurrent network", latent_ode = "latent ODE")
  ours$model <- factor(models[ours$variant], models)
  ends <- ours[ours$seen == max(ours$seen), ]
  ggplot(ours, aes(seen, mean, colour = model)) +
    geom_linerange(aes(ymin = low, ymax = high), linewidth = 1.6, alpha = 0.35, na.rm = TRUE) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 2.2) +
    label_beside(ends, aes(seen, mean, label = model, colour = model), hjust = -0.07) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue")]), guide = "none") +
    scale_x_continuous(breaks = unique(ours$seen), expand = expansion(c(0.05, 0.45))) +
    scale_y_log10(expand = expansion(c(0.16, 0.14))) +
    labs(x = "Observed points of 100", y = "Predictive RMSE (log scale)", subtitle = origin_words(metrics))
}
