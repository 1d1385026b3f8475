# thind Fig. 11: solutions of one equation from several initial values, and the asymptote they share.

#' @param history columns series, x, y, exact, highlighted (TRUE for the solution the document derives).
figure_solution_curves <- function(history) {
  require_columns(history, c("series", "x", "y", "exact", "highlighted"), "solution_curves", "history")
  history$highlighted <- as.logical(history$highlighted)
  others <- history[!history$highlighted, ]
  chosen <- history[history$highlighted, ]
  # Thinned: dots on a line, not a second line.
  dots <- chosen[seq(1, nrow(chosen), length.out = min(nrow(chosen), 15)), ]
  starts <- history$y[history$x == min(history$x)]
  end <- max(history$x)
  # y' = 3/2 - y/2 is zero here.
  asymptote <- 3
  ggplot(others, aes(x, y, group = series)) +
    geom_hline(yintercept = asymptote, linetype = "dashed", colour = INK, linewidth = 0.4) +
    geom_line(colour = PALE, linewidth = 0.6) +
    geom_line(data = chosen, colour = PALETTE[["sea_green"]], linewidth = 1.3) +
    geom_point(aes(y = exact), dots, colour = "white", fill = PALETTE[["sea_green"]], shape = 21, size = 1.9) +
    label_beside(
      data.frame(x = end, y = asymptote), aes(x, y, label = paste("asymptote y =", y)),
      hjust = 1, vjust = -0.7, colour = INK
    ) +
    label_beside(
      data.frame(x = 0.5 * end, y = min(chosen$y)), aes(x, y, label = "y = 3 \u2212 exp(\u2212x/2)"),
      hjust = 0, colour = PALETTE[["sea_green"]]
    ) +
    scale_x_continuous(expand = expansion(c(0, 0.02)), breaks = whole_breaks()) +
    # The ticks are the initial values and the asymptote.
    scale_y_continuous(breaks = sort(unique(c(starts, asymptote)))) +
    labs(x = "x", y = "y from each y(0)", subtitle = origin_words(history))
}
