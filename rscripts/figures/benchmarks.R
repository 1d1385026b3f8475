# nodekit's own measurements: times beside its peers', and how its costs grow.

BENCHMARK_COLOURS <- c(nodekit = PALETTE[["vermillion"]], peer = PALETTE[["blue"]], floor = PALE)
GROWTH_COLOURS <- c(
  nodekit = PALETTE[["vermillion"]], torchdiffeq = PALETTE[["blue"]], diffrax = PALETTE[["sea_green"]],
  torchode = PALETTE[["purple"]]
)

#' @param samples columns work, series, round, seconds: a row a timed round.
figure_benchmarks_times <- function(samples) {
  require_columns(samples, c("work", "series", "seconds"), "benchmarks_times", "samples")
  samples$work <- factor(samples$work, unique(samples$work))
  parts <- split(samples, list(samples$series, samples$work), drop = TRUE)
  times <- do.call(rbind, lapply(parts, function(part) {
    ends <- stats::quantile(part$seconds, c(0.25, 0.5, 0.75), names = FALSE)
    data.frame(work = part$work[1], series = part$series[1], low = ends[1], median = ends[2], high = ends[3])
  }))
  times$kind <- ifelse(grepl("^nodekit", times$series), "nodekit", ifelse(grepl("alone", times$series), "floor", "peer"))
  times$row <- factor(paste(times$series, times$work), rev(paste(times$series, times$work)[order(times$work, times$median)]))
  times$label <- paste0(times$series, " \u00b7 ", seconds_label(times$median))
  panels <- lapply(split(times, times$work), times_panel)
  panels[[length(panels)]] <- panels[[length(panels)]] + labs(x = "Median time (logarithmic; line: middle half of the rounds)")
  # As much height for a row in one panel as in another.
  plot <- patchwork::wrap_plots(panels, ncol = 1, heights = as.vector(table(times$work)))
  structure(plot, size = 0.6 + 0.5 * length(panels) + 0.2 * nrow(times))
}

# The computations of one kind of work, the fastest on top.
times_panel <- function(times) {
  ggplot(times, aes(median, row, colour = kind)) +
    geom_linerange(aes(xmin = low, xmax = high), linewidth = 1.1) +
    geom_point(size = 2) +
    # A decade at least: a difference of a tenth should look like one.
    expand_limits(x = min(times$median) * c(0.9, 10)) +
    label_beside(times, aes(1.15 * high, row, label = label, colour = kind), hjust = 0, size = 0.8) +
    facet_wrap(~work) +
    scale_x_log10(labels = seconds_label, expand = expansion(c(0.05, 0.6))) +
    scale_y_discrete(labels = NULL, breaks = NULL) +
    scale_colour_manual(values = BENCHMARK_COLOURS, guide = "none") +
    labs(x = NULL, y = NULL)
}

#' @param growth columns by, series, gradient, quantity, x, value, slope: a row a measured point.
figure_benchmarks_growth <- function(growth) {
  require_columns(growth, c("by", "series", "gradient", "quantity", "x", "value", "slope"), "benchmarks_growth", "growth")
  memory <- growth$quantity == "peak memory"
  growth$value <- ifelse(memory, growth$value / 1e6, growth$value)
  panel <- paste(ifelse(memory, "MB", "seconds"), "by", growth$by)
  growth$panel <- factor(panel, unique(panel))
  # Of many steps there are several gradients of one library.
  growth$line <- ifelse(growth$by == "many steps", sub(", ", ",\n", growth$gradient), growth$series)
  ends <- do.call(rbind, lapply(split(growth, list(growth$panel, growth$line), drop = TRUE), function(line) {
    line[which.max(line$x), ]
  }))
  ends$label <- paste0(ends$line, " \u00b7 ", sub("-", "\u2212", formatC(round(ends$slope, 2) + 0, digits = 2, format = "f")))
  low <- tapply(growth$value, growth$panel, min)[as.character(ends$panel)]
  high <- tapply(growth$value, growth$panel, max)[as.character(ends$panel)]
  apart <- lapply(split(seq_len(nrow(ends)), ends$panel), function(rows) {
    data.frame(row = rows, at = spread(log(ends$value[rows]), 0.14 * log(high / low)[rows][1]))
  })
  apart <- do.call(rbind, apart)
  ends$at[apart$row] <- exp(apart$at)
  # Room for the labels right of the lines.
  start <- tapply(growth$x, growth$panel, min)[as.character(ends$panel)]
  ends$beside <- ends$x * (ends$x / start)^0.04
  ends$room <- ends$x * (ends$x / start)^1.05
  plot <- ggplot(growth, aes(x, value, group = line, colour = series)) +
    geom_line(linewidth = 0.7) +
    geom_point(size = 1.4) +
    label_beside(ends, aes(beside, at, label = label, colour = series), hjust = 0, lineheight = 0.9, size = 0.7) +
    geom_blank(aes(x = room), ends) +
    facet_wrap(~panel, ncol = 2, scales = "free") +
    scale_x_log10(
      breaks = 10^(0:4), labels = function(x) format(x, big.mark = "\u2009", scientific = FALSE, trim = TRUE),
      guide = guide_axis(check.overlap = TRUE)
    ) +
    scale_y_log10(expand = expansion(c(0.1, 0.15))) +
    scale_colour_manual(values = GROWTH_COLOURS, guide = "none") +
    labs(x = NULL, y = NULL)
  structure(plot, size = FIGURE_HEIGHT * 0.42 * ceiling(nlevels(growth$panel) / 2))
}

# The same values, moved so that each lies at least a gap above the one below it, about where they were.
spread <- function(values, gap) {
  order <- order(values)
  sorted <- values[order]
  steps <- gap * (seq_along(sorted) - 1)
  values[order] <- stats::isoreg(sorted - steps)$yf + steps
  values
}

seconds_label <- function(seconds) {
  ifelse(seconds < 1, paste0(signif(1000 * seconds, 2), " ms"), paste0(signif(seconds, 2), " s"))
}
