# What a figure function does with the tables it is given, before it draws them.

#' Stop unless a table has the columns and rows that a figure needs.
#' @return `data`, invisibly; otherwise a condition of class `figure_data_error` with the fields figure, argument,
#'   columns (those missing) and file (where known).
require_columns <- function(data, columns, figure, argument) {
  file <- attr(data, "file")
  where <- paste0("figure '", figure, "', table '", argument, "'", if (!is.null(file)) paste0(" (", file, ")"))
  missing <- setdiff(columns, names(data))
  if (length(missing)) {
    stop_figure_data(
      paste0(where, ": missing column", if (length(missing) > 1) "s", " ", paste(missing, collapse = ", "),
             "; it has ", paste(names(data), collapse = ", ")),
      figure, argument, missing, file
    )
  }
  if (!nrow(data)) stop_figure_data(paste0(where, ": has no rows"), figure, argument, character(), file)
  invisible(data)
}

stop_figure_data <- function(message, figure, argument, columns, file) {
  fields <- list(message = message, call = NULL, figure = figure, argument = argument, columns = columns, file = file)
  stop(structure(class = c("figure_data_error", "error", "condition"), fields))
}

#' A table read from CSV, empty text as missing, with the name of its file for messages.
read_table <- function(file) {
  data <- utils::read.csv(file, na.strings = c("", "NA", "NaN"), check.names = FALSE, encoding = "UTF-8")
  structure(data, file = file)
}

#' The distinct things a text column says, missing ones left out.
said <- function(data, column) {
  values <- as.character(data[[column]])
  unique(values[!is.na(values) & nzchar(values) & values != "NaN"])
}

#' What was reduced in any of a table's runs, each part once: the column is a list, semicolons between its parts.
reduced_parts <- function(data) unique(unlist(strsplit(said(data, "reduced"), "; ", fixed = TRUE)))

#' What must be said of where a figure's data come from: simulated, incomplete, reduced; NULL where nothing must.
origin_words <- function(data) {
  wanting <- said(data[data$origin %in% c("simulated", "incomplete"), ], "data_source")
  reduced <- reduced_parts(data)
  words <- c(wanting, if (length(reduced)) paste0("reduced: ", paste(reduced, collapse = ", ")))
  if (!length(words)) return(NULL)
  words[1] <- paste0(toupper(substring(words[1], 1, 1)), substring(words[1], 2))
  # Broken where a line of the figure ends, so that nothing said is cut off.
  paste(unlist(strwrap(paste(words, collapse = " \u00b7 "), 58)), collapse = "\n")
}

#' Mean, lowest and highest value over seeds, for each combination of the columns `by`.
over_seeds <- function(data, by, value) {
  kept <- data[!is.na(data[[value]]), ]
  groups <- kept[by]
  mean <- stats::aggregate(kept[value], groups, mean)
  names(mean)[ncol(mean)] <- "mean"
  mean$low <- stats::aggregate(kept[value], groups, min)[[value]]
  mean$high <- stats::aggregate(kept[value], groups, max)[[value]]
  mean
}

seeds_of <- function(data) length(unique(data$seed))

# How far a measured order may be from the declared one.
ORDER_TOLERANCE <- 0.1

#' The kind of each row's method: explicit, implicit or reversible.
method_kinds <- function(history) {
  reversible <- startsWith(history$series, "reversible_") | history$series == "alf"
  factor(ifelse(reversible, "reversible", history$kind), c("explicit", "implicit", "reversible"))
}

#' One row a method and problem: its kind, the order it declares, the slope measured and its interval.
measured_orders <- function(history) {
  rows <- history[history$panel == "order", ]
  rows$kind <- method_kinds(rows)
  rows <- unique(rows[c("series", "kind", "problem", "order", "slope", "slope_low", "slope_high")])
  rows <- rows[order(rows$order, rows$kind, rows$series), ]
  rows$within <- abs(rows$slope - rows$order) <= ORDER_TOLERANCE
  rows
}

#' The facts that a figure's caption may name, computed from its tables.
caption_facts <- function(tables) {
  main <- tables[[1]]
  seeds <- seeds_of(main)
  # Losses by iteration do not say it in each of their rows.
  origin <- Find(function(table) "data_source" %in% names(table), tables)
  reduced <- reduced_parts(origin)
  list(
    seeds = seeds,
    epochs = if ("epoch" %in% names(main)) max(main$epoch) else NA,
    methods = if ("order" %in% names(main)) length(unique(main$series[!is.na(main$order)])) else NA,
    problems = if ("problem" %in% names(main)) paste(said(main, "problem"), collapse = " and ") else NA,
    order_tolerance = ORDER_TOLERANCE,
    iterations = if ("iteration" %in% names(main)) max(main$iteration) else NA,
    curves = if ("series" %in% names(main)) length(unique(main$series)) else NA,
    data_source = paste(said(origin, "data_source"), collapse = "; "),
    reduced_words = if (length(reduced)) paste0(" Reduced: ", paste(reduced, collapse = ", "), ".") else "",
    seed_words = if (seeds > 1) {
      paste0("Lines are means over ", seeds, " seeds, bands their range.")
    } else {
      "One seed."
    }
  )
}

#' Put facts in place of the {names} in a text; a name that is no fact is an error.
fill_facts <- function(text, facts) {
  names <- regmatches(text, gregexpr("\\{[a-z_]+\\}", text))[[1]]
  for (name in unique(names)) {
    fact <- facts[[substring(name, 2, nchar(name) - 1)]]
    if (is.null(fact)) stop("no fact ", name, "; known are ", paste(names(facts), collapse = ", "), call. = FALSE)
    text <- gsub(name, as.character(fact), text, fixed = TRUE)
  }
  text
}

# How variants are called in figures and tables; those not listed are called by their name, underscores as spaces.
VARIANT_NAMES <- c(
  explicit_euler = "Explicit Euler",
  implicit_euler = "Implicit Euler",
  crank_nicolson = "Crank\u2013Nicolson (document)",
  trapezoid = "Trapezoidal rule",
  implicit_euler_once = "Implicit Euler, once",
  crank_nicolson_once = "Crank\u2013Nicolson, once",
  explicit_euler_running = "Explicit Euler, running",
  implicit_euler_running = "Implicit Euler, once, running",
  crank_nicolson_running = "Crank\u2013Nicolson, once, running",
  extra_layer = "extra layer, dropout",
  adam = "one more layer, Adam",
  residual_dopri5 = "residual, dopri5, decay",
  mlp = "1-layer MLP",
  mlp_deskewed = "1-layer MLP, upright",
  resnet = "ResNet",
  rknet = "RK-Net",
  odenet = "ODE-Net",
  biases_read = "updated biases read"
)

variant_names <- function(variants) {
  unname(ifelse(variants %in% names(VARIANT_NAMES), VARIANT_NAMES[variants], gsub("_", " ", variants)))
}
