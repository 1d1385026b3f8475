# Functions that a network is given, and what it answers for new ones.

#' @param history columns variant, seed, series ("function", "read" or "answer"), function, t, x, truth, answer.
figure_functional_input <- function(history) {
  require_columns(history, c("variant", "seed", "series", "function", "t", "x", "truth", "answer"), "functional_input", "history")
  history <- history[history$seed == min(history$seed), ]
  given <- history[history$variant == "function", ]
  given$named <- factor(given[["function"]])
  read <- given[given$series == "read", ]
  functions <- ggplot(given[given$series == "function", ], aes(t, x, colour = named)) +
    geom_line(linewidth = 0.7) +
    geom_point(data = read, size = 1.4) +
    scale_colour_manual(values = unname(PALETTE[c("blue", "vermillion", "sea_green")]), guide = "none") +
    labs(x = "Time t", y = "x(t)", title = "What it is given", subtitle = origin_words(history))
  answers <- history[history$series == "answer", ]
  panels <- c(`function` = "the function", its_mean = "its mean only")
  answers$panel <- factor(panels[answers$variant], panels)
  spread <- range(answers$truth)
  answered <- ggplot(answers, aes(truth, answer)) +
    geom_abline(slope = 1, colour = PALE, linewidth = 0.6) +
    geom_point(aes(colour = panel), size = 0.9, alpha = 0.6) +
    facet_wrap(~panel) +
    scale_colour_manual(values = unname(PALETTE[c("blue", "orange")]), guide = "none") +
    coord_cartesian(xlim = spread, ylim = spread) +
    labs(x = "\u222b x(t)\u00b2 dt", y = "The network's answer", title = "What it answers, given \u2026") +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  plot <- patchwork::wrap_plots(functions, answered, ncol = 1, heights = c(1, 1.3)) &
    theme(plot.title = element_text(size = rel(0.95), face = "bold"))
  structure(plot, size = FIGURE_HEIGHT * 1.45)
}
