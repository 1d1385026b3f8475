# slides and ulala, Table 1 of Chen et al.: what each gradient costs by the number of evaluations.

#' @param history columns seed, series (a gradient), nfe_forward, peak_memory (bytes).
#' @param timing columns seed, series, nfe_forward, seconds.
figure_gradient_costs <- function(history, timing) {
  require_columns(history, c("seed", "series", "nfe_forward", "peak_memory"), "gradient_costs", "history")
  require_columns(timing, c("seed", "series", "nfe_forward", "seconds"), "gradient_costs", "timing")
  panels <- c("Peak memory (MB)", "Seconds, forward and backward")
  by <- c("series", "nfe_forward")
  costs <- rbind(
    data.frame(over_seeds(transform(history, peak_memory = peak_memory / 1e6), by, "peak_memory"), panel = panels[1]),
    data.frame(over_seeds(timing, by, "seconds"), panel = panels[2])
  )
  costs$panel <- factor(costs$panel, panels)
  costs$series <- factor(costs$series, unique(history$series))
  labels <- do.call(rbind, lapply(split(costs, list(costs$series, costs$panel), drop = TRUE), function(line) {
    exponent <- stats::coef(stats::lm(log(mean) ~ log(nfe_forward), line))[[2]]
    end <- line[which.max(line$nfe_forward), ]
    text <- paste0(gradient_name(end$series), " \u00b7 ", formatC(round(exponent, 2) + 0, digits = 2, format = "f"))
    data.frame(end[c("series", "panel", "nfe_forward", "mean")], label = text)
  }))
  labels <- do.call(rbind, lapply(split(labels, labels$panel), function(panel) {
    labels_apart(panel, gap = 0.065 * diff(log(range(costs$mean[costs$panel == panel$panel[1]]))))
  }))
  colours <- unname(PALETTE[c("vermillion", "orange", "purple", "sky", "blue", "sea_green")])
  plot <- ggplot(costs, aes(nfe_forward, mean, colour = series)) +
    geom_line(linewidth = 0.7) +
    geom_point(size = 1.5) +
    label_beside(labels, aes(1.15 * max(nfe_forward), at, label = label, colour = series), hjust = 0, size = 0.78) +
    facet_wrap(~panel, ncol = 1, scales = "free_y") +
    scale_colour_manual(values = colours, guide = "none") +
    scale_x_log10(breaks = 10^(0:6), minor_breaks = NULL, expand = expansion(c(0.04, 0.72))) +
    scale_y_log10() +
    labs(x = "Evaluations forward", y = NULL, subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.7)
}

gradient_name <- function(series) {
  sub("checkpoint_sqrt", "checkpoint, \u221aN states", as.character(series), fixed = TRUE)
}

# Where the labels of a panel stand: beside the ends of their lines, in their order, at least a gap (of logarithms) apart.
labels_apart <- function(labels, gap) {
  labels <- labels[order(labels$mean), ]
  at <- log(labels$mean)
  for (i in seq_along(at)[-1]) at[i] <- max(at[i], at[i - 1] + gap)
  labels$at <- exp(at)
  labels
}
