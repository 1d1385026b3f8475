# Operations of a trace and of a determinant, by the size of the matrix.

#' @param history columns series ("trace" or "determinant"), size (N), operations.
figure_operations <- function(history) {
  require_columns(history, c("series", "size", "operations"), "operations", "history")
  history <- history[history$seed == min(history$seed), ]
  last <- history[history$size == max(history$size), ]
  last$power <- ifelse(last$series == "trace", 1, 3)
  # Lines of the powers of N through the last counts.
  lines <- do.call(rbind, lapply(seq_len(nrow(last)), function(k) {
    size <- range(history$size)
    data.frame(series = last$series[k], size, operations = last$operations[k] * (size / last$size[k])^last$power[k])
  }))
  ggplot(history, aes(size, operations, colour = series)) +
    geom_line(data = lines, linetype = "22", colour = PALE, aes(group = series)) +
    geom_line(linewidth = 0.8) +
    geom_point(size = 1.8) +
    label_beside(
      transform(last, label = paste0(series, ", N", ifelse(power == 3, "\u00b3", ""))),
      aes(size, operations, label = label, colour = series), hjust = 1, vjust = -0.9, nudge_x = -0.06
    ) +
    scale_colour_manual(values = unname(PALETTE[c("vermillion", "blue")]), guide = "none") +
    scale_x_log10(breaks = unique(history$size)) +
    scale_y_log10(labels = scales::label_log(), expand = expansion(c(0.05, 0.12))) +
    labs(x = "Dimensions N", y = "Operations", subtitle = origin_words(history))
}
