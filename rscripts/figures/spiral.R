# The slides' spiral: the network's trajectory before, during and after training, and continued far beyond the data.

#' @param history columns iteration, trajectory_error, of one run.
#' @param curves columns series, stage, iteration, t, x, y, u, v, of the same run.
figure_spiral <- function(history, curves) {
  require_columns(history, c("iteration", "trajectory_error"), "spiral", "history")
  require_columns(curves, c("series", "stage", "iteration", "t", "x", "y", "u", "v"), "spiral", "curves")
  staged <- curves[curves$series == "network" & !is.na(curves$stage), ]
  after <- vapply(c("early", "final"), function(stage) staged$iteration[staged$stage == stage][1], numeric(1))
  last <- max(curves$t[curves$series == "extrapolation"])
  error <- utils::tail(stats::na.omit(history$trajectory_error), 1)
  verdict <- sprintf("error %.2g: %s", error, if (error < LEARNT) "learnt" else "not learnt")
  panels <- c(
    initial = "Initial trajectory", early = paste0("After ", after[["early"]], " iterations"),
    final = paste0("After ", format(after[["final"]], big.mark = "\u202f"), " iterations\n", verdict),
    beyond = paste0("Continued to t = ", last)
  )
  truth <- curves[curves$series == "truth", ]
  # What starts where the data end is drawn at its own scale.
  lines <- rbind(
    do.call(rbind, lapply(names(panels)[1:3], function(stage) data.frame(truth[SPIRAL_PATH], stage, curve = "truth"))),
    data.frame(staged[c(SPIRAL_PATH, "stage")], curve = "network"),
    data.frame(curves[curves$series == "true continuation", SPIRAL_PATH], stage = "beyond", curve = "truth"),
    data.frame(curves[curves$series == "extrapolation", SPIRAL_PATH], stage = "beyond", curve = "network")
  )
  lines$panel <- factor(panels[lines$stage], panels)
  lines$curve <- factor(lines$curve, c("truth", "network"))
  edges <- stats::aggregate(
    edge ~ panel, transform(lines[lines$curve == "truth", ], edge = 1.15 * pmax(abs(x), abs(y))), max
  )
  edge <- edges$edge[match(lines$panel, edges$panel)]
  outside <- pmax(abs(lines$x), abs(lines$y)) > edge
  lines[outside, c("x", "y")] <- NA
  corners <- rbind(transform(edges, x = -edge, y = -edge), transform(edges, x = edge, y = edge))
  arrows <- field_of(curves, "learned field", max(abs(truth$x)))
  arrows$panel <- factor(panels[["final"]], panels)
  plot <- ggplot(lines, aes(x, y)) +
    geom_blank(data = corners) +
    field_layer(arrows) +
    geom_path(aes(colour = curve, linewidth = curve), na.rm = TRUE) +
    facet_wrap(~panel, scales = "free") +
    scale_colour_manual(
      values = c(truth = PALE, network = PALETTE[["vermillion"]]), labels = c("the slides' system", "the network")
    ) +
    scale_linewidth_manual(values = c(truth = 1.3, network = 0.5), guide = "none") +
    labs(x = "first coordinate", y = "second coordinate", subtitle = origin_words(history)) +
    theme(aspect.ratio = 1, panel.border = element_rect(fill = NA, colour = GRID))
  structure(plot, size = 13 / 2.54)
}

# Below this mean error along the path a network has learnt the spiral; the same bound as the claims'.
LEARNT <- 0.1
SPIRAL_PATH <- c("t", "x", "y")

# The arrows of a field inside a square, each as long as its neighbours' distance allows.
field_of <- function(curves, series, edge) {
  arrows <- curves[curves$series == series & pmax(abs(curves$x), abs(curves$y)) <= 1.05 * edge, c("x", "y", "u", "v")]
  reach <- 0.38 * min(diff(sort(unique(arrows$x))))
  transform(arrows, xend = x + reach * u, yend = y + reach * v, x = x - reach * u, y = y - reach * v)
}

field_layer <- function(arrows) {
  geom_segment(
    aes(x, y, xend = xend, yend = yend), arrows, inherit.aes = FALSE, colour = PALETTE[["sky"]], alpha = 0.55,
    linewidth = 0.3, arrow = arrow(length = unit(2, "pt"))
  )
}

#' One frame of the spiral's learning: the trajectory of the network at one iteration.
#' @param curves as above. @param frame which of the iterations, from 1.
frame_spiral <- function(curves, frame) {
  truth <- curves[curves$series == "truth", ]
  iteration <- sort(unique(curves$iteration[curves$series == "network"]))[frame]
  network <- curves[curves$series == "network" & curves$iteration %in% iteration, ]
  edge <- 1.15 * max(abs(truth$x), abs(truth$y))
  network$x[pmax(abs(network$x), abs(network$y)) > edge] <- NA
  ggplot(truth, aes(x, y)) +
    geom_path(colour = PALE, linewidth = 1.3) +
    geom_path(data = network, colour = PALETTE[["vermillion"]], linewidth = 0.6, na.rm = TRUE) +
    coord_fixed(xlim = c(-edge, edge), ylim = c(-edge, edge)) +
    labs(x = NULL, y = NULL, title = paste("Iteration", iteration))
}

#' How many frames there are.
frames_spiral <- function(curves) length(unique(curves$iteration[curves$series == "network"]))
