# FFJORD: the exact trace of a free-form flow beside Hutchinson's estimate of it.

#' @param history columns seed, series, iteration, test_log_likelihood.
#' @param curves columns seed, series, probe, x, density: the estimate's error of the log-density.
#' @param timing columns series, dimension, seconds: one trace, by dimension.
figure_trace <- function(history, curves, timing) {
  require_columns(history, c("seed", "series", "iteration", "test_log_likelihood"), "trace", "history")
  require_columns(curves, c("seed", "series", "probe", "x", "density"), "trace", "curves")
  require_columns(timing, c("series", "dimension", "seconds"), "trace", "timing")
  colours <- c(exact = PALETTE[["blue"]], Hutchinson = PALETTE[["vermillion"]])
  learning <- over_seeds(history, c("series", "iteration"), "test_log_likelihood")
  likelihood <- ggplot(learning, aes(iteration, mean, colour = series)) +
    geom_ribbon(aes(ymin = low, ymax = high, fill = series), colour = NA, alpha = 0.18, show.legend = FALSE) +
    geom_line(linewidth = 0.9) +
    scale_colour_manual(
      values = colours, aesthetics = c("colour", "fill"), labels = c("exact trace", "Hutchinson's estimate")
    ) +
    labs(x = "Iteration", y = "Test log-likelihood (nats)", title = "Trained with")
  error <- curves[curves$series == "error" & curves$seed == min(curves$seed), ]
  error <- do.call(rbind, lapply(split(error, error$probe), coarser_bins, 4))
  probes <- c("random signs" = PALETTE[["sea_green"]], normal = PALETTE[["purple"]])
  spread <- ggplot(error, aes(x, density, colour = probe)) +
    geom_vline(xintercept = 0, colour = INK, linewidth = 0.3) +
    geom_line(linewidth = 0.8) +
    scale_colour_manual(values = probes, breaks = names(probes)) +
    labs(x = "Error of log p(x) (nats)", y = "Density", title = "Hutchinson's error, by its probe")
  cost <- timing[grepl("^one trace, ", timing$series), ]
  cost$series <- sub("^one trace, ", "", cost$series)
  cost <- over_seeds(transform(cost, seconds = 1000 * seconds), c("series", "dimension"), "seconds")
  ends <- cost[cost$dimension == max(cost$dimension), ]
  ends$exact <- ends$series == "exact"
  dimension <- ggplot(cost, aes(dimension, mean, colour = series)) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 1.6) +
    label_beside(
      ends, aes(dimension, mean, label = series, colour = series, hjust = 1 + 0.2 * exact, vjust = exact - 1), size = 0.8
    ) +
    scale_colour_manual(values = colours, guide = "none") +
    scale_x_log10(breaks = unique(cost$dimension)) +
    scale_y_log10() +
    labs(x = "Dimension", y = "Milliseconds a trace", title = "Cost")
  small <- theme(plot.title = element_text(size = rel(0.95), face = "bold"))
  below <- patchwork::wrap_plots(spread + small, dimension + small, widths = c(1.15, 1))
  plot <- patchwork::wrap_plots(likelihood + small, below, ncol = 1) +
    patchwork::plot_annotation(subtitle = origin_words(history))
  structure(plot, size = 13 / 2.54)
}

# A histogram of fewer bins: each mean of `many` of its neighbours.
coarser_bins <- function(histogram, many) {
  histogram <- histogram[order(histogram$x), ]
  groups <- list(probe = histogram$probe, bin = (seq_len(nrow(histogram)) - 1) %/% many)
  stats::aggregate(histogram[c("x", "density")], groups, mean)
}
