# The energy of the bodies joined by springs over a long time, by methods that keep it and methods that do not.

#' @param history columns panel, series (a method), t (end of a window), error (largest in it, relative), evaluations (per
#'   unit of time).
figure_energy <- function(history) {
  require_columns(history, c("panel", "series", "t", "error", "evaluations"), "energy", "history")
  errors <- history[history$panel == "energy", ]
  methods <- unique(errors$series)
  errors$series <- factor(errors$series, methods)
  colours <- stats::setNames(rep_len(unname(PALETTE[c("blue", "sea_green", "vermillion", "orange")]), length(methods)), methods)
  last <- errors[errors$t == max(errors$t), ]
  last$label <- paste0(last$series, ", ", round(last$evaluations), " evaluations")
  # Those of lines that end close to each other stand a little apart.
  last$level <- ifelse(rank(last$error) %% 2 == 0, 0.15, 0.85)
  ggplot(errors, aes(t, error, colour = series)) +
    geom_line(linewidth = 0.8) +
    label_beside(
      last, aes(t, error, label = label, colour = series, vjust = level), hjust = 0, nudge_x = 0.03, size = 0.8
    ) +
    scale_colour_manual(values = colours, guide = "none") +
    scale_x_log10(breaks = c(10, 30, 100, 300), expand = expansion(c(0.03, 0.6))) +
    scale_y_log10(labels = scales::label_log(), expand = expansion(c(0.05, 0.08))) +
    labs(x = "Time", y = "Error of the energy", subtitle = origin_words(errors))
}
