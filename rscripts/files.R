# Files that are whole or absent: written beside their place, then moved into it.

#' Call `write(path)` on a temporary name in the folder of `path`, then rename it to `path`.
#' @param write function of one argument, the name to write to; the name keeps the extension of `path`.
#' @return `path`, invisibly.
write_atomically <- function(path, write) {
  folder <- dirname(path)
  if (!dir.exists(folder) && !dir.create(folder, recursive = TRUE, showWarnings = FALSE)) {
    stop("cannot make the folder ", folder, "; choose an output that can be written", call. = FALSE)
  }
  extension <- tools::file_ext(path)
  partial <- tempfile(".partial-", tmpdir = folder, fileext = if (nzchar(extension)) paste0(".", extension) else "")
  on.exit(unlink(partial))
  write(partial)
  if (!file.exists(partial) || !file.rename(partial, path)) {
    stop("could not write ", path, "; is the disk full or the folder read-only?", call. = FALSE)
  }
  invisible(path)
}

#' Write a data frame as a CSV file, numbers with every digit they have, missing values empty.
write_csv <- function(data, path) {
  quoted <- which(!vapply(data, is.numeric, logical(1)))
  data[] <- lapply(data, function(column) if (is.double(column)) every_digit(column) else column)
  write_atomically(path, function(partial) {
    utils::write.table(data, partial, sep = ",", quote = quoted, qmethod = "double", row.names = FALSE, na = "")
  })
}

# The shortest of 15 and 17 digits that reads back as the same number.
every_digit <- function(x) {
  text <- formatC(x, digits = 15, format = "g", width = 1)
  short <- is.na(x) | suppressWarnings(as.numeric(text)) == x
  ifelse(is.na(x), NA, ifelse(short, text, formatC(x, digits = 17, format = "g", width = 1)))
}

#' The folder of the script that Rscript runs, or the working directory in an interactive session.
script_folder <- function() {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  if (length(file)) dirname(normalizePath(file[1])) else getwd()
}
