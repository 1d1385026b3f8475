# A continuous normalizing flow from noise to data: densities and samples at time slices (slides; Chen et al., Fig. 5).

#' @param history of the run, for where its data come from.
#' @param curves columns series, t, x, y, density, of one run.
#' @param slices times to show, from noise (1) to data (0); the nearest there are.
figure_flow <- function(history, curves, slices = c(1, 0.8, 0.5, 0.2, 0)) {
  require_columns(curves, c("series", "t", "x", "y", "density"), "flow", "curves")
  known <- unique(curves$t[curves$series == "CNF"])
  slices <- vapply(slices, function(t) known[which.min(abs(known - t))], numeric(1))
  rows <- c(CNF = "CNF", samples = "its samples", "planar NF" = "planar NF")
  shown <- curves[curves$series %in% names(rows) & curves$t %in% slices, ]
  shown$row <- factor(rows[shown$series], rows)
  shown$column <- factor(paste("t =", shown$t), paste("t =", unique(slices)))
  densities <- shown[shown$series != "samples", ]
  edge <- max(densities$x)
  samples <- shown[shown$series == "samples" & pmax(abs(shown$x), abs(shown$y)) <= edge, ]
  plot <- ggplot(densities, aes(x, y)) +
    density_layer(densities, c("row", "column")) +
    geom_point(data = samples, size = 0.25, alpha = 0.6, colour = PALETTE[["blue"]]) +
    facet_grid(row ~ column, switch = "y") +
    coord_fixed(xlim = c(-edge, edge), ylim = c(-edge, edge), expand = FALSE) +
    labs(x = NULL, y = NULL, subtitle = origin_words(history)) +
    theme_density()
  structure(plot, size = 7.9 / 2.54)
}

# A density as an image, each panel from nothing to its own peak.
density_layer <- function(data, panels) {
  peak <- stats::ave(data$density, interaction(data[panels], drop = TRUE), FUN = max)
  # The square root brings out what is thin.
  data$shade <- sqrt(data$density / peak)
  data$x <- evenly(data$x)
  data$y <- evenly(data$y)
  list(geom_raster(aes(fill = shade), data, interpolate = TRUE), scale_fill_viridis_c(option = "mako", guide = "none"))
}

# The places of a grid, rounded in a table, made even again.
evenly <- function(values) {
  places <- sort(unique(values))
  seq(places[1], places[length(places)], length.out = length(places))[match(values, places)]
}

theme_density <- function() {
  theme(
    axis.text = element_blank(), axis.ticks = element_blank(), panel.grid.major = element_blank(),
    panel.border = element_rect(fill = NA, colour = GRID), panel.spacing = unit(4, "pt"),
    strip.text = element_text(size = rel(0.8)), strip.placement = "outside",
    strip.text.y.left = element_text(angle = 90, hjust = 0.5, face = "plain")
  )
}

#' One frame of the flow: density and samples on their way from noise to data.
#' @param curves as above. @param frame which of the times, from 1: noise first.
frame_flow <- function(curves, frame) {
  t <- sort(unique(curves$t[curves$series == "CNF"]), decreasing = TRUE)[frame]
  density <- curves[curves$series == "CNF" & curves$t %in% t, ]
  samples <- curves[curves$series == "samples" & curves$t %in% t, ]
  edge <- max(density$x)
  ggplot(density, aes(x, y)) +
    density_layer(density, "series") +
    geom_point(data = samples, size = 0.5, alpha = 0.7, colour = PALETTE[["orange"]]) +
    coord_fixed(xlim = c(-edge, edge), ylim = c(-edge, edge), expand = FALSE) +
    labs(x = NULL, y = NULL, title = sprintf("Noise (t = 1) to data (t = 0): t = %.1f", t)) +
    theme_density()
}

#' How many frames there are.
frames_flow <- function(curves) length(unique(curves$t[curves$series == "CNF"]))
