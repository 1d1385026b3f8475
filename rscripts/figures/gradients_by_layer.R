# The gradient of every layer's weights before training, in networks with and without shortcuts.

LAYER_PANELS <- c(
  sigmoid = "Sigmoids", sigmoid_with_shortcuts = "Sigmoids", plain_56 = "Batch normalisation",
  residual_56 = "Batch normalisation"
)
# Where each name stands beside its line: to the right of the line that rises, or above or below.
LAYER_LABELS <- data.frame(
  variant = names(LAYER_PANELS), kind = c("plain", "with shortcuts"), across = c(-0.35, 0.5, -0.3, 0.6),
  up = c(0.5, -1.2, 0.5, 2.4)
)

#' @param history columns variant, seed, layer (1 is the first), norm.
figure_gradients_by_layer <- function(history) {
  require_columns(history, c("variant", "seed", "layer", "norm"), "gradients_by_layer", "history")
  # The output layer's gradient grows with what the layer is given.
  hidden <- history[history$layer < ave(history$layer, history$variant, FUN = max), ]
  spread <- over_seeds(hidden, c("variant", "layer"), "norm")
  depths <- tapply(history$layer, LAYER_PANELS[history$variant], max)
  spread$panel <- paste0(LAYER_PANELS[spread$variant], ",\n", depths[LAYER_PANELS[spread$variant]], " layers")
  spread$panel <- factor(spread$panel, unique(spread$panel[order(match(spread$variant, names(LAYER_PANELS)))]))
  spread <- merge(spread, LAYER_LABELS)
  names <- do.call(rbind, lapply(split(spread, spread$variant), function(part) {
    part[which.min(abs(part$layer - stats::quantile(part$layer, 0.4))), ]
  }))
  plot <- ggplot(spread, aes(layer, mean, colour = kind, fill = kind)) +
    geom_ribbon(aes(ymin = low, ymax = high), alpha = 0.2, colour = NA) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 0.9) +
    label_beside(names, aes(layer, mean, label = kind, colour = kind, hjust = across, vjust = up)) +
    facet_wrap(~panel, scales = "free") +
    scale_y_log10(labels = scales::label_log(), expand = expansion(c(0.05, 0.15))) +
    scale_x_continuous(breaks = whole_breaks(5)) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue")]), guide = "none", aesthetics = c("colour", "fill")) +
    labs(x = "Layer, from the input", y = "Norm of the weights' gradient", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT)
}
