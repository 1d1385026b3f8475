labels_of <- function(plot) {
  built <- ggplot_build(plot)
  unlist(lapply(built$data, function(layer) as.character(layer$label)))
}

subtitle_of <- function(plot) gsub("\n", " ", plot$labels$subtitle)

test_that("the slope's sign decides which way the arrows of the phase portrait point", {
  y <- seq(-0.3, 1.3, 0.01)
  arrows <- flow_arrows(data.frame(y = y, slope = y * (1 - y)), c(0, 1))
  inside <- arrows$from > 0 & arrows$from < 1
  expect_true(all(arrows$to[inside] > arrows$from[inside]))
  expect_true(all(arrows$to[!inside] < arrows$from[!inside]))
  expect_equal(arrows$direction, ifelse(inside, "grows", "falls"))
})

test_that("the phase portrait names its equilibria from the data", {
  y <- seq(-0.6, 2.6, 0.02)
  portrait <- rbind(
    data.frame(series = "slope", y = y, slope = y * (1 - y / 2)),
    data.frame(series = c("unstable", "stable"), y = c(0, 2), slope = 0)
  )
  expect_setequal(labels_of(figure_phase_portrait(portrait)), c("unstable\nequilibrium\ny = 0", "stable\nequilibrium\ny = 2"))
})

test_that("Euler's figure has a segment a step and labels both ends", {
  table <- rbind(
    data.frame(series = "Euler", x = 0:4, y = 2^(0:4)),
    data.frame(series = "exact", x = seq(0, 4, 0.1), y = exp(seq(0, 4, 0.1)))
  )
  plot <- figure_euler_method(table)
  expect_equal(nrow(layer_data(plot, 2)), 4)
  expect_true(all(c("exact: 54.6", "Euler: 16") %in% labels_of(plot)))
})

test_that("bands are drawn over seeds, and only where there is more than one", {
  ribbons <- function(plot) sum(vapply(plot$layers, function(layer) inherits(layer$geom, "GeomRibbon"), logical(1)))
  expect_equal(ribbons(figure_training_history(training(seeds = 2))), 1)
  expect_equal(ribbons(figure_training_history(training(seeds = 1))), 0)
  expect_equal(ribbons(figure_accuracy_by_solver(training("explicit_euler", 3, 5, "S1"), published())), 1)
})

test_that("the range over seeds is their lowest and highest value", {
  summary <- over_seeds(training(seeds = 3, epochs = 1), c("variant", "epoch"), "test_accuracy")
  expect_equal(summary[c("mean", "low", "high")], data.frame(mean = 60, low = 59, high = 61))
})

test_that("published accuracies stand in the figures of training and of solvers", {
  expect_true("published: > 87 %" %in% labels_of(figure_training_history(training(), published())))
  history <- training(c("explicit_euler", "trapezoid"), 1, 5, "S1")
  history$variant_name <- c(explicit_euler = "Explicit Euler", trapezoid = "Trapezoidal rule")[history$variant]
  both <- figure_accuracy_by_solver(history, published())$data
  theirs <- both[both$source == "published", ]
  expect_equal(theirs$accuracy, c(43.483, 83.883, 96.617, 99.633, 99.633))
  expect_equal(unique(as.character(theirs$panel)), "Explicit Euler")
})

test_that("the loss figure tells the test error found and the one published", {
  losses <- data.frame(
    seed = 1, loss = exp(-(0:99) / 30), Trained_Images = 32 * (0:99), Halflife_Loss = exp(-(0:99) / 35)
  )
  metrics <- data.frame(experiment = "M1", seed = 1:2, quantity = "test_error", value = c(1.5, 1.7))
  words <- labels_of(figure_loss_by_images(losses, metrics, published()))
  expect_equal(words, "test error at the end: 1.60 % (1.50 to 1.70)\npublished: < 2 %")
})

test_that("the figure of depth sets training beside test error, plain above residual, and names the depths", {
  history <- training(c("plain_8", "plain_56", "residual_8", "residual_56"), 1, 3, "N4")
  plot <- figure_depth(history)
  expect_true(all(c("8: 19 %", "56: 19 %") %in% labels_of(plot)))
  first <- plot$data$variant == "plain_8" & plot$data$epoch == 1
  expect_equal(plot$data$mean[first], 100 - unlist(history[1, c("train_accuracy", "test_accuracy")], use.names = FALSE))
  expect_equal(levels(plot$data$network), c("Plain", "Residual"))
  falling <- figure_depth(training(c("plain_20", "residual_56_falling"), 1, 3, "N4"))$data
  expect_equal(levels(falling$network), c("Plain", "Residual, falling rate"))
  expect_setequal(as.character(falling$depth), c("20", "56"))
})

test_that("labels keep their distance and their order", {
  spread <- spread_labels(c(90, 91, 89, 10), c("a", "a", "a", "b"), 8)
  expect_equal(order(spread[1:3]), c(3, 1, 2))
  expect_true(all(diff(sort(spread[1:3])) >= 8) && max(spread) <= 98)
  expect_equal(spread[4], 10)
})

test_that("the figure of configurations numbers them and shows the peaks published", {
  plot <- figure_accuracy_by_configuration(training(c("baseline", "adam", "residual_dopri5"), 2, 3, "M5"), published())
  expect_true(all(c("published: about 80 %", "published: about 85 %") %in% labels_of(plot)))
  expect_equal(levels(plot$data$panel)[1], "1  baseline")
})

test_that("a figure of simulated or reduced data says so, and one of whole real data does not", {
  history <- training()
  expect_null(figure_training_history(history)$labels$subtitle)
  history$data_source <- "images made up"
  history$origin <- "simulated"
  history$reduced <- "3 of 150 epochs"
  expect_equal(subtitle_of(figure_training_history(history)), "Images made up \u00b7 reduced: 3 of 150 epochs")
})

test_that("what several runs reduced is said once, and incomplete data are named", {
  history <- training(c("one", "other"), 1, 1)
  history$data_source <- "CIFAR-10, in part"
  history$origin <- "incomplete"
  history$reduced <- c("2 of 9 images; 3 of 160 epochs", "2 of 9 images; 3 of 200 epochs")
  expect_equal(
    gsub("\n", " ", origin_words(history)),
    "CIFAR-10, in part \u00b7 reduced: 2 of 9 images, 3 of 160 epochs, 3 of 200 epochs"
  )
})

test_that("states are sorted by where they end, and counted", {
  path <- function(series, end) {
    data.frame(series, end, t = 0:2, x = 0:2, y = 2:0, data_source = "computed", origin = "computed", reduced = NA)
  }
  history <- rbind(path("draw 1", "the origin"), path("draw 2", "a cycle"), path("draw 3", "the origin"))
  plot <- figure_state_path(history)
  expect_equal(levels(plot$data$row), c("ends in the origin: 2 of 3", "ends in a cycle: 1 of 3"))
  expect_setequal(plot$data$series, c("draw 1", "draw 2", "draw 3"))
  expect_setequal(figure_state_path(history, shown = 1)$data$series, c("draw 1", "draw 2"))
})

test_that("the document's accuracies stand beside each way of running its solver", {
  history <- training(c("implicit_euler", "implicit_euler_running"), 1, 5, "S1")
  both <- figure_accuracy_by_solver(history, published())$data
  theirs <- both[both$source == "published", ]
  panels <- variant_names(c("implicit_euler", "implicit_euler_running"), history)
  expect_equal(as.vector(table(theirs$panel)[panels]), c(5, 5))
})

test_that("every figure of the registry has a function that takes its tables", {
  registry <- yaml::read_yaml(file.path(root, "pipeline", "report", "figures.yaml"))
  for (figure in registry) {
    expect_true(exists(figure[["function"]], mode = "function"), info = figure[["function"]])
    expect_true(all(names(figure$data) %in% names(formals(figure[["function"]]))), info = figure[["function"]])
    # Captions name only facts that can be computed from a table.
    facts <- caption_facts(list(training()))
    facts$curves <- 3
    expect_false(grepl("\\{", fill_facts(figure$caption, facts)))
  }
})

test_that("a caption names the data and the reduction where only its second table does", {
  metrics <- training()
  metrics$reduced <- "9 of 90 images"
  facts <- caption_facts(list(losses = data.frame(seed = 1, iteration = 0, loss = 2), metrics = metrics))
  expect_equal(fill_facts("{data_source}.{reduced_words}", facts), "an invented table. Reduced: 9 of 90 images.")
})

test_that("a caption naming an unknown fact is an error", {
  expect_error(fill_facts("over {planets}", list(seeds = 3)), "no fact \\{planets\\}; known are seeds")
})

test_that("springs join every two bodies and are straight at both ends", {
  bodies <- data.frame(x = c(0, 3, 0), y = c(0, 0, 4))
  springs <- spring_paths(bodies, width = 0.1)
  expect_equal(unique(springs$spring), 1:3)
  ends <- do.call(rbind, lapply(split(springs, springs$spring), function(s) cbind(s[1, -1], s[nrow(s), -1])))
  expect_equal(unname(as.matrix(ends)), rbind(c(0, 0, 3, 0), c(0, 0, 0, 4), c(3, 0, 0, 4)))
  # The first spring lies on the axis: what it leaves the axis by is its width.
  expect_equal(range(springs$y[springs$spring == 1]), c(-0.1, 0.1))
})

measured <- function(series, slope, order = 2, kind = "explicit", problem = "y' = y") {
  step <- 2^-(3:6)
  data.frame(
    panel = "order", series, kind, problem, step, error = step^slope, order, slope, slope_low = slope - 0.01,
    slope_high = slope + 0.01, data_source = "an invented table", reduced = NA
  )
}

test_that("a method is within its order by the slope alone, and reversible ones are a kind of their own", {
  history <- rbind(
    measured("heun", 2.1001), measured("reversible_heun", 1.95), measured("alf", 2), measured("trapezoid", 2, kind = "implicit")
  )
  orders <- measured_orders(history)
  expect_equal(nrow(orders), 4)
  expect_equal(orders$within[match(c("heun", "reversible_heun"), orders$series)], c(FALSE, TRUE))
  kinds <- stats::setNames(as.character(orders$kind), orders$series)
  expect_equal(kinds[c("heun", "reversible_heun", "alf", "trapezoid")], c(
    heun = "explicit", reversible_heun = "reversible", alf = "reversible", trapezoid = "implicit"
  ))
  deviations <- ggplot_build(figure_orders(history))$data[[4]]$x
  expect_setequal(round(deviations, 4), c(0.1001, -0.05, 0, 0))
})

test_that("labels of orders count methods, that of the steepest apart, and lines start in one point", {
  history <- rbind(measured("heun", 2), measured("ralston", 2.001), measured("bosh3", 2.01, order = 3))
  labels <- order_labels(transform(history, kind = method_kinds(history), order = factor(order)))
  expect_setequal(labels$label, c("order 2 \u00b7 2 methods", "order 3 \u00b7 1 method"))
  expect_equal(labels$label[labels$steepest], "order 3 \u00b7 1 method")
  line <- of_the_longest(data.frame(step = c(0.1, 0.2, 0.4), error = c(1, 4, 16)))
  expect_equal(line, data.frame(step = c(0.25, 0.5, 1), error = c(1 / 16, 1 / 4, 1)))
})

test_that("the rate of decay is read from the steps, whatever the rows' order", {
  curves <- data.frame(series = "euler", scaled_step = 0.5, x = c(0.1, 0, 0.05), y = c(0.25, 1, 0.5))
  expect_equal(decay_rate(curves), 10)
})

test_that("an arrow of the field leans as far as its slope says and stays inside", {
  arrows <- field_arrows(data.frame(t = 0:2, z = 1, slope = c(2, -1, 0)), height = 0.5)
  expect_equal(arrows$z_end, c(2, 0.5))
  expect_equal(arrows$t_end, c(0.5, 1.5))
})

test_that("decay tells the largest error of each method", {
  t <- c(0, 0.5, 1)
  curve <- function(series, off) data.frame(panel = "one", series, x = t, y = exp(-t) + c(0, off, 0), exact = exp(-t))
  words <- labels_of(figure_decay(rbind(curve("analytic", 0), curve("Euler, 2 steps", -0.125))))
  expect_setequal(words, c("analytic solution", "Euler, 2 steps: off by up to 0.125"))
})

test_that("a search for a start marks its target and the iterations whose paths it shows", {
  path <- function(k) data.frame(series = "path", iteration = k, loss = NA, t = 0:2, h1 = 0:2, h2 = k + 0:2)
  history <- rbind(
    data.frame(series = "loss", iteration = 0:9, loss = 10^-(0:9), t = NA, h1 = NA, h2 = NA), path(0), path(9),
    data.frame(series = "target", iteration = NA, loss = NA, t = NA, h1 = 1.5, h2 = 0.5)
  )
  plot <- figure_target_state(history)
  label <- layer_data(plot[[1]], 5)
  expect_equal(label[c("x", "y", "label")], data.frame(x = 1.5, y = 0.5, label = "target"))
  expect_equal(layer_data(plot[[2]], 2)$x, c(0, 9))
})

test_that("a gradient's label tells the slope of its line, and labels keep their distance", {
  steps <- c(10, 100, 1000)
  costs <- data.frame(
    seed = 1, series = rep(c("backprop", "adjoint", "checkpoint"), each = 3), nfe_forward = steps,
    peak_memory = c(1e6 * steps, rep(2e6, 3), 1e6 * sqrt(steps)), reduced = NA, data_source = "an invented table"
  )
  timing <- data.frame(costs[c("seed", "series", "nfe_forward")], seconds = 1e-3 * costs$nfe_forward)
  labels <- labels_of(figure_gradient_costs(costs, timing))
  expect_equal(setdiff(c("backprop \u00b7 1.00", "adjoint \u00b7 0.00", "checkpoint \u00b7 0.50"), labels), character())
  placed <- labels_apart(data.frame(label = letters[1:4], mean = c(1, 1, 1.1, 50)), gap = 0.2)
  expect_true(all(diff(log(placed$at)) >= 0.2 - 1e-12))
  expect_equal(placed$at[c(1, 4)], c(1, 50))
})

test_that("variants stand beside their published values, in the units that the panels name", {
  metrics <- expand.grid(variant = c("mlp", "odenet"), quantity = c("test_error", "parameters", "peak_memory"),
                         stringsAsFactors = FALSE)
  metrics <- data.frame(experiment = "M2", seed = 1, metrics, value = c(2, 1, 238510, 224778, 3e6, 4e7), reduced = NA)
  timing <- data.frame(variant = c("mlp", "odenet"), seed = 1, seconds = c(1, 30))
  plot <- figure_network_comparison(metrics, timing, published())
  theirs <- plot$data[plot$data$source == "published", ]
  expect_equal(sort(theirs$mean[grepl("Parameters", theirs$panel)]), c(0.22, 0.24))
  expect_equal(setdiff(c("0.239", "0.225", "40", "30"), labels_of(plot)), character())
  expect_true("Test error (%)" %in% plot$data$panel)
  short <- figure_network_comparison(transform(metrics, reduced = "2 of 160 epochs"), timing, published())
  expect_equal(setdiff(plot$data$panel, short$data$panel), "Test error (%)")
})

test_that("a trained ODE-Net's evaluations by epoch are drawn where there is a course of them", {
  tolerances <- data.frame(
    panel = "tolerance", seed = 1, tolerance = c(1e-3, 1e-5), nfe_forward = c(14, 26), nfe_backward = c(14, 20),
    error = c(1e-3, 1e-5), epoch = NA
  )
  panels <- function(epochs) {
    trained <- data.frame(
      panel = "training", seed = 1, tolerance = NA, nfe_forward = 20, nfe_backward = 20, error = NA, epoch = seq_len(epochs)
    )
    history <- data.frame(rbind(tolerances, trained), data_source = "an invented table", origin = "computed", reduced = NA)
    plot <- figure_odenet_statistics(history, data.frame(tolerances[c("tolerance", "nfe_forward")], seconds = 0.1))
    length(plot$patches$plots) + 1
  }
  expect_equal(c(panels(2), panels(3)), c(3, 4))
})

test_that("coarser bins hold as much as the finer ones", {
  fine <- data.frame(probe = "normal", x = 1:8, density = c(0, 1, 2, 3, 3, 2, 1, 0) / 12)
  coarse <- coarser_bins(fine, 4)
  expect_equal(coarse$x, c(2.5, 6.5))
  expect_equal(sum(coarse$density) * 4, sum(fine$density))
})

test_that("training and test accuracy have a curve each under every gradient", {
  plot <- figure_accuracy_by_gradient(training(c("adjoint_euler", "adjoint_dopri5"), seeds = 1, experiment = "M3"))
  expect_equal(nrow(plot$data), 2 * 2 * 3)
  expect_equal(levels(plot$data$panel), c("adjoint euler", "adjoint dopri5"))
})

test_that("sides of an equation that agree to the last bit still have a place on the logarithmic axis", {
  history <- data.frame(
    panel = c("equation", "equation", rep("limit", 4)), series = c("1 a", "2 b", "3 c", "3 c", "14 d", "14 d"),
    step = c(NA, NA, 0.1, 0.2, 0.1, 0.2), difference = c(0, 1e-12, 0.1, 0.2, 0.3, 0.6)
  )
  plot <- figure_adjoint_equations(history)
  expect_equal(plot[[1]]$data$shown, c(.Machine$double.eps, 1e-12))
  expect_equal(plot[[2]]$layers[[3]]$data$step, c(0.2, 0.1))
})

test_that("benchmarks are ordered by their medians, and growth is told by its exponent", {
  samples <- data.frame(work = "w", series = rep(c("peer", "nodekit"), each = 3), round = 1:3, seconds = c(2, 9, 2, 1, 1, 1))
  labels <- labels_of(figure_benchmarks_times(samples))
  expect_true(all(c("peer \u00b7 2 s", "nodekit \u00b7 1 s") %in% labels))
  growth <- data.frame(
    by = "many steps", series = "nodekit", gradient = "reversible", quantity = "peak memory", x = 10^(1:3), value = 5e6,
    slope = 0
  )
  beside <- transform(growth, by = "steps")
  peer <- transform(beside, series = "diffrax", gradient = "checkpoint", slope = 1)
  labels <- labels_of(figure_benchmarks_growth(rbind(growth, beside, peer)))
  expect_true(all(c("reversible \u00b7 0.00", "nodekit \u00b7 0.00", "diffrax \u00b7 1.00") %in% labels))
})

test_that("labels that would lie over each other are moved apart, the others stay", {
  expect_equal(spread(c(5, 1, 1, 9), 1), c(5, 0.5, 1.5, 9))
})

test_that("sample images are put together pixel by pixel, in colours where there are three channels", {
  grey <- data.frame(image = rep(1:2, each = 2), row = rep(1:2, 2), channel1 = c("0 255", "255 0", "0 0", "0 0"))
  tiles <- as.matrix(mosaic(grey, across = 2))
  expect_equal(dim(tiles), c(2, 5))
  expect_equal(tiles[1, ], c("#000000", "#FFFFFF", "#FFFFFF", "#000000", "#000000"))
  colours <- transform(grey[1:2, ], channel2 = c("0 0", "0 0"), channel3 = c("0 0", "255 255"))
  expect_equal(as.matrix(mosaic(colours))[2, 1], "#FF00FF")
})

test_that("the adjoint's jumps go from one segment's end to the next one's beginning, the first from nothing", {
  adjoint <- data.frame(
    series = "adjoint", segment = c(1, 1, 0, 0), t = c(2, 1, 1, 0), a1 = c(5, 4, 3, 2), a2 = c(1, 1, 2, 2), z1 = NA, z2 = NA
  )
  state <- data.frame(series = "state", segment = NA, t = 0:2, a1 = NA, a2 = NA, z1 = 1, z2 = 2)
  observed <- transform(state[2:3, ], series = "observation")
  plot <- figure_observed_adjoint(rbind(state, observed, adjoint))
  jumps <- plot[[2]]$layers[[3]]$data
  first <- jumps[jumps$component == "first", ]
  expect_equal(first$from[order(first$t)], c(4, 0))
  expect_equal(first$value[order(first$t)], c(3, 5))
})

test_that("the output layer is left out of the gradients by layer", {
  history <- data.frame(
    variant = rep(c("sigmoid", "residual_56"), c(3, 4)), seed = 1, layer = c(1:3, 1:4), norm = c(1e-6, 1e-3, 9, 1, 2, 3, 99)
  )
  plot <- figure_gradients_by_layer(history)
  expect_equal(max(plot$data$mean), 3)
  expect_equal(levels(plot$data$panel), c("Sigmoids,\n3 layers", "Batch normalisation,\n4 layers"))
  expect_true(all(c("plain", "with shortcuts") %in% labels_of(plot)))
})

test_that("the lines of powers go through the last counts of operations", {
  history <- data.frame(
    seed = 1, series = rep(c("trace", "determinant"), each = 2), size = c(2, 8), operations = c(1, 7, 4, 400)
  )
  lines <- layer_data(figure_operations(history), 1)
  expect_equal(sort(10^lines$y), sort(c(7 / 4, 7, 400 / 64, 400)))
})

test_that("the flow's figure has a panel for each variant, and the functional input's one for each input", {
  fit <- data.frame(
    variant = "cubic", seed = 1, series = "fit", x = c(-1, 0, 1), y = c(-1, 0, 1), fitted = c(-1, 0, 1), t = NA, z = NA
  )
  path <- transform(fit, series = "path", t = c(0, 0.5, 1), z = 0)
  both <- rbind(fit, path)
  flow <- figure_fitted_flow(rbind(transform(both, variant = "quadratic"), both))
  expect_equal(length(unique(layer_data(flow[[1]], 2)$PANEL)), 2)
  answers <- data.frame(
    variant = rep(c("function", "its_mean"), each = 2), seed = 1, series = "answer", `function` = NA, t = NA, x = NA,
    truth = 1:2, answer = 2:1, check.names = FALSE
  )
  given <- answers[c(1, 1), ]
  given$series <- c("function", "read")
  given[["function"]] <- 0
  given[c("t", "x")] <- 0.5
  plot <- figure_functional_input(rbind(answers, given))
  expect_equal(length(unique(layer_data(plot[[2]], 2)$PANEL)), 2)
})

test_that("the figure of energies leaves the paths out and names methods with their evaluations", {
  history <- data.frame(
    panel = rep(c("paths", "energy", "energy"), each = 2), series = rep(c("body 1", "rk4", "leapfrog"), each = 2),
    t = 1:2, error = c(NA, NA, 0.1, 0.2, 0.3, 0.3), evaluations = rep(c(NA, 40.2, 40), each = 2),
    data_source = "computed", origin = "computed", reduced = NA
  )
  expect_setequal(labels_of(figure_energy(history)), c("rk4, 40 evaluations", "leapfrog, 40 evaluations"))
})

test_that("the figure of accuracy by tolerance gives seconds by the image", {
  history <- data.frame(
    seed = 1, tolerance = c(0.1, 0.001), accuracy = c(97, 98), images = 500, nfe_forward = c(14, 20),
    data_source = "an invented table", origin = "computed", reduced = NA
  )
  timing <- data.frame(seed = 1, tolerance = c(0.1, 0.001), seconds = c(1, 2))
  found <- figure_accuracy_by_tolerance(history, timing)$data
  expect_setequal(found$mean[found$panel == "Milliseconds an image"], c(2, 4))
})

test_that("the figure of attacks names networks and attacks", {
  history <- expand.grid(
    variant = c("odenet", "resnet"), series = c("random signs", "FGSM", "PGD"), size = c(0, 0.1), stringsAsFactors = FALSE
  )
  history$variant_name <- ifelse(history$variant == "odenet", "ODE-Net", "ResNet")
  history <- data.frame(history, seed = 1, accuracy = 90, data_source = "invented", origin = "computed", reduced = NA)
  plot <- figure_attacks(history)
  expect_setequal(plot$data$network, c("ODE-Net", "ResNet"))
  expect_equal(levels(plot$data$attack)[3], "Many steps (PGD)")
  expect_false(anyNA(plot$data$attack))
})

test_that("the figure of intensities draws events apart from the three rates", {
  curves <- expand.grid(series = c("truth", "learnt", "constant", "event"), path = 0:1, t = c(0, 1, 2), stringsAsFactors = FALSE)
  curves <- data.frame(curves, intensity = 2, data_source = "invented", origin = "computed", reduced = NA)
  plot <- figure_intensity(curves)
  expect_equal(levels(plot$data$series), c("true", "learnt", "constant rate"))
  expect_false(anyNA(plot$data$series))
  expect_equal(nrow(layer_data(plot, 3)), 6)
})
