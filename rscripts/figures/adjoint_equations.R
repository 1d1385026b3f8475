# How far apart the two sides of each of the adjoint's equations are, computed in different ways.

#' @param history columns panel ("equation" or "limit"), series (number and equation), step (limits only), difference.
figure_adjoint_equations <- function(history) {
  require_columns(history, c("panel", "series", "step", "difference"), "adjoint_equations", "history")
  equation <- history[history$panel == "equation", ]
  equation$series <- factor(equation$series, rev(unique(equation$series)))
  # Sides that agree to the last bit have no place on a logarithmic axis: they stand at the rounding of one number.
  equation$shown <- pmax(equation$difference, .Machine$double.eps)
  sides <- ggplot(equation, aes(shown, series)) +
    geom_segment(aes(x = .Machine$double.eps, xend = shown, yend = series), colour = GRID) +
    geom_point(colour = PALETTE[["blue"]], size = 2.2) +
    scale_x_log10(labels = scales::label_log(), limits = c(.Machine$double.eps, 1), breaks = 10^seq(-15, 0, 5)) +
    labs(x = "Relative difference of the two sides", y = NULL, title = "Equations")
  limit <- history[history$panel == "limit", ]
  # Each name lies on the free side of its line: over the end of the first, under the start of the second.
  ends <- rbind(limit[limit$series == limit$series[1] & limit$step == max(limit$step), ],
                limit[limit$series != limit$series[1] & limit$step == min(limit$step), ])
  ends$side <- c(1, 0)
  tending <- ggplot(limit, aes(step, difference, colour = series)) +
    geom_line(linewidth = 0.6) +
    geom_point(size = 1.6) +
    geom_text(aes(label = series, hjust = side, vjust = ifelse(side == 1, -1, 2)), ends, size = 2.9) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "sea_green")]), guide = "none") +
    scale_x_log10() +
    scale_y_log10(labels = scales::label_log(), breaks = 10^(-4:0), expand = expansion(c(0.25, 0.2))) +
    labs(x = "Step", y = "Relative difference", title = "Limits of small steps")
  structure(patchwork::wrap_plots(sides, tending, ncol = 1, heights = c(3, 2)), size = FIGURE_HEIGHT * 1.7)
}
