# reading Fig. 1 and thind Fig. 6: training and test error of plain and residual networks as they grow deeper.

#' @param history columns variant (plain_<depth> or residual_<depth>, with _falling behind it where the rate falls), seed,
#'   epoch, train_accuracy, test_accuracy (percent).
figure_depth <- function(history) {
  require_columns(history, c("variant", "seed", "epoch", "train_accuracy", "test_accuracy"), "depth", "history")
  sides <- c(train_accuracy = "Training images", test_accuracy = "Test images")
  long <- do.call(rbind, lapply(names(sides), function(column) {
    history$error <- 100 - history[[column]]
    data.frame(over_seeds(history, c("variant", "epoch"), "error"), side = sides[[column]])
  }))
  long$side <- factor(long$side, sides)
  rate <- ifelse(endsWith(long$variant, "_falling"), ", falling rate", "")
  networks <- c("Plain", "Residual", "Plain, falling rate", "Residual, falling rate")
  long$network <- paste0(ifelse(startsWith(long$variant, "plain"), "Plain", "Residual"), rate)
  long$network <- factor(long$network, intersect(networks, long$network))
  depths <- sort(unique(depth_of(long$variant)))
  long$depth <- factor(depth_of(long$variant), depths)
  # The deeper, the darker, and each at home in the palette.
  colours <- stats::setNames(rep_len(unname(PALETTE[c("sky", "sea_green", "vermillion", "black")]), length(depths)), depths)
  last <- long[long$epoch == max(long$epoch), ]
  last$at <- spread_labels(last$mean, interaction(last$side, last$network), 8)
  last$label <- paste0(last$depth, ": ", formatC(last$mean, digits = 0, format = "f"), " %")
  ribbon <- if (seeds_of(history) > 1) {
    geom_ribbon(aes(ymin = low, ymax = high, fill = depth), colour = NA, alpha = 0.18)
  }
  plot <- ggplot(long, aes(epoch, mean, colour = depth, group = variant)) +
    ribbon +
    geom_line(linewidth = 0.8) +
    geom_point(size = if (max(long$epoch) > 12) 0.6 else 1.3) +
    geom_text(
      aes(max(epoch), at, label = label), last, size = TEXT_SIZE * 0.85 / .pt, family = "sans", hjust = 0,
      nudge_x = 0.03 * max(long$epoch)
    ) +
    facet_grid(network ~ side, switch = "y") +
    scale_colour_manual(values = colours, aesthetics = c("colour", "fill"), guide = "none") +
    scale_x_continuous(breaks = whole_breaks(4)(range(long$epoch)), expand = expansion(c(0.04, 0.42))) +
    scale_y_continuous(limits = c(0, 100), expand = expansion(c(0.02, 0.03))) +
    labs(x = "Epoch", y = "Error (%), by layers", subtitle = origin_words(history)) +
    theme(strip.placement = "outside", panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = FIGURE_HEIGHT * 0.6 * nlevels(long$network))
}

depth_of <- function(variants) as.integer(gsub("[^0-9]", "", variants))

# Heights for labels that lie at least `gap` apart within each group, each as near to its line as that allows.
spread_labels <- function(values, group, gap) {
  for (part in split(seq_along(values), group)) {
    part <- part[order(values[part])]
    moved <- values[part]
    for (i in seq_along(moved)[-1]) moved[i] <- max(moved[i], moved[i - 1] + gap)
    # Pushed up only, they would leave the panel at its top.
    moved <- moved - max(0, max(moved) - 98)
    for (i in rev(seq_along(moved))[-1]) moved[i] <- min(moved[i], moved[i + 1] - gap)
    values[part] <- moved
  }
  values
}
