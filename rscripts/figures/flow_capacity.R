# Chen et al., Fig. 4: what depth gives a planar normalizing flow, and width a continuous one.

#' @param metrics columns seed, quantity, value: the rows "divergence, <kind> <size>".
#' @param curves columns seed, series, size, x, y, density: the target's and the flows' densities.
figure_flow_capacity <- function(metrics, curves) {
  require_columns(metrics, c("seed", "quantity", "value"), "flow_capacity", "metrics")
  require_columns(curves, c("seed", "series", "size", "x", "y", "density"), "flow_capacity", "curves")
  curves <- curves[curves$seed == min(curves$seed), ]
  sizes <- sort(unique(curves$size))
  kinds <- c(NF = "Planar flow,\nK layers", CNF = "Continuous flow,\nM units")
  letters <- c(NF = "K", CNF = "M")
  flows <- curves[curves$series %in% names(kinds), ]
  flows$row <- factor(kinds[flows$series], kinds)
  flows$column <- factor(paste("K, M =", flows$size), paste("K, M =", sizes))
  target <- transform(curves[curves$series == "target", ], column = "Target")
  edge <- max(flows$x)
  plane <- coord_fixed(xlim = c(-edge, edge), ylim = c(-edge, edge), expand = FALSE)
  densities <- ggplot(flows, aes(x, y)) +
    density_layer(flows, c("row", "column")) +
    facet_grid(row ~ column, switch = "y") +
    plane + labs(x = NULL, y = NULL) + theme_density()
  aim <- ggplot(target, aes(x, y)) +
    density_layer(target, "column") + facet_wrap(~column) + plane + labs(x = NULL, y = NULL) + theme_density()
  loss <- metrics[grepl("^divergence, ", metrics$quantity), ]
  loss$kind <- sub("^divergence, (\\w+) \\d+$", "\\1", loss$quantity)
  loss$size <- as.numeric(sub("^.* (\\d+)$", "\\1", loss$quantity))
  loss <- over_seeds(loss, c("kind", "size"), "value")
  loss$label <- formatC(loss$mean, digits = 2, format = "f")
  loss$above <- stats::ave(loss$mean, loss$size, FUN = max) == loss$mean
  ends <- loss[loss$size == min(sizes), ]
  lines <- ggplot(loss, aes(size, mean, colour = kind)) +
    geom_linerange(aes(ymin = low, ymax = high), linewidth = 1.6, alpha = 0.35) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 2) +
    label_beside(loss, aes(size, mean, label = label, colour = kind, vjust = ifelse(above, -0.9, 1.9))) +
    scale_colour_manual(
      values = c(NF = PALETTE[["vermillion"]], CNF = PALETTE[["blue"]]), breaks = names(kinds),
      labels = c("planar flow of depth K", "continuous flow of width M")
    ) +
    scale_x_log10(breaks = sizes, expand = expansion(c(0.1, 0.1))) +
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0.12, 0.15))) +
    labs(x = "K, M", y = "KL divergence (nats)")
  # An empty column beside the target keeps its panel as large as the others.
  top <- patchwork::wrap_plots(aim, densities, widths = c(1, 3.3))
  plot <- patchwork::wrap_plots(top, lines, ncol = 1, heights = c(1.25, 1)) +
    patchwork::plot_annotation(subtitle = origin_words(metrics))
  structure(plot, size = 13.2 / 2.54)
}
