# ulala 3.1: test accuracy by epoch under each solver, with the document's own values.

# Whose solver a variant is another way of, where it is one: the document's values are shown beside each.
SOLVER_OF <- c(
  implicit_euler_once = "implicit_euler", crank_nicolson_once = "crank_nicolson", explicit_euler_running = "explicit_euler",
  implicit_euler_running = "implicit_euler", crank_nicolson_running = "crank_nicolson"
)

#' @param history columns experiment, variant (the solver), seed, epoch, test_accuracy (percent).
#' @param published rows of data/published/claims.csv with the document's accuracy by variant and epoch.
figure_accuracy_by_solver <- function(history, published) {
  columns <- c("experiment", "variant", "seed", "epoch", "test_accuracy")
  require_columns(history, columns, "accuracy_by_solver", "history")
  require_columns(published, c("id", "kind", "metric", "variant", "epoch", "published"), "accuracy_by_solver", "published")
  solvers <- unique(history$variant)
  solver_panel <- function(variant) factor(variant_names(variant, history), variant_names(solvers, history))
  ours <- over_seeds(history, c("variant", "epoch"), "test_accuracy")
  theirs <- published[
    published$id == history$experiment[1] & published$metric == "test_accuracy" & published$kind == "printed" &
      !is.na(published$epoch),
  ]
  shown_in <- data.frame(panel_of = solvers, variant = ifelse(solvers %in% names(SOLVER_OF), SOLVER_OF[solvers], solvers))
  theirs <- merge(theirs, shown_in)
  theirs <- theirs[order(theirs$panel_of, theirs$epoch), ]
  ours$panel <- solver_panel(ours$variant)
  theirs$panel <- solver_panel(theirs$panel_of)
  both <- rbind(
    data.frame(ours[c("epoch", "panel", "low", "high")], accuracy = ours$mean, source = rep("this study", nrow(ours))),
    data.frame(
      theirs[c("epoch", "panel")], low = rep(NA_real_, nrow(theirs)), high = rep(NA_real_, nrow(theirs)),
      accuracy = theirs$published, source = rep("published", nrow(theirs))
    )
  )
  both$source <- factor(both$source, c("this study", "published"))
  ribbon <- if (seeds_of(history) > 1) {
    geom_ribbon(aes(ymin = low, ymax = high), both[both$source == "this study", ], fill = PALETTE[["blue"]],
                alpha = 0.18, colour = NA)
  }
  plot <- ggplot(both, aes(epoch, accuracy, colour = source)) +
    ribbon +
    geom_line(aes(linetype = source), linewidth = 0.8) +
    geom_point(aes(fill = source), shape = 21, size = 1.9, stroke = 0.9) +
    facet_wrap(~panel, ncol = if (length(solvers) > 4) 3 else 2, labeller = label_wrap_gen(18)) +
    scale_colour_manual(values = c("this study" = PALETTE[["blue"]], published = INK)) +
    scale_fill_manual(values = c("this study" = PALETTE[["blue"]], published = "white")) +
    scale_linetype_manual(values = c("this study" = "solid", published = "22")) +
    scale_x_continuous(breaks = whole_breaks()) +
    scale_y_continuous(limits = c(0, 100)) +
    labs(x = "Epoch", y = "Test accuracy (%)", subtitle = origin_words(history)) +
    theme(panel.border = element_rect(fill = NA, colour = GRID), strip.text = element_text(size = rel(0.75)))
  structure(plot, size = FIGURE_HEIGHT * max(1.15, 0.5 * ceiling(length(solvers) / 3) + 0.25))
}
