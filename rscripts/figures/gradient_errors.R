# Gradients through a solve against the exact ones, by the solver's tolerance.

#' @param history columns series (a gradient of nodekit), with_respect_to, tolerance, error (relative).
figure_gradient_errors <- function(history) {
  require_columns(history, c("series", "with_respect_to", "tolerance", "error"), "gradient_errors", "history")
  methods <- unique(history$series)
  history$series <- factor(history$series, methods)
  history$panel <- factor(
    paste("with respect to", history$with_respect_to), paste("with respect to", unique(history$with_respect_to))
  )
  # Gradients that agree lie on one another: the first have the largest, open points.
  sizes <- seq(3.4, 1, length.out = length(methods))
  plot <- ggplot(history, aes(tolerance, error, colour = series)) +
    geom_abline(slope = 1, linetype = "22", colour = PALE, linewidth = 0.5) +
    geom_line(linewidth = 0.5) +
    geom_point(aes(shape = series, size = series), fill = "white", stroke = 0.9) +
    facet_wrap(~panel) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue", "sea_green", "purple", "black")])) +
    scale_shape_manual(values = c(21, 4, 22, 3, 24)) +
    scale_size_manual(values = sizes) +
    scale_x_log10(labels = scales::label_log(), breaks = 10^seq(-10, -4, 3)) +
    scale_y_log10(labels = scales::label_log(), breaks = 10^seq(-12, 0, 3)) +
    labs(x = "Tolerance of the solver", y = "Relative error of the gradient", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.2)
}
