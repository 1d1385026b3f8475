# thind Fig. 5: the mean squared error of the hand-coded network by epoch.

#' @param history columns variant, epoch, mse.
figure_error_by_epoch <- function(history) {
  require_columns(history, c("variant", "epoch", "mse"), "error_by_epoch", "history")
  variants <- unique(history$variant)
  history$curve <- factor(variant_names(history$variant), variant_names(variants))
  colours <- rep_len(unname(PALETTE[c("vermillion", "blue", "sea_green", "purple")]), length(variants))
  # Each curve is named where it has fallen halfway, to the right of itself.
  labels <- do.call(rbind, lapply(split(history, history$curve), function(curve) {
    half <- curve[which(curve$mse <= mean(range(curve$mse)))[1], ]
    half$label <- paste0(half$curve, ", ends at ", format(curve$mse[which.max(curve$epoch)]))
    half
  }))
  labels$mse <- max(history$mse) * (0.5 + 0.12 * (rev(seq_len(nrow(labels))) - 1))
  ggplot(history, aes(epoch, mse, colour = curve)) +
    geom_line(linewidth = 1.1) +
    label_beside(labels, aes(epoch, mse, label = label, colour = curve), hjust = 0, nudge_x = 1.2) +
    scale_colour_manual(values = colours, guide = "none") +
    scale_x_continuous(breaks = whole_breaks(), expand = expansion(c(0.02, 0.02))) +
    scale_y_continuous(limits = c(0, NA), expand = expansion(c(0.02, 0.05))) +
    labs(x = "Epoch", y = "MSE of the rounded output", subtitle = origin_words(history))
}
