# Command lines of the form `--name value`: read once, checked by name.

#' Named options of a command line.
#' @param defaults named list: the options there are, with their defaults; NULL marks a required one.
#' @param arguments the words after the script's name.
#' @return `defaults` with the given values put in, each converted to the type of its default.
command_options <- function(defaults, arguments = commandArgs(trailingOnly = TRUE)) {
  usage <- paste0("--", names(defaults), " <", gsub("_", " ", names(defaults)), ">", collapse = " ")
  usage <- gsub("--([a-z]+)_", "--\\1-", usage)
  if (length(arguments) %% 2 != 0) stop("options come in pairs: ", usage, call. = FALSE)
  options <- defaults
  for (i in seq_len(length(arguments) / 2)) {
    name <- gsub("-", "_", sub("^--", "", arguments[2 * i - 1]))
    if (!startsWith(arguments[2 * i - 1], "--") || !name %in% names(defaults)) {
      stop("unknown option '", arguments[2 * i - 1], "'; known are: ", usage, call. = FALSE)
    }
    options[[name]] <- as_type_of(defaults[[name]], arguments[2 * i], name)
  }
  missing <- names(defaults)[vapply(names(defaults), function(name) is.null(options[[name]]), logical(1))]
  if (length(missing)) stop("missing option --", gsub("_", "-", missing[1]), "; usage: ", usage, call. = FALSE)
  options
}

as_type_of <- function(default, value, name) {
  if (!is.numeric(default)) return(value)
  number <- suppressWarnings(as.numeric(value))
  if (is.na(number)) stop("option --", gsub("_", "-", name), " must be a number, not '", value, "'", call. = FALSE)
  number
}
