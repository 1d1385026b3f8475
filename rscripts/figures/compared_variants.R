# What the variants of an experiment come to, quantity by quantity, beside the published values.

# Quantities by their names in our tables: the panel's title, and how a value is written.
COMPARED <- list(
  test_error = list(title = "Test error (%)", scale = 1),
  parameters = list(title = "Parameters (millions)", scale = 1e-6),
  nfe_forward = list(title = "NFE forward", scale = 1),
  nfe_backward = list(title = "NFE backward", scale = 1),
  peak_memory = list(title = "Peak memory (MB)", scale = 1e-6),
  seconds_per_epoch = list(title = "Seconds an epoch", scale = 1)
)

#' Chen et al., Table 1: networks by error, parameters, memory and time.
#' @param metrics columns experiment, variant, seed, quantity, value; @param timing columns variant, seed, seconds.
#' @param published rows of data/published/claims.csv.
figure_network_comparison <- function(metrics, timing, published) {
  # Errors after a part of the training would look like the networks' own.
  error <- if (!length(reduced_parts(metrics))) "test_error"
  compared_variants(metrics, timing, published, c(error, "parameters", "peak_memory", "seconds_per_epoch"))
}

#' homework, task 6: gradients and solvers by evaluations, memory and time. Tables as above.
figure_gradient_comparison <- function(metrics, timing, published) {
  compared_variants(metrics, timing, published, c("nfe_forward", "nfe_backward", "peak_memory", "seconds_per_epoch"))
}

compared_variants <- function(metrics, timing, published, quantities) {
  figure <- "compared_variants"
  require_columns(metrics, c("experiment", "variant", "seed", "quantity", "value"), figure, "metrics")
  require_columns(timing, c("variant", "seed", "seconds"), figure, "timing")
  require_columns(published, c("id", "variant", "metric", "published"), figure, "published")
  variants <- unique(metrics$variant)
  seconds <- stats::aggregate(seconds ~ variant + seed, timing, mean)
  values <- rbind(
    metrics[c("variant", "seed", "quantity", "value")],
    data.frame(seconds[c("variant", "seed")], quantity = "seconds_per_epoch", value = seconds$seconds)
  )
  ours <- over_seeds(values[values$quantity %in% quantities, ], c("variant", "quantity"), "value")
  theirs <- published[published$id == metrics$experiment[1] & published$metric %in% quantities, ]
  theirs <- theirs[theirs$variant %in% variants, ]
  rows <- rbind(
    data.frame(ours, source = rep("this study", nrow(ours))),
    data.frame(
      variant = theirs$variant, quantity = theirs$metric, mean = theirs$published, low = theirs$published,
      high = theirs$published, source = rep("published", nrow(theirs))
    )
  )
  scale <- vapply(COMPARED[rows$quantity], function(known) known$scale, numeric(1))
  rows[c("mean", "low", "high")] <- rows[c("mean", "low", "high")] * scale
  titles <- vapply(COMPARED[quantities], function(known) known$title, character(1))
  rows$panel <- factor(titles[rows$quantity], titles)
  rows$variant <- factor(variant_names(rows$variant, metrics), rev(variant_names(variants, metrics)))
  rows$source <- factor(rows$source, c("this study", "published"))
  rows$label <- trimws(formatC(signif(rows$mean, 3), format = "fg", digits = 3))
  plot <- ggplot(rows, aes(mean, variant, colour = source)) +
    geom_linerange(aes(xmin = low, xmax = high), linewidth = 1.6, alpha = 0.35) +
    geom_point(aes(fill = source), shape = 21, size = 2.1, stroke = 0.9) +
    label_beside(
      rows, aes(mean, variant, label = label, colour = source, vjust = ifelse(source == "published", 1.9, -0.8)),
      size = 0.75, show.legend = FALSE
    ) +
    facet_wrap(~panel, ncol = 2, scales = "free_x") +
    scale_colour_manual(values = c("this study" = PALETTE[["blue"]], published = INK)) +
    scale_fill_manual(values = c("this study" = PALETTE[["blue"]], published = "white")) +
    scale_x_continuous(limits = c(0, NA), expand = expansion(c(0.16, 0.14))) +
    scale_y_discrete(expand = expansion(add = 0.7)) +
    labs(x = NULL, y = NULL, subtitle = origin_words(metrics)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID), panel.grid.major.y = element_line(colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.5)
}
