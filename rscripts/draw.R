# Draw one figure of the study:
#
#   Rscript rscripts/draw.R <figure> <output stem> argument=file.csv ...
#
# <figure> is a name of pipeline/report/figures.yaml or of a function figure_<name> in rscripts/figures. Without
# arguments of its own, a figure of the registry takes its tables from the folder results. Writes <stem>.png, .svg, .pdf.
# Python's pipeline.report.rendering calls the same draw_figure().

#' Load the theme, the helpers and every figure function.
load_figure_functions <- function(folder, into = globalenv()) {
  sys.source(file.path(folder, "locale.R"), into)
  helpers <- file.path(folder, c("files.R", "theme.R", "figure_data.R"))
  for (file in c(helpers, sort(list.files(file.path(folder, "figures"), "[.]R$", full.names = TRUE)))) {
    # As UTF-8 by name: sys.source() would read the file in the machine's encoding.
    eval(parse(file, encoding = "UTF-8", keep.source = FALSE), into)
  }
}

# How each kind of file is opened; cairo draws all three alike, with the fonts of the machine.
DEVICES <- list(
  png = function(file, width, height) {
    grDevices::png(file, width, height, units = "in", res = 300, type = "cairo", bg = "white")
  },
  svg = function(file, width, height) grDevices::svg(file, width, height, bg = "white"),
  pdf = function(file, width, height) grDevices::cairo_pdf(file, width, height, bg = "white")
)

# Warnings that are understood and harmless would be listed here; any other fails the figure.
EXPECTED_WARNINGS <- character()

#' Draw a figure into <stem>.png, .svg and .pdf, all of them or none.
#' @param name what the figure is called in messages.
#' @param fun the name of its function, figure_<noun>.
#' @param data named list of data frames, the function's arguments.
#' @param files named character vector: the file each table was read from, for messages.
#' @return list(files, warnings), invisibly. Fails with the function's own condition, or with one of class
#'   `figure_warning_error` where R warned of something unexpected.
draw_figure <- function(name, fun, data, stem, files = NULL) {
  for (argument in names(files)) attr(data[[argument]], "file") <- files[[argument]]
  seen <- character()
  partial <- character()
  on.exit(unlink(partial))
  dir.create(dirname(stem), recursive = TRUE, showWarnings = FALSE)
  withCallingHandlers(
    {
      plot <- do.call(get(fun, mode = "function"), known_tables(data, fun, name))
      size <- attr(plot, "size")
      for (kind in names(DEVICES)) {
        partial[kind] <- tempfile(".partial-", dirname(stem), paste0(".", kind))
        DEVICES[[kind]](partial[[kind]], FIGURE_WIDTH, if (is.null(size)) FIGURE_HEIGHT else size)
        tryCatch(print(plot), finally = grDevices::dev.off())
      }
    },
    warning = function(w) {
      seen <<- c(seen, conditionMessage(w))
      message("warning: ", conditionMessage(w))
      invokeRestart("muffleWarning")
    }
  )
  expected <- vapply(seen, function(text) any(vapply(EXPECTED_WARNINGS, grepl, logical(1), x = text)), logical(1))
  if (!all(expected)) {
    text <- paste0("figure '", name, "': unexpected warning: ", paste(unique(seen[!expected]), collapse = "; "))
    stop(structure(class = c("figure_warning_error", "error", "condition"), list(message = text, call = NULL)))
  }
  written <- paste0(stem, ".", names(partial))
  if (!all(file.rename(partial, written))) stop("figure '", name, "': could not write ", stem, ".*", call. = FALSE)
  invisible(list(files = written, warnings = seen))
}

# The tables by the arguments of the function; one that it does not know is an error that lists those it does.
known_tables <- function(data, fun, name) {
  known <- names(formals(get(fun, mode = "function")))
  for (argument in setdiff(names(data), known)) {
    stop("figure '", name, "': ", fun, "() has no table '", argument, "'; it takes ", paste(known, collapse = ", "),
         call. = FALSE)
  }
  data
}

#' A figure of the registry as list(function, data); NULL for one that is not in it.
registered_figure <- function(name, registry) {
  if (!file.exists(registry)) return(NULL)
  yaml::read_yaml(registry)[[name]]
}

if (sys.nframe() == 0) {
  folder <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))[1]))
  load_figure_functions(folder)
  words <- commandArgs(trailingOnly = TRUE)
  if (length(words) < 2) stop("usage: Rscript draw.R <figure> <output stem> argument=file.csv ...", call. = FALSE)
  root <- dirname(folder)
  registered <- registered_figure(words[1], file.path(root, "pipeline", "report", "figures.yaml"))
  pairs <- strsplit(words[-(1:2)], "=", fixed = TRUE)
  files <- vapply(pairs, function(pair) paste(pair[-1], collapse = "="), character(1))
  names(files) <- vapply(pairs, `[`, character(1), 1)
  if (!length(files) && !is.null(registered)) {
    files <- unlist(registered$data)
    published <- startsWith(files, "data/published/")
    files[] <- file.path(root, ifelse(published, files, file.path("results", files)))
  }
  fun <- if (is.null(registered)) paste0("figure_", words[1]) else registered[["function"]]
  if (!exists(fun, mode = "function")) stop("no figure '", words[1], "' in rscripts/figures", call. = FALSE)
  absent <- files[!file.exists(files)]
  if (length(absent)) stop("figure '", words[1], "': no file ", paste(absent, collapse = ", "), call. = FALSE)
  drawn <- draw_figure(words[1], fun, lapply(files, read_table), words[2], files)
  cat(drawn$files, sep = "\n")
}
