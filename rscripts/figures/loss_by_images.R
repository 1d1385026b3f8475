# thind Fig. 10: the loss of each batch, and its running mean, against the number of images trained.

#' @param losses columns seed, loss, Trained_Images, Halflife_Loss (the document's names).
#' @param metrics columns seed, quantity, value: the row test_error (percent) is written into the figure.
#' @param published rows of data/published/claims.csv, for the published test error beside it.
figure_loss_by_images <- function(losses, metrics, published = NULL) {
  require_columns(losses, c("seed", "loss", "Trained_Images", "Halflife_Loss"), "loss_by_images", "losses")
  require_columns(metrics, c("experiment", "seed", "quantity", "value"), "loss_by_images", "metrics")
  error <- metrics$value[metrics$quantity == "test_error"]
  corner <- data.frame(
    x = max(losses$Trained_Images), y = Inf,
    label = paste(c(test_error_words(error), published_error(published, metrics$experiment[1])), collapse = "\n")
  )
  # The mean over seeds of the smoothed loss; each seed's batches behind it.
  smooth <- over_seeds(losses, "Trained_Images", "Halflife_Loss")
  # Losses span orders of magnitude; batches without any loss to speak of lie on the lower edge.
  floor <- max(min(smooth$mean) / 10, 1e-4)
  losses$shown <- pmax(losses$loss, floor)
  pale <- if (seeds_of(losses) > 1) 0.12 else 0.3
  ggplot(losses, aes(Trained_Images, shown)) +
    geom_line(aes(group = seed), colour = PALETTE[["vermillion"]], alpha = pale, linewidth = 0.25) +
    geom_line(aes(y = mean), smooth, colour = PALETTE[["vermillion"]], linewidth = 0.8) +
    label_over(corner, aes(x, y, label = label), hjust = 1, vjust = 1.3, lineheight = 1.1, size = 0.95, colour = INK) +
    scale_x_continuous(labels = scales::label_comma(), expand = expansion(c(0.01, 0.05)), n.breaks = 4) +
    # Room above the curve for the label.
    scale_y_log10(
      labels = scales::label_number(drop0trailing = TRUE), breaks = 10^(-4:2), expand = expansion(c(0.02, 0.2))
    ) +
    coord_cartesian(ylim = c(floor, NA)) +
    labs(x = "Images trained", y = "Cross-entropy of a batch", subtitle = origin_words(losses))
}

test_error_words <- function(error) {
  if (!length(error)) return(NULL)
  spread <- if (length(error) > 1) paste0(" (", paste(format_percent(range(error)), collapse = " to "), ")")
  paste0("test error at the end: ", format_percent(mean(error)), " %", spread)
}

published_error <- function(published, experiment) {
  if (is.null(published)) return(NULL)
  columns <- c("id", "metric", "relation", "published")
  row <- require_columns(published, columns, "loss_by_images", "published")
  row <- row[row$id == experiment & row$metric == "test_error", ]
  if (!nrow(row)) return(NULL)
  paste0("published: ", row$relation[1], " ", row$published[1], " %")
}

format_percent <- function(x) formatC(x, digits = 2, format = "f")
