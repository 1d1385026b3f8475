# The order that was measured of each method against the one it declares.

#' @param history columns panel, series (a method), problem, order, slope, slope_low, slope_high.
figure_orders <- function(history) {
  columns <- c("panel", "series", "problem", "order", "slope", "slope_low", "slope_high")
  require_columns(history, columns, "orders", "history")
  orders <- measured_orders(history)
  orders$series <- factor(orders$series, rev(unique(orders$series)))
  orders$declared <- factor(paste("order", orders$order), paste("order", sort(unique(orders$order))))
  band <- data.frame(low = -ORDER_TOLERANCE, high = ORDER_TOLERANCE)
  beside <- position_dodge(width = 0.6)
  plot <- ggplot(orders, aes(slope - order, series, colour = kind, group = problem)) +
    geom_rect(
      aes(xmin = low, xmax = high, ymin = -Inf, ymax = Inf), band, inherit.aes = FALSE, fill = GRID, alpha = 0.6
    ) +
    geom_vline(xintercept = 0, colour = INK, linewidth = 0.4) +
    geom_linerange(aes(xmin = slope_low - order, xmax = slope_high - order), linewidth = 0.8, position = beside) +
    geom_point(size = 1.7, position = beside) +
    expand_limits(x = c(-1.2, 1.2) * ORDER_TOLERANCE) +
    facet_grid(rows = vars(declared), scales = "free_y", space = "free_y") +
    scale_colour_manual(values = KIND_COLOURS) +
    labs(x = "Measured order minus declared order", y = NULL, subtitle = origin_words(history)) +
    theme(
      strip.text.y = element_text(angle = 0), panel.spacing = unit(4, "pt"),
      axis.text.y = element_text(size = rel(0.9))
    )
  structure(plot, size = 1 + 0.135 * nlevels(orders$series) + 0.06 * nlevels(orders$declared))
}

KIND_COLOURS <- c(explicit = PALETTE[["blue"]], implicit = PALETTE[["vermillion"]], reversible = PALETTE[["sea_green"]])
