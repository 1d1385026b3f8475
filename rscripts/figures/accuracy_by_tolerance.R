# ulala 2.4.1: what a trained ODE-Net gets right, and at what price, by the tolerance of its solver.

#' @param history columns seed, tolerance, accuracy (percent), images, nfe_forward.
#' @param timing columns seed, tolerance, seconds (for all images).
figure_accuracy_by_tolerance <- function(history, timing) {
  require_columns(history, c("seed", "tolerance", "accuracy", "images", "nfe_forward"), "accuracy_by_tolerance", "history")
  require_columns(timing, c("seed", "tolerance", "seconds"), "accuracy_by_tolerance", "timing")
  timing$seconds <- 1000 * timing$seconds / history$images[1]
  panels <- c("Test accuracy (%)", "Evaluations of a batch", "Milliseconds an image")
  columns <- c("accuracy", "nfe_forward", "seconds")
  long <- do.call(rbind, lapply(1:3, function(k) {
    data.frame(over_seeds(if (k == 3) timing else history, "tolerance", columns[k]), panel = panels[k])
  }))
  long$panel <- factor(long$panel, panels)
  plot <- ggplot(long, aes(tolerance, mean)) +
    (if (seeds_of(history) > 1) geom_ribbon(aes(ymin = low, ymax = high), fill = PALETTE[["blue"]], alpha = 0.18)) +
    geom_line(colour = PALETTE[["blue"]], linewidth = 0.8) +
    geom_point(colour = PALETTE[["blue"]], size = 1.8) +
    facet_wrap(~panel, ncol = 1, scales = "free_y", strip.position = "top") +
    scale_x_log10(breaks = unique(long$tolerance), labels = scales::label_log()) +
    scale_y_continuous(limits = function(found) if (found[2] > 0) c(0, found[2]) else c(0, 1)) +
    labs(x = "Tolerance of the solver", y = NULL, subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.5)
}
