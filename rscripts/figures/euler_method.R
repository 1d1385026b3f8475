# thind Fig. 13: Euler's steps beside the exact solution.

#' @param history columns series ("Euler", "exact"), x, y.
figure_euler_method <- function(history) {
  require_columns(history, c("series", "x", "y"), "euler_method", "history")
  exact <- history[history$series == "exact", ]
  steps <- history[history$series == "Euler", ]
  n <- nrow(steps)
  segments <- data.frame(
    x = steps$x[-n], y = steps$y[-n], xend = steps$x[-1], yend = steps$y[-1], step = factor(seq_len(n - 1))
  )
  end <- rbind(exact[nrow(exact), ], steps[n, ])
  end$label <- paste0(c("exact: ", "Euler: "), format_short(end$y))
  inner <- steps[-n, ]
  colours <- rep_len(unname(PALETTE[c("blue", "vermillion", "sea_green", "orange", "purple", "sky")]), n - 1)
  ggplot(exact, aes(x, y)) +
    geom_line(colour = "black", linewidth = 0.8) +
    geom_segment(aes(xend = xend, yend = yend, colour = step), segments, linewidth = 1.4, lineend = "round") +
    geom_point(data = steps, shape = 21, fill = "white", colour = INK, size = 2) +
    label_beside(inner, aes(x, y, label = format_short(y)), vjust = 1.9, hjust = 0.2, colour = INK) +
    label_beside(end, aes(x, y, label = label), hjust = 1, nudge_x = -0.12, colour = INK) +
    scale_colour_manual(values = colours, guide = "none") +
    scale_y_continuous(expand = expansion(c(0.07, 0.05))) +
    labs(x = "x", y = "y", subtitle = origin_words(history))
}

#' A number with as many digits as a label has room for.
format_short <- function(x) trimws(formatC(x, digits = 3, format = "fg"))
