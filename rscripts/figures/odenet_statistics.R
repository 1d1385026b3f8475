# Chen et al., Fig. 3: a trained ODE-Net in four panels.

#' @param history columns panel, batch, tolerance, nfe_forward, nfe_backward, error; for training also epoch.
#' @param timing columns seed, batch, tolerance, nfe_forward, seconds.
figure_odenet_statistics <- function(history, timing) {
  columns <- c("panel", "seed", "tolerance", "nfe_forward", "nfe_backward", "error", "epoch")
  require_columns(history, columns, "odenet_statistics", "history")
  require_columns(timing, c("tolerance", "nfe_forward", "seconds"), "odenet_statistics", "timing")
  solves <- history[history$panel == "tolerance", ]
  training <- over_seeds(history[history$panel == "training", ], "epoch", "nfe_forward")
  colours <- scale_colour_viridis_c(
    trans = "log10", option = "viridis", end = 0.85, breaks = 10^seq(-6, -1), labels = scales::label_log(),
    name = "Tolerance", limits = range(solves$tolerance),
    guide = guide_colourbar(direction = "horizontal", barwidth = unit(110, "pt"), barheight = unit(6, "pt"))
  )
  points <- function(data, mapping, title, x, y) {
    ggplot(data, mapping) +
      labs(title = title, x = x, y = y) +
      colours +
      theme(
        plot.title = element_text(size = rel(1), face = "bold"), panel.border = element_rect(fill = NA, colour = GRID),
        legend.position = "none"
      )
  }
  forward <- "NFE forward"
  ends <- range(0, solves$nfe_forward, solves$nfe_backward)
  references <- data.frame(slope = c(1, 0.5), label = c("equal", "half"), x = 0.92 * ends[2])
  error <- points(solves, aes(error, nfe_forward, colour = tolerance), "a  Error", "Numerical error", forward) +
    geom_point(size = 1.4, alpha = 0.8) +
    scale_x_log10(labels = scales::label_log(), breaks = 10^seq(-8, 0))
  time <- points(timing, aes(nfe_forward, seconds, colour = tolerance), "b  Time", forward, "Seconds forward") +
    geom_point(size = 1.4, alpha = 0.8) +
    scale_y_continuous(limits = c(0, NA))
  backward <- points(
    solves, aes(nfe_forward, nfe_backward, colour = tolerance), "c  Forward and backward", forward, "NFE backward"
  ) +
    geom_abline(aes(slope = slope, intercept = 0), references, linetype = "22", colour = PALE, linewidth = 0.5) +
    label_over(references, aes(x, slope * x, label = label), colour = "#52606d", size = 0.8) +
    geom_point(size = 1.4, alpha = 0.8) +
    coord_cartesian(xlim = c(0, ends[2]), ylim = c(0, ends[2]))
  few <- nrow(training) <= 10
  epochs <- ggplot(training, aes(epoch, mean)) +
    geom_ribbon(aes(ymin = low, ymax = high), fill = PALETTE[["vermillion"]], alpha = 0.2) +
    geom_line(colour = PALETTE[["vermillion"]], linewidth = if (few) 0.8 else 0.6) +
    (if (few) geom_point(colour = PALETTE[["vermillion"]], size = 1.6)) +
    scale_x_continuous(breaks = whole_breaks(4)) +
    scale_y_continuous(limits = c(0, NA)) +
    labs(title = "d  Training", x = "Epoch", y = forward) +
    theme(
      plot.title = element_text(size = rel(1), face = "bold"), panel.border = element_rect(fill = NA, colour = GRID)
    )
  backward <- backward + theme(legend.position = "bottom", legend.title = element_text(vjust = 1))
  # Two epochs are no course of training.
  panels <- c(list(error, time, backward), if (nrow(training) > 2) list(epochs))
  plot <- patchwork::wrap_plots(panels, ncol = 2, guides = "collect") +
    patchwork::plot_annotation(subtitle = origin_words(history), theme = theme(legend.position = "bottom"))
  structure(plot, size = FIGURE_HEIGHT * 1.45)
}
