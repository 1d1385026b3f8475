# thind Fig. 5: the mean squared error of the hand-coded network by epoch.

#' @param history columns variant, epoch, mse.
figure_error_by_epoch <- function(history) {
  require_columns(history, c("variant", "epoch", "mse"), "error_by_epoch", "history")
  variants <- unique(history$variant)
  last <- vapply(variants, function(variant) {
    curve <- history[history$variant == variant, ]
    format(curve$mse[which.max(curve$epoch)])
  }, character(1))
  history$curve <- factor(history$variant, variants, paste0(variant_names(variants, history), " (ends at ", last, ")"))
  colours <- rep_len(unname(PALETTE[c("vermillion", "blue", "sea_green", "purple")]), length(variants))
  ggplot(history, aes(epoch, mse, colour = curve)) +
    geom_line(linewidth = 1.1) +
    scale_colour_manual(values = colours) +
    scale_x_continuous(breaks = whole_breaks(), expand = expansion(c(0.02, 0.02))) +
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0.02, 0.05))) +
    labs(x = "Epoch", y = "MSE of the rounded output", subtitle = origin_words(history))
}
