# Draw the frames of an animation of the study, as numbered PNG files in a folder:
#
#   Rscript rscripts/animate.R <name> <folder> curves=file.csv
#
# <name> has the functions frame_<name>(curves, frame) and frames_<name>(curves) in rscripts/figures. Python's
# pipeline.report.animation puts the frames together.

local({
  folder <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))[1]))
  source(file.path(folder, "draw.R"), local = globalenv())
  load_figure_functions(folder)
  words <- commandArgs(trailingOnly = TRUE)
  if (length(words) != 3 || !startsWith(words[3], "curves=")) {
    stop("usage: Rscript animate.R <name> <folder> curves=file.csv", call. = FALSE)
  }
  if (!exists(paste0("frame_", words[1]), mode = "function")) {
    stop("no animation '", words[1], "' in rscripts/figures", call. = FALSE)
  }
  draw <- get(paste0("frame_", words[1]), mode = "function")
  curves <- read_table(sub("^curves=", "", words[3]))
  dir.create(words[2], recursive = TRUE, showWarnings = FALSE)
  count <- get(paste0("frames_", words[1]), mode = "function")(curves)
  # 9 cm at 120 dots an inch: small enough for a page, large enough for a telephone.
  grDevices::png(
    file.path(words[2], "frame%03d.png"), 9 / 2.54, 9.4 / 2.54, units = "in", res = 120, type = "cairo", bg = "white"
  )
  for (frame in seq_len(count)) print(draw(curves, frame))
  invisible(grDevices::dev.off())
})
