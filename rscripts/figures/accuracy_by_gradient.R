# homework, task 6: accuracy on training and test images by epoch, a panel for each gradient and solver.

#' @param history columns variant, seed, epoch, train_accuracy, test_accuracy (percent).
figure_accuracy_by_gradient <- function(history) {
  require_columns(
    history, c("variant", "seed", "epoch", "train_accuracy", "test_accuracy"), "accuracy_by_gradient", "history"
  )
  images <- c(train_accuracy = "training images", test_accuracy = "test images")
  curves <- do.call(rbind, lapply(names(images), function(column) {
    data.frame(over_seeds(history, c("variant", "epoch"), column), images = images[[column]])
  }))
  curves$images <- factor(curves$images, images)
  curves$panel <- factor(variant_names(curves$variant, history), variant_names(unique(history$variant), history))
  last <- curves[curves$epoch == max(curves$epoch) & curves$images == images[["test_accuracy"]], ]
  last$label <- paste0(formatC(last$mean, digits = 1, format = "f"), " %")
  few <- max(curves$epoch) <= 10
  plot <- ggplot(curves, aes(epoch, mean, colour = images)) +
    (if (seeds_of(history) > 1) geom_ribbon(aes(ymin = low, ymax = high, fill = images), colour = NA, alpha = 0.25)) +
    geom_line(linewidth = if (few) 0.8 else 0.6) +
    (if (few) geom_point(size = 1.6)) +
    label_beside(
      last, aes(epoch, mean, label = label, colour = images, vjust = ifelse(mean > 50, 2, -0.9)), hjust = 1,
      show.legend = FALSE
    ) +
    facet_wrap(~panel, ncol = 2) +
    scale_colour_manual(values = unname(PALETTE[c("blue", "vermillion")]), aesthetics = c("colour", "fill")) +
    scale_x_continuous(breaks = whole_breaks()) +
    scale_y_continuous(limits = c(if (few) 0 else NA, 100), expand = expansion(c(0.03, 0.06))) +
    labs(x = "Epoch", y = "Accuracy (%)", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 1.2)
}
