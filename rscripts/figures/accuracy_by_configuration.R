# homework task 7: training and test accuracy by epoch of each configuration, with the document's best test accuracy.

#' @param history columns experiment, variant (the configuration), seed, epoch, train_accuracy, test_accuracy (percent).
#' @param published rows of data/published/claims.csv; those of the peak of a configuration become dotted lines.
figure_accuracy_by_configuration <- function(history, published) {
  columns <- c("experiment", "variant", "seed", "epoch", "train_accuracy", "test_accuracy")
  require_columns(history, columns, "accuracy_by_configuration", "history")
  require_columns(published, c("id", "metric", "variant", "relation", "published"), "accuracy_by_configuration", "published")
  variants <- unique(history$variant)
  panel <- function(variant) {
    factor(match(variant, variants), seq_along(variants), paste0(seq_along(variants), "  ", variant_names(variants, history)))
  }
  sides <- c(train_accuracy = "training images", test_accuracy = "test images")
  long <- do.call(rbind, lapply(names(sides), function(column) {
    data.frame(over_seeds(history, c("variant", "epoch"), column), images = sides[[column]])
  }))
  long$images <- factor(long$images, sides)
  long$panel <- panel(long$variant)
  rows <- published$id == history$experiment[1] & published$metric == "peak_test_accuracy" & published$relation == "="
  peaks <- published[rows & published$variant %in% variants, ]
  peaks$panel <- panel(peaks$variant)
  peaks$label <- paste0("published: about ", format_short(peaks$published), " %")
  ribbon <- if (seeds_of(history) > 1) {
    geom_ribbon(aes(ymin = low, ymax = high, fill = images), colour = NA, alpha = 0.2)
  }
  plot <- ggplot(long, aes(epoch, mean, colour = images)) +
    geom_hline(aes(yintercept = published), peaks, linetype = "dotted", colour = INK, linewidth = 0.6) +
    label_beside(peaks, aes(min(long$epoch), published, label = label), hjust = 0, vjust = 1.5, size = 0.8, colour = INK) +
    ribbon +
    geom_line(linewidth = 0.8) +
    geom_point(size = if (max(long$epoch) > 20) 0.4 else 1.5) +
    facet_wrap(~panel, ncol = 2) +
    scale_colour_manual(values = unname(PALETTE[c("blue", "vermillion")]), aesthetics = c("colour", "fill")) +
    scale_x_continuous(breaks = whole_breaks(4)) +
    scale_y_continuous(limits = c(0, 100)) +
    labs(x = "Epoch", y = "Accuracy (%)", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID), strip.text = element_text(size = rel(0.85)))
  structure(plot, size = FIGURE_HEIGHT * 1.4)
}
