# The slides' path of a state through a network that was never trained.

#' @param history columns t, x, y: the two components of the state.
figure_state_path <- function(history) {
  require_columns(history, c("t", "x", "y"), "state_path", "history")
  marked <- history[vapply(c(0, 1, 2, 5, 10, 20, 50), function(t) which.min(abs(history$t - t)), integer(1)), ]
  marked$label <- paste("t =", round(marked$t))
  marked <- marked[!duplicated(marked$label), ]
  # Beside the path, on the side where it does not go.
  marked$side <- ifelse(c(diff(history$x), 0)[match(marked$t, history$t)] < 0, 1, -0.25)
  marked$level <- ifelse(marked$side == 1, -0.6, 0.9)
  components <- rbind(
    data.frame(history["t"], value = history$x, component = "first"),
    data.frame(history["t"], value = history$y, component = "second")
  )
  path <- ggplot(history, aes(x, y)) +
    geom_hline(yintercept = 0, colour = GRID) +
    geom_vline(xintercept = 0, colour = GRID) +
    geom_path(colour = PALETTE[["blue"]], linewidth = 0.9) +
    geom_point(data = marked, colour = PALETTE[["blue"]], size = 1.8) +
    label_beside(marked, aes(x, y, label = label, hjust = side, vjust = level), colour = INK) +
    scale_x_continuous(expand = expansion(c(0.06, 0.15))) +
    labs(x = "First component", y = "Second component")
  components <- components[components$t > 0, ]
  begins <- components[components$t == min(components$t), ]
  times <- ggplot(components, aes(t, value, colour = component)) +
    geom_hline(yintercept = 0, colour = INK, linewidth = 0.3) +
    geom_line(linewidth = 0.8) +
    label_beside(
      begins, aes(t, value, label = paste(component, "component"), colour = component), hjust = 0,
      nudge_x = 0.1, vjust = ifelse(begins$value > min(begins$value), -0.2, 3.6)
    ) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "sea_green")]), guide = "none") +
    # Most happens early, and then nothing for long.
    scale_x_log10(labels = scales::label_number(drop0trailing = TRUE), breaks = c(0.3, 1, 3, 10, 30, 100, 300)) +
    scale_y_continuous(expand = expansion(c(0.3, 0.2))) +
    labs(x = "t", y = "Value")
  plot <- patchwork::wrap_plots(path, times, ncol = 1, heights = c(1.6, 1)) +
    patchwork::plot_annotation(subtitle = origin_words(history))
  structure(plot, size = FIGURE_HEIGHT * 1.5)
}
