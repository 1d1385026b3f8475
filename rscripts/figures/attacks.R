# Adversarial images: what an ODE-Net and a residual network still get right, by the size of the change.

ATTACKS <- c("random signs" = "Random signs (no attack)", FGSM = "One step along the gradient (FGSM)", PGD = "Many steps (PGD)")

#' @param history columns variant (a network), seed, series (an attack), size (of the change of a pixel), accuracy
#'   (percent).
figure_attacks <- function(history) {
  require_columns(history, c("variant", "seed", "series", "size", "accuracy"), "attacks", "history")
  rows <- over_seeds(history, c("variant", "series", "size"), "accuracy")
  rows$network <- variant_names(rows$variant, history)
  rows$attack <- factor(ATTACKS[rows$series], ATTACKS)
  colours <- unname(PALETTE[c("blue", "vermillion")])
  plot <- ggplot(rows, aes(size, mean, colour = network)) +
    (if (seeds_of(history) > 1) geom_ribbon(aes(ymin = low, ymax = high, fill = network), colour = NA, alpha = 0.18)) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 1.6) +
    facet_wrap(~attack, ncol = 1) +
    scale_colour_manual(values = colours, aesthetics = c("colour", "fill")) +
    scale_y_continuous(limits = c(0, 100)) +
    labs(
      x = "Largest change of a pixel (black is 0, white is 1)", y = "Test images right (%)",
      subtitle = origin_words(history)
    ) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.6)
}
