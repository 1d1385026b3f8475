# thind Fig. 12: the slope of an equation over its value, and which way solutions move.

#' @param history columns series ("slope", "stable", "unstable"), y, slope: a curve and its equilibria.
figure_phase_portrait <- function(history) {
  require_columns(history, c("series", "y", "slope"), "phase_portrait", "history")
  curve <- history[history$series == "slope", ]
  equilibria <- history[history$series != "slope", ]
  equilibria$label <- paste0(equilibria$series, "\nequilibrium\ny = ", equilibria$y)
  # Named on the side of the other equilibria, where the curve is on the far side of the axis.
  equilibria$side <- ifelse(equilibria$y < mean(equilibria$y), 0, 1)
  arrows <- flow_arrows(curve, sort(equilibria$y))
  ggplot(curve, aes(y, slope)) +
    geom_hline(yintercept = 0, colour = INK, linewidth = 0.4) +
    geom_line(colour = PALETTE[["blue"]], linewidth = 1.2) +
    geom_segment(
      aes(x = from, xend = to, y = 0, yend = 0, colour = direction), arrows, linewidth = 0.9,
      arrow = arrow(length = unit(7, "pt"), type = "closed")
    ) +
    geom_point(aes(fill = series), equilibria, shape = 21, size = 3.6, stroke = 1.2, colour = INK) +
    label_beside(
      equilibria, aes(y + (0.5 - side) * 0.06 * diff(range(curve$y)), slope, label = label, hjust = side),
      vjust = 1.25, lineheight = 0.95, colour = INK
    ) +
    scale_colour_manual(
      values = c(grows = PALETTE[["sea_green"]], falls = PALETTE[["vermillion"]]),
      breaks = c("grows", "falls"), labels = c("y grows: positive slope", "y falls: negative slope")
    ) +
    scale_fill_manual(values = c(stable = INK, unstable = "white"), guide = "none") +
    labs(x = "y", y = "dy/dt", subtitle = origin_words(history))
}

# Arrows between equilibria, pointing where the sign of the slope says.
flow_arrows <- function(curve, equilibria, in_each = 2) {
  edges <- c(min(curve$y), equilibria, max(curve$y))
  arrows <- lapply(seq_along(edges)[-1], function(i) {
    ends <- seq(edges[i - 1], edges[i], length.out = 2 * in_each + 2)
    middle <- matrix(ends[-c(1, length(ends))], nrow = 2)
    slope <- stats::approx(curve$y, curve$slope, colMeans(middle))$y
    data.frame(
      from = ifelse(slope > 0, middle[1, ], middle[2, ]), to = ifelse(slope > 0, middle[2, ], middle[1, ]),
      direction = ifelse(slope > 0, "grows", "falls")
    )
  })
  do.call(rbind, arrows)
}
