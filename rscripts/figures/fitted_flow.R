# What flows make of a number, and the paths by which they do: one dimension, and two.

FLOW_PANELS <- c(
  quadratic = "x\u00b2,\none dimension", cubic = "x\u00b3,\none dimension",
  quadratic_in_two_dimensions = "x\u00b2,\ntwo dimensions"
)

#' @param history columns variant, seed, series ("fit" or "path"), x (input), y (asked), fitted, t, z (first component).
figure_fitted_flow <- function(history) {
  require_columns(history, c("variant", "seed", "series", "x", "y", "fitted", "t", "z"), "fitted_flow", "history")
  history <- history[history$seed == min(history$seed) & history$variant %in% names(FLOW_PANELS), ]
  history$panel <- factor(FLOW_PANELS[history$variant], FLOW_PANELS)
  fit <- history[history$series == "fit", ]
  asked <- label_places(fit)
  made <- ggplot(fit, aes(x)) +
    geom_line(aes(y = y), colour = PALE, linewidth = 1.6) +
    geom_line(aes(y = fitted), colour = PALETTE[["blue"]], linewidth = 0.8) +
    label_beside(asked, aes(x, y, label = label, colour = label), hjust = 0.5) +
    scale_colour_manual(values = c("asked" = "#6b7782", "the flow's" = PALETTE[["blue"]]), guide = "none") +
    facet_wrap(~panel) +
    scale_x_continuous(breaks = c(-1, 0, 1)) +
    labs(x = "Input x", y = "Output", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  path <- history[history$series == "path", ]
  paths <- ggplot(path, aes(t, z, group = x, colour = x)) +
    geom_line(linewidth = 0.6) +
    facet_wrap(~panel) +
    scale_colour_gradient2(low = PALETTE[["vermillion"]], mid = PALE, high = PALETTE[["blue"]], guide = "none") +
    scale_x_continuous(breaks = c(0, 0.5, 1), labels = c("0", "\u00bd", "1")) +
    labs(x = "Time t", y = "First component of z(t)") +
    theme(strip.text = element_blank(), panel.border = element_rect(fill = NA, colour = GRID))
  structure(patchwork::wrap_plots(made, paths, ncol = 1), size = FIGURE_HEIGHT * 1.35)
}

# What is what, named once, in the first panel.
label_places <- function(fit) {
  first <- fit[fit$panel == levels(fit$panel)[1], ]
  data.frame(
    panel = first$panel[1:2], x = 0, y = c(min(first$y) - 0.09, max(first$fitted[first$x > -0.3 & first$x < 0.3]) + 0.13),
    label = c("asked", "the flow's")
  )
}
