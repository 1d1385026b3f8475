# A state observed at several times, and the adjoint of the loss, which jumps at each of them.

#' @param history columns series ("state", "observation" or "adjoint"), t, z1, z2, segment, a1, a2.
figure_observed_adjoint <- function(history) {
  require_columns(history, c("series", "t", "z1", "z2", "segment", "a1", "a2"), "observed_adjoint", "history")
  both <- function(rows, columns) {
    long <- lapply(1:2, function(k) {
      data.frame(t = rows$t, segment = rows$segment, value = rows[[columns[k]]], component = c("first", "second")[k])
    })
    do.call(rbind, long)
  }
  state <- both(history[history$series == "state", ], c("z1", "z2"))
  observed <- both(history[history$series == "observation", ], c("z1", "z2"))
  adjoint <- both(history[history$series == "adjoint", ], c("a1", "a2"))
  times <- unique(observed$t)
  ends <- do.call(rbind, lapply(split(adjoint, list(adjoint$segment, adjoint$component)), function(part) {
    data.frame(part[which.max(part$t), c("t", "value", "component")], before = part$value[which.min(part$t)], start = min(part$t))
  }))
  # From the end of a segment, going backwards, to the beginning of the one before it; after the last there is nothing.
  ends$from <- vapply(seq_len(nrow(ends)), function(k) {
    next_one <- ends$component == ends$component[k] & abs(ends$start - ends$t[k]) < 1e-9
    if (any(next_one)) ends$before[next_one] else 0
  }, numeric(1))
  named <- state[state$t == max(state$t), ]
  colours <- scale_colour_manual(values = unname(PALETTE[c("blue", "vermillion")]), guide = "none")
  marks <- geom_vline(xintercept = times, colour = GRID, linewidth = 0.6)
  path <- ggplot(state, aes(t, value, colour = component)) +
    marks +
    geom_line(linewidth = 0.8) +
    geom_point(data = observed, shape = 21, fill = "white", size = 2.2, stroke = 0.9) +
    label_beside(named, aes(t, value, label = component, colour = component), hjust = 0, nudge_x = 0.06) +
    colours +
    scale_x_continuous(limits = range(state$t) * c(1, 1.12), expand = expansion(c(0.03, 0.02))) +
    labs(x = NULL, y = "State z(t)", subtitle = origin_words(history))
  jumps <- ggplot(adjoint, aes(t, value, colour = component)) +
    marks +
    geom_hline(yintercept = 0, colour = INK, linewidth = 0.3) +
    geom_segment(aes(x = t, xend = t, y = from, yend = value), ends, linewidth = 0.6, linetype = "22") +
    geom_line(aes(group = paste(component, segment)), linewidth = 0.8) +
    colours +
    scale_x_continuous(limits = range(state$t) * c(1, 1.12), expand = expansion(c(0.03, 0.02))) +
    labs(x = "Time t; the adjoint is solved from right to left", y = "Adjoint a(t)")
  structure(patchwork::wrap_plots(path, jumps, ncol = 1), size = FIGURE_HEIGHT * 1.3)
}
