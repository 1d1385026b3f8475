# Images of each data set, in rows and columns of five.

SAMPLE_NAMES <- c(iceberg = "Icebergs and ships", mnist = "MNIST", shapes = "Shapes", cifar10 = "CIFAR-10")

#' @param history columns variant, seed, image, row, channel1 (and channel2, channel3 of colours): a row's pixels from 0
#'   to 255, parted by spaces; data_source.
figure_sample_images <- function(history) {
  require_columns(history, c("variant", "seed", "image", "row", "channel1", "data_source"), "sample_images", "history")
  history <- history[history$seed == min(history$seed), ]
  plots <- lapply(intersect(names(SAMPLE_NAMES), history$variant), function(variant) {
    rows <- history[history$variant == variant, ]
    simulated <- any(grepl("simulated", rows$data_source, ignore.case = TRUE))
    ggplot() +
      annotation_raster(mosaic(rows), 0, 1, 0, 1, interpolate = FALSE) +
      coord_fixed(xlim = c(0, 1), ylim = c(0, 1), expand = FALSE) +
      labs(title = SAMPLE_NAMES[[variant]], subtitle = if (simulated) "simulated" else " ") +
      theme_void(base_size = TEXT_SIZE) +
      theme(
        plot.title = element_text(face = "bold", size = rel(0.95), colour = INK),
        plot.subtitle = element_text(colour = "#8a4b00", size = rel(0.85), margin = margin(b = 3)),
        plot.margin = margin(2, 6, 6, 6)
      )
  })
  structure(patchwork::wrap_plots(plots, ncol = 2), size = FIGURE_HEIGHT * 0.78 * ceiling(length(plots) / 2))
}

# The images side by side on white, `across` in a row, as a raster.
mosaic <- function(rows, across = 5, gap = 0.06) {
  images <- split(rows, rows$image)
  side <- max(rows$row)
  apart <- max(1, round(side * gap))
  count <- ceiling(length(images) / across)
  width <- across * side + (across - 1) * apart
  ground <- array(1, c(count * side + (count - 1) * apart, width, 3))
  for (k in seq_along(images)) {
    top <- ((k - 1) %/% across) * (side + apart)
    left <- ((k - 1) %% across) * (side + apart)
    ground[top + seq_len(side), left + seq_len(side), ] <- pixels(images[[k]])
  }
  grDevices::as.raster(ground)
}

# One image as an array (rows, columns, 3) between 0 and 1; grey where there are no colours.
pixels <- function(image) {
  image <- image[order(image$row), ]
  levels <- lapply(paste0("channel", 1:3), function(name) {
    cells <- image[[name]]
    if (is.null(cells) || anyNA(cells)) cells <- image$channel1
    do.call(rbind, lapply(strsplit(as.character(cells), " ", fixed = TRUE), as.numeric)) / 255
  })
  array(unlist(levels), c(dim(levels[[1]]), 3))
}
