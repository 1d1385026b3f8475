# thind Figs. 4 and 8: loss and accuracy by epoch on training and test images, as Keras draws them.

#' @param history columns experiment, variant, seed, epoch, train_loss, test_loss, train_accuracy, test_accuracy
#'   (percent).
#' @param published rows of data/published/claims.csv; those of this experiment's test accuracy become dotted lines.
figure_training_history <- function(history, published = NULL) {
  series <- c("train_loss", "test_loss", "train_accuracy", "test_accuracy")
  require_columns(history, c("experiment", "variant", "seed", "epoch", series), "training_history", "history")
  variants <- unique(history$variant)
  long <- do.call(rbind, lapply(series, function(name) {
    curve <- over_seeds(history, c("variant", "epoch"), name)
    data.frame(curve, images = sub("_.*", "", name), measure = sub(".*_", "", name))
  }))
  long$panel <- panel_names(long$measure)
  long$images <- factor(long$images, c("train", "test"), c("training images", "test images"))
  long$column <- factor(variant_names(long$variant, history), variant_names(variants, history))
  reference <- published_accuracy(published, history, variants)
  ribbon <- if (seeds_of(history) > 1) {
    geom_ribbon(aes(ymin = low, ymax = high, fill = images), colour = NA, alpha = 0.25)
  }
  facets <- if (length(variants) > 1) {
    facet_grid(panel ~ column, scales = "free_y", switch = "y")
  } else {
    facet_wrap(~panel, ncol = 1, scales = "free_y", strip.position = "left")
  }
  # A run of very few epochs needs its points seen.
  points <- if (max(long$epoch) <= 10) geom_point(size = 1.4)
  # Loss from zero, accuracy from a guess between two classes to perfection, whatever the run reached.
  whole <- data.frame(panel = panel_names(c("loss", "accuracy", "accuracy")), epoch = min(long$epoch), mean = c(0, 50, 100))
  plot <- ggplot(long, aes(epoch, mean, colour = images)) +
    ribbon +
    geom_blank(data = whole, mapping = aes(epoch, mean), inherit.aes = FALSE) +
    geom_line(linewidth = if (max(long$epoch) > 40) 0.6 else 0.8) +
    points +
    facets +
    scale_colour_manual(values = unname(PALETTE[c("blue", "vermillion")]), aesthetics = c("colour", "fill")) +
    scale_x_continuous(breaks = whole_breaks(4)) +
    labs(x = "Epoch", y = NULL, subtitle = origin_words(history)) +
    theme(
      strip.placement = "outside", strip.text.y.left = element_text(angle = 90, hjust = 0.5, face = "plain"),
      panel.border = element_rect(fill = NA, colour = GRID)
    )
  if (!is.null(reference)) {
    reference$epoch <- max(long$epoch)
    plot <- plot +
      geom_hline(aes(yintercept = value), reference, linetype = "dotted", colour = INK, linewidth = 0.6) +
      # Below a line that few curves reach; over a lower one, which they cross, at the top, where there is room.
      label_beside(
        reference, aes(epoch, ifelse(value > 75, value, 100), label = label, vjust = ifelse(value > 75, 1.6, 1)),
        hjust = 1, size = 0.8, colour = INK
      )
  }
  structure(plot, size = FIGURE_HEIGHT * 1.15)
}

panel_names <- function(measure) {
  factor(measure, c("loss", "accuracy"), c("Loss", "Accuracy (%)"))
}

# The published test accuracies of an experiment's variants, where there are any.
published_accuracy <- function(published, history, variants) {
  if (is.null(published)) return(NULL)
  columns <- c("id", "metric", "variant", "epoch", "published", "relation")
  require_columns(published, columns, "training_history", "published")
  rows <- published$id == history$experiment[1] & published$metric == "test_accuracy" & is.na(published$epoch)
  rows <- published[rows & published$variant %in% variants, ]
  if (!nrow(rows)) return(NULL)
  sign <- ifelse(rows$relation == "=", "", paste0(rows$relation, " "))
  data.frame(
    column = factor(variant_names(rows$variant, history), variant_names(variants, history)),
    panel = panel_names("accuracy"),
    value = rows$published, label = paste0("published: ", sign, format_short(rows$published), " %")
  )
}
