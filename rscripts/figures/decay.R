# The slides' radioactive decay: Euler's method with few and many steps, and the slides' midpoint on the same grid.

#' @param history columns panel, series ("analytic" or a method and its number of steps), x, y, exact.
figure_decay <- function(history) {
  require_columns(history, c("panel", "series", "x", "y", "exact"), "decay", "history")
  history$panel <- factor(history$panel, unique(history$panel))
  solved <- history[history$series != "analytic", ]
  history$colour <- decay_colours(history$series, solved)
  solved$colour <- decay_colours(solved$series, solved)
  ggplot(history, aes(x, y, colour = I(colour), group = series)) +
    geom_line(aes(linewidth = I(ifelse(series == "analytic", 1, 0.6)))) +
    geom_point(data = solved, size = 1.3) +
    label_beside(
      decay_key(history), aes(x, y, label = label, vjust = line, colour = I(colour)), hjust = 1, size = 0.95
    ) +
    facet_wrap(~panel, ncol = 1) +
    scale_x_continuous(expand = expansion(c(0.02, 0.02))) +
    labs(x = "Time", y = "Share that remains", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
}

# Black for the truth; each method its colour, Euler's the same in both panels.
decay_colours <- function(series, solved) {
  names <- unique(solved$series)
  euler <- startsWith(names, "Euler")
  colours <- stats::setNames(character(length(names)), names)
  # The coarsest first: it is the one furthest off.
  colours[euler] <- rep_len(unname(PALETTE[c("vermillion", "purple", "vermillion")]), sum(euler))
  colours[!euler] <- rep_len(unname(PALETTE[c("blue", "sea_green")]), sum(!euler))
  unname(ifelse(series %in% names, colours[series], "black"))
}

# What each curve is and how far it is off, one below the other in the empty corner.
decay_key <- function(history) {
  rows <- lapply(split(history, history$panel), function(panel) {
    lines <- lapply(unique(panel$series), function(name) {
      curve <- panel[panel$series == name, ]
      off <- max(abs(curve$y - curve$exact))
      label <- if (name == "analytic") "analytic solution" else paste0(name, ": off by up to ", format_short(off))
      data.frame(panel = panel$panel[1], x = max(history$x), y = max(history$y), label, colour = curve$colour[1])
    })
    transform(do.call(rbind, lines), line = 1.2 + 1.5 * (seq_along(lines) - 1))
  })
  do.call(rbind, rows)
}
