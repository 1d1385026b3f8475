# How the error of every fixed-step method falls with its step (slides; ulala 2.5.1).

# One colour an order.
ORDER_COLOURS <- c(
  "1" = PALETTE[["blue"]], "2" = PALETTE[["vermillion"]], "3" = PALETTE[["sea_green"]], "4" = PALETTE[["purple"]],
  "5" = PALETTE[["orange"]], "6" = PALETTE[["sky"]], "8" = PALETTE[["black"]]
)

#' @param history columns panel ("order"), series (a method), kind, problem, step, error, order.
figure_convergence <- function(history) {
  require_columns(history, c("panel", "series", "problem", "step", "error", "order"), "convergence", "history")
  errors <- history[history$panel == "order", ]
  errors$kind <- method_kinds(errors)
  errors$order <- factor(errors$order)
  errors <- do.call(rbind, lapply(split(errors, paste(errors$series, errors$problem)), of_the_longest))
  labels <- order_labels(errors)
  plot <- ggplot(errors, aes(step, error, colour = order, group = interaction(series, problem))) +
    geom_line(linewidth = 0.5) +
    geom_point(size = 0.7) +
    label_beside(
      labels, aes(
        step, error, label = label, colour = factor(order), hjust = ifelse(steepest, 0.5, 1.06), vjust = 0.5 + steepest
      ),
      size = 0.8
    ) +
    facet_wrap(~kind, ncol = 1) +
    scale_colour_manual(values = ORDER_COLOURS, guide = "none") +
    scale_x_log10(breaks = c(0.5, 0.6, 0.8, 1), expand = expansion(c(0.36, 0.03))) +
    scale_y_log10(breaks = c(0.03, 0.1, 0.3, 1), expand = expansion(c(0.14, 0.05))) +
    labs(x = "Step, as a part of the method's longest", y = "Error, as a part of that step's", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * (0.35 + 0.45 * nlevels(errors$kind)))
}

# Every method has steps of its own, and an error of its own there: as parts of the longest step's they can be compared.
of_the_longest <- function(errors) {
  longest <- errors[which.max(errors$step), ]
  transform(errors, step = step / longest$step, error = error / longest$error)
}

# The order and the number of methods that have it, left of where their lines end; of the steepest, which may end among
# the other labels, below.
order_labels <- function(errors) {
  groups <- split(errors, list(errors$kind, errors$order), drop = TRUE)
  labels <- do.call(rbind, lapply(groups, function(group) {
    finest <- group[group$step == min(group$step), ]
    methods <- length(unique(group$series))
    data.frame(
      kind = group$kind[1], order = as.numeric(as.character(group$order[1])), step = min(group$step),
      error = exp(mean(log(finest$error))),
      label = paste0("order ", group$order[1], " \u00b7 ", methods, if (methods > 1) " methods" else " method")
    )
  }))
  labels$steepest <- labels$order == stats::ave(labels$order, as.character(labels$kind), FUN = max)
  labels
}
