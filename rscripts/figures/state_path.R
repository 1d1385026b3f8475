# The slides' path of a state through networks that were never trained, by where it ends.

#' @param history columns series (the draw), end (where it ends, in words), t, x, y: the two components of the state.
#' @param shown how many draws of each end.
figure_state_path <- function(history, shown = 3) {
  require_columns(history, c("series", "end", "t", "x", "y"), "state_path", "history")
  draws <- unique(history[c("series", "end")])
  ends <- names(sort(table(draws$end), decreasing = TRUE))
  counted <- vapply(ends, function(end) paste0("ends in ", end, ": ", sum(draws$end == end), " of ", nrow(draws)), character(1))
  draws$column <- stats::ave(seq_len(nrow(draws)), draws$end, FUN = seq_along)
  paths <- merge(history, draws[draws$column <= shown, ], sort = FALSE)
  paths <- paths[order(paths$series, paths$t), ]
  paths$row <- factor(counted[paths$end], counted)
  parts <- split(paths, paths$series)
  begins <- do.call(rbind, lapply(parts, function(path) path[1, ]))
  stops <- do.call(rbind, lapply(parts, function(path) path[nrow(path), ]))
  plot <- ggplot(paths, aes(x, y)) +
    geom_hline(yintercept = 0, colour = GRID) +
    geom_vline(xintercept = 0, colour = GRID) +
    geom_path(colour = PALETTE[["blue"]], linewidth = 0.6) +
    geom_point(data = begins, shape = 21, fill = "white", colour = INK, size = 1.8) +
    geom_point(data = stops, colour = PALETTE[["vermillion"]], size = 1.8) +
    facet_wrap(~ row + column, ncol = shown, labeller = function(labels) {
      list(ifelse(labels$column == 1, as.character(labels$row), ""))
    }) +
    labs(x = "First component", y = "Second component", subtitle = origin_words(history)) +
    # The words of a row begin over its first panel and go on over the others.
    theme(panel.border = element_rect(fill = NA, colour = GRID), strip.clip = "off")
  structure(plot, size = FIGURE_HEIGHT * 0.5 * (0.5 + length(ends)))
}
