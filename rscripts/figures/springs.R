# The slides' three bodies joined by springs: where they start, how they are joined, and the paths they take.

#' @param history columns panel, series (a body), t, x, y.
figure_springs <- function(history) {
  require_columns(history, c("panel", "series", "t", "x", "y"), "springs", "history")
  history <- history[history$panel == "paths", ]
  bodies <- unique(history$series)
  starts <- history[history$t == min(history$t), ]
  ends <- history[history$t == max(history$t), ]
  colours <- stats::setNames(rep_len(unname(PALETTE[c("blue", "vermillion", "sea_green")]), length(bodies)), bodies)
  # Named on the side away from the others.
  starts$level <- ifelse(starts$y < mean(starts$y), 2.3, -1.3)
  plot <- ggplot(history, aes(x, y, colour = series)) +
    geom_path(aes(alpha = t), linewidth = 0.5) +
    geom_path(aes(x, y, group = spring), spring_paths(starts), inherit.aes = FALSE, colour = INK, linewidth = 0.45) +
    geom_point(data = ends, shape = 21, fill = "white", size = 3, stroke = 1) +
    geom_point(data = starts, size = 4) +
    label_over(starts, aes(x, y, label = series, vjust = level, colour = series), size = 0.95) +
    scale_colour_manual(values = colours, guide = "none") +
    scale_alpha_continuous(range = c(0.3, 0.9), guide = "none") +
    scale_y_continuous(expand = expansion(c(0.1, 0.05))) +
    coord_fixed() +
    labs(x = "x", y = "y", subtitle = origin_words(history))
  structure(plot, size = FIGURE_HEIGHT * 1.3)
}

# Zigzags between every two points, straight at both ends.
spring_paths <- function(points, windings = 9, width = 0.05) {
  pairs <- utils::combn(nrow(points), 2)
  along <- c(0, seq(0.2, 0.8, length.out = 2 * windings + 1), 1)
  across <- c(0, 0, rep_len(c(1, -1), 2 * windings - 1), 0, 0) * width
  springs <- lapply(seq_len(ncol(pairs)), function(k) {
    from <- unlist(points[pairs[1, k], c("x", "y")])
    to <- unlist(points[pairs[2, k], c("x", "y")])
    normal <- c(-1, 1) * rev(to - from) / sqrt(sum((to - from)^2))
    data.frame(
      spring = k, x = from[1] + along * (to - from)[1] + across * normal[1],
      y = from[2] + along * (to - from)[2] + across * normal[2]
    )
  })
  do.call(rbind, springs)
}
