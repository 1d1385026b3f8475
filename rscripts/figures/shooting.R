# The slides' two searches for a start by the adjoint: paths on the way to the target, and the loss as it falls.

#' A path's end brought to a target state (slides, adjoint method, example).
#' @param history columns series ("loss", "path", "target"), iteration, loss, t, h1, h2.
figure_target_state <- function(history) {
  require_columns(history, c("series", "iteration", "loss", "t", "h1", "h2"), "target_state", "history")
  shooting_plot(history, "First component", "Second component", above = TRUE)
}

#' The same for a bullet, whose velocity is free and whose place is not (slides, example 2).
#' @param history columns series ("loss", "path", "target"), iteration, loss, t, h1 (distance), h2 (height).
figure_bullet <- function(history) {
  require_columns(history, c("series", "iteration", "loss", "t", "h1", "h2"), "bullet", "history")
  shooting_plot(history, "Distance", "Height", above = FALSE)
}

# The target is named above it or below, where fewer paths are.
shooting_plot <- function(history, x, y, above) {
  paths <- history[history$series == "path", ]
  target <- history[history$series == "target", ]
  losses <- history[history$series == "loss", ]
  shown <- sort(unique(paths$iteration))
  paths$iteration <- factor(paths$iteration, shown)
  # From pale to dark as the search goes on.
  shades <- scales::viridis_pal(option = "mako", begin = 0.2, end = 0.8, direction = -1)(length(shown))
  colours <- stats::setNames(shades, shown)
  in_each <- split(paths, paths$iteration)
  begins <- do.call(rbind, lapply(in_each, function(path) path[which.min(path$t), ]))
  ends <- do.call(rbind, lapply(in_each, function(path) path[which.max(path$t), ]))
  marked <- losses[losses$iteration %in% shown, ]
  upper <- ggplot(paths, aes(h1, h2, colour = iteration)) +
    geom_path(linewidth = 0.7) +
    geom_point(data = ends, size = 1.8) +
    geom_point(data = begins, shape = 21, fill = "white", size = 1.8, stroke = 0.8) +
    geom_point(data = target, shape = 4, size = 3.5, stroke = 1.3, colour = PALETTE[["vermillion"]]) +
    label_over(
      target, aes(h1, h2, label = "target"), colour = PALETTE[["vermillion"]], vjust = if (above) -0.9 else 1.9,
      size = 0.95
    ) +
    scale_colour_manual(values = colours, guide = guide_legend(title = "iteration", nrow = 1)) +
    # Room for the target's name, which may be the highest or the lowest of all.
    scale_y_continuous(expand = expansion(c(0.1, 0.12))) +
    labs(x = x, y = y) +
    theme(legend.title = element_text(size = rel(0.9)))
  lower <- ggplot(losses, aes(iteration, loss)) +
    geom_line(colour = PALE, linewidth = 0.8) +
    geom_point(aes(colour = factor(iteration, shown)), marked, size = 2.2) +
    scale_colour_manual(values = colours, guide = "none") +
    # Within less than a power of ten its ticks are numbers.
    scale_y_log10(labels = if (max(losses$loss) < 10 * min(losses$loss)) scales::label_number() else scales::label_log()) +
    scale_x_continuous(breaks = whole_breaks()) +
    labs(x = "Iteration", y = "Squared distance")
  plot <- patchwork::wrap_plots(upper, lower, ncol = 1, heights = c(2, 1)) +
    patchwork::plot_annotation(subtitle = origin_words(history))
  structure(plot, size = FIGURE_HEIGHT * 1.55)
}
