# Chen et al., Fig. 7: the intensity of a Poisson process that a latent ODE learnt, beside the true one.

INTENSITIES <- c(truth = "true", learnt = "learnt", constant = "constant rate")

#' @param curves columns series (truth, learnt, constant or event), path (a series of events), t, intensity.
figure_intensity <- function(curves) {
  require_columns(curves, c("series", "path", "t", "intensity"), "intensity", "curves")
  curves$panel <- paste("Series", curves$path + 1)
  events <- curves[curves$series == "event", ]
  lines <- curves[curves$series != "event", ]
  lines$series <- factor(INTENSITIES[lines$series], INTENSITIES)
  middle <- max(lines$t) / 2
  sides <- data.frame(
    panel = lines$panel[1], x = middle, intensity = max(lines$intensity), label = c("read  ", "  new"), side = c(1, 0)
  )
  plot <- ggplot(lines, aes(t, intensity, colour = series)) +
    geom_vline(xintercept = middle, colour = PALE, linewidth = 0.5) +
    geom_line(aes(linetype = series, linewidth = series)) +
    geom_segment(
      aes(x = t, xend = t, y = 0, yend = -0.06 * max(lines$intensity)), events,
      inherit.aes = FALSE, colour = INK, linewidth = 0.4
    ) +
    label_beside(sides, aes(x, intensity, label = label, hjust = side), colour = "#52606d", vjust = 1, size = 0.85) +
    facet_wrap(~panel, ncol = 1) +
    scale_colour_manual(values = stats::setNames(c(PALE, PALETTE[["blue"]], PALETTE[["vermillion"]]), INTENSITIES)) +
    scale_linetype_manual(values = stats::setNames(c("solid", "solid", "22"), INTENSITIES)) +
    scale_linewidth_manual(values = stats::setNames(c(1.4, 0.8, 0.6), INTENSITIES)) +
    labs(x = "Time", y = "Events per unit of time", subtitle = origin_words(curves)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID), legend.key.width = unit(24, "pt"))
  structure(plot, size = FIGURE_HEIGHT * 1.5)
}
