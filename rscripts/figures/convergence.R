# How the error of every fixed-step method falls with its step (slides; ulala 2.5.1).

# One colour an order.
ORDER_COLOURS <- c(
  "1" = PALETTE[["blue"]], "2" = PALETTE[["vermillion"]], "3" = PALETTE[["sea_green"]], "4" = PALETTE[["purple"]],
  "5" = PALETTE[["orange"]], "6" = PALETTE[["sky"]], "8" = PALETTE[["black"]]
)

#' @param history columns panel ("order"), series (a method), kind, problem, step, error, order.
figure_convergence <- function(history) {
  require_columns(history, c("panel", "series", "problem", "step", "error", "order"), "convergence", "history")
  errors <- history[history$panel == "order", ]
  errors$kind <- method_kinds(errors)
  errors$order <- factor(errors$order)
  labels <- order_labels(errors)
  plot <- ggplot(errors, aes(step, error, colour = order, group = interaction(series, problem))) +
    geom_line(linewidth = 0.5) +
    geom_point(size = 0.7) +
    geom_segment(
      aes(step, end, xend = beside, yend = error), labels, inherit.aes = FALSE, linetype = "dotted", colour = PALE
    ) +
    label_beside(labels, aes(beside, error, label = label, colour = order), hjust = -0.03, size = 0.8) +
    facet_wrap(~kind, ncol = 1) +
    scale_colour_manual(values = ORDER_COLOURS, guide = "none") +
    scale_x_log10(expand = expansion(c(0.03, 0.5))) +
    scale_y_log10(labels = scales::label_log(), breaks = 10^seq(-14, 0, 2)) +
    labs(x = "Step", y = "Error at the end", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * (0.35 + 0.45 * nlevels(errors$kind)))
}

# The order and the number of methods that have it, in a column right of all lines, as high as theirs end.
order_labels <- function(errors) {
  groups <- split(errors, list(errors$kind, errors$order), drop = TRUE)
  labels <- do.call(rbind, lapply(groups, function(group) {
    coarse <- group[group$step == max(group$step), ]
    methods <- length(unique(group$series))
    end <- exp(mean(log(coarse$error)))
    data.frame(
      kind = group$kind[1], order = group$order[1], step = max(group$step), beside = 1.3 * max(errors$step), end = end,
      error = end,
      label = paste0("order ", group$order[1], " \u00b7 ", methods, if (methods > 1) " methods" else " method")
    )
  }))
  do.call(rbind, lapply(split(labels, labels$kind, drop = TRUE), spread_over_decades))
}

# Labels that would lie on one another moved apart, the upper one up.
spread_over_decades <- function(labels, decades = 1.3) {
  labels <- labels[order(labels$error), ]
  for (i in seq_len(nrow(labels))[-1]) labels$error[i] <- max(labels$error[i], labels$error[i - 1] * 10^decades)
  labels
}
