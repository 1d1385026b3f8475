# Chen et al., Fig. 4: what depth gives a planar normalizing flow, and width a continuous one.

#' @param metrics columns seed, quantity, value: the rows "divergence, <kind> <size>".
#' @param curves columns seed, series, size, x, y, density: the target's and the flows' densities.
figure_flow_capacity <- function(metrics, curves) {
  require_columns(metrics, c("seed", "quantity", "value"), "flow_capacity", "metrics")
  require_columns(curves, c("seed", "series", "size", "x", "y", "density"), "flow_capacity", "curves")
  curves <- curves[curves$seed == min(curves$seed), ]
  sizes <- sort(unique(curves$size))
  kinds <- c(NF = "K", CNF = "M")
  # A row for each kind, the target in front of both.
  shown <- do.call(rbind, lapply(names(kinds), function(kind) {
    part <- curves[curves$series %in% c("target", kind), ]
    part$panel <- ifelse(part$series == "target", paste0("Target", strrep(" ", match(kind, names(kinds)) - 1)),
                         paste0(kind, ", ", kinds[[kind]], " = ", part$size))
    part
  }))
  shown$panel <- factor(shown$panel, unique(shown$panel))
  densities <- ggplot(shown, aes(x, y)) +
    density_layer(shown, "panel") +
    facet_wrap(~panel, ncol = 1 + length(sizes)) +
    scale_x_continuous(expand = c(0, 0)) +
    scale_y_continuous(expand = c(0, 0)) +
    labs(x = NULL, y = NULL) +
    theme_density() +
    theme(aspect.ratio = 1)
  loss <- metrics[grepl("^divergence, ", metrics$quantity), ]
  loss$kind <- sub("^divergence, (\\w+) \\d+$", "\\1", loss$quantity)
  loss$size <- as.numeric(sub("^.* (\\d+)$", "\\1", loss$quantity))
  loss <- over_seeds(loss, c("kind", "size"), "value")
  loss$label <- formatC(loss$mean, digits = 2, format = "f")
  loss$above <- stats::ave(loss$mean, loss$size, FUN = max) == loss$mean
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
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0.12, 0.25))) +
    labs(x = "K, M", y = "KL divergence (nats)")
  plot <- patchwork::wrap_plots(densities, lines, ncol = 1, heights = c(1.35, 1)) +
    patchwork::plot_annotation(subtitle = origin_words(metrics))
  structure(plot, size = 13 / 2.54)
}
