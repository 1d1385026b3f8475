# Small tables, plainly invented, in the shapes that the pipeline writes.

root <- normalizePath(Sys.getenv("NODEKIT_ROOT", file.path("..", "..", "..")))
source(file.path(root, "rscripts", "draw.R"))
load_figure_functions(file.path(root, "rscripts"))
source(file.path(root, "rscripts", "arguments.R"))
source(file.path(root, "rscripts", "runs", "hand_coded_network.R"))
report <- file.path(root, "rscripts", "report")
for (file in setdiff(list.files(report, "[.]R$", full.names = TRUE), file.path(report, "render.R"))) {
  source(file, encoding = "UTF-8")
}

published <- function() read_table(file.path(root, "data", "published", "claims.csv"))

curves <- function() {
  curve <- function(start) {
    x <- seq(0, 4, 0.5)
    y <- 3 - (3 - start) * exp(-x / 2)
    data.frame(series = paste("y(0) =", start), x, y, exact = y, highlighted = start == 2)
  }
  do.call(rbind, lapply(c(0, 2, 5), curve))
}

training <- function(variants = "main", seeds = 2, epochs = 3, experiment = "N3", ...) {
  runs <- expand.grid(epoch = seq_len(epochs), seed = seq_len(seeds), variant = variants, stringsAsFactors = FALSE)
  rising <- 50 + 10 * runs$epoch + runs$seed
  data.frame(
    experiment = experiment, runs, train_loss = 1 / runs$epoch, test_loss = 1.1 / runs$epoch, train_accuracy = rising,
    test_accuracy = rising - 2, data_source = "an invented table", origin = "computed", reduced = NA, ...
  )
}

first_bytes <- function(file, n) readBin(file, "raw", n)

drawn <- function(fun, ..., stem = tempfile("figure-")) draw_figure("a figure", fun, list(...), stem)$files
