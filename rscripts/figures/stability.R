# ulala 2.5.1: explicit and implicit Euler on y' = -ay, with steps below and above the explicit method's limit h = 2/a.

#' @param history columns panel ("stability"), series (a method), scaled_step (h times a), x, y.
figure_stability <- function(history) {
  require_columns(history, c("panel", "series", "scaled_step", "x", "y"), "stability", "history")
  curves <- history[history$panel == "stability", ]
  steps <- sort(unique(curves$scaled_step))
  curves$row <- factor(paste("ha =", curves$scaled_step), paste("ha =", steps))
  methods <- c(euler = "Explicit Euler", implicit_euler = "Implicit Euler")
  curves$method <- factor(methods[curves$series], methods)
  exact <- data.frame(x = seq(0, max(curves$x), length.out = 201))
  exact$y <- exp(-decay_rate(curves) * exact$x)
  plot <- ggplot(curves, aes(x, y)) +
    geom_line(data = exact, colour = PALE, linewidth = 1.3) +
    geom_line(aes(colour = method), linewidth = 0.5) +
    geom_point(aes(colour = method), size = 0.9) +
    facet_grid(row ~ method, scales = "free_y") +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue")]), guide = "none") +
    scale_y_continuous(n.breaks = 3) +
    labs(x = "Time", y = "y", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID), strip.text.y = element_text(angle = 0))
  structure(plot, size = FIGURE_HEIGHT * 1.5)
}

# The rate a of y' = -ay, from a step h and the ha that it was made from.
decay_rate <- function(curves) {
  one <- curves[curves$series == curves$series[1] & curves$scaled_step == min(curves$scaled_step), ]
  one$scaled_step[1] / diff(sort(one$x)[1:2])
}
