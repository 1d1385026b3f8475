# thind Fig. 9: the layers of a residual network beside the vector field and the trajectories of its equation.

#' @param history columns series ("residual", "ODE", "field"), start, t (depth), z (state), slope (of the field).
figure_residual_and_continuous <- function(history) {
  require_columns(history, c("series", "start", "t", "z", "slope"), "residual_and_continuous", "history")
  panels <- c(residual = "Residual network", ODE = "Its differential equation")
  lines <- history[history$series %in% names(panels), ]
  lines$panel <- factor(panels[lines$series], panels)
  layers <- lines[lines$series == "residual", ]
  arrows <- field_arrows(history[history$series == "field", ])
  arrows$panel <- factor(panels[["ODE"]], panels)
  ggplot(lines, aes(z, t, group = start)) +
    geom_segment(
      aes(x = z, y = t, xend = z_end, yend = t_end), arrows, inherit.aes = FALSE, colour = PALE, linewidth = 0.35,
      arrow = arrow(length = unit(2.5, "pt"), type = "closed")
    ) +
    geom_path(aes(colour = panel), linewidth = 0.8) +
    geom_point(data = layers, colour = PALETTE[["vermillion"]], size = 1.9) +
    facet_wrap(~panel) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue")]), guide = "none") +
    scale_y_continuous(breaks = whole_breaks(8)) +
    labs(x = "Input, hidden state, output", y = "Depth", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
}

# Arrows of equal height that lean as far as the state moves meanwhile.
field_arrows <- function(field, height = 0.55) {
  kept <- field[field$t < max(field$t), ]
  transform(kept, z_end = z + height * slope, t_end = t + height)
}
