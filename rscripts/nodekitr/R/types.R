# What R values mean to nodekit: checked once, before anything reaches Python.

#' How R values are understood
#'
#' Checked before anything is computed; what has no meaning is an error that says what to do, never a guess.
#'
#' | R | as a state, a time or a number |
#' |---|---|
#' | numeric vector | itself, in double precision; names name the states |
#' | integer | the same numbers in double precision |
#' | length one | a system of one state |
#' | matrix, array | the same shape, order and values, in the derivative too; columns of the result in R's order |
#' | data frame of one numeric row | the named vector of its columns |
#' | `NULL` | an error for states and times; "none" for `parms`, `events`, `rootfunc` |
#' | `NA`, `NaN`, `Inf` | an error that names the place; in the data of [nk_fit()], `NA` is a value not observed |
#' | factor | an error; in [nk_fit()] it may identify trajectories, in [nk_classifier()] it gives the classes |
#' | logical, character, date, complex, list | an error |
#'
#' `parms` never leaves R: your function gets exactly what you gave.
#' @name nodekit_types
#' @examples
#' swirl <- function(t, y, parms) list(y %*% parms)       # y stays a 2 x 2 matrix
#' if (nk_available()) nk_ode(diag(2), 0:2, swirl, matrix(c(0, 1, -1, 0), 2))
NULL

# The initial state: values, their names and their shape.
as_state <- function(y) {
  if (is.data.frame(y)) {
    if (nrow(y) != 1) {
      abort("value_error", "'y' is a data frame with ", nrow(y), " rows.",
        remedy = "An initial state is one row; choose it, e.g. y[1, ]."
      )
    }
    numeric_columns <- vapply(y, is.numeric, logical(1))
    if (!all(numeric_columns)) abort_kind(y[[which(!numeric_columns)[1]]], paste0("y$", names(y)[!numeric_columns][1]))
    y <- unlist(y)
  }
  values <- as_numbers(y, "y")
  if (is.array(y) && length(dim(y)) == 1) y <- stats::setNames(c(y), names(y))
  list(values = values, n = length(values), names = names(y), dim = dim(y), dimnames = dimnames(y))
}

as_times <- function(times) {
  values <- as_numbers(times, "times")
  change <- diff(values)
  if (any(change == 0) || (length(change) && any(sign(change) != sign(change[1])))) {
    where <- which(change == 0 | sign(change) != sign(change[1]))[1]
    abort("value_error", "'times' must go strictly up or strictly down: element ", where + 1, " (", values[where + 1],
      ") does not follow ", values[where], ".",
      remedy = "Use sort(unique(times))."
    )
  }
  values
}

# A plain double vector of finite numbers.
as_numbers <- function(x, name, missing_allowed = FALSE) {
  if (is.null(x)) abort("type_error", "'", name, "' is NULL.", remedy = "Give numbers.")
  if (!is.numeric(x) || is.factor(x) || inherits(x, c("Date", "POSIXt", "difftime"))) abort_kind(x, name)
  if (length(x) == 0) abort("value_error", "'", name, "' is empty.", remedy = "Give at least one number.")
  bad <- if (missing_allowed) which(is.infinite(x) | is.nan(x)) else which(!is.finite(x))
  if (length(bad)) {
    place <- if (is.null(names(x))) bad[1] else paste0("\"", names(x)[bad[1]], "\"")
    abort("value_error", "'", name, "[", place, "]' is ", format(unname(x[bad[1]])), ".",
      remedy = "Give finite numbers; remove or replace this one."
    )
  }
  as.double(x)
}

as_number <- function(x, name, above = -Inf) {
  value <- as_numbers(x, name)
  if (length(value) != 1) {
    abort("value_error", "'", name, "' has ", length(value), " elements.",
      remedy = "Give one number."
    )
  }
  if (value <= above) {
    abort("value_error", "'", name, "' is ", value, ".",
      remedy = paste0("Give a number above ", above, ".")
    )
  }
  value
}

as_count <- function(x, name) {
  value <- as_number(x, name, above = 0)
  if (value != round(value) || value > .Machine$integer.max) {
    abort("value_error", "'", name, "' is ", value, ".", remedy = "Give a whole number.")
  }
  as.integer(value)
}

abort_kind <- function(x, name) {
  remedy <- if (is.factor(x)) {
    "Convert it on purpose: as.numeric(as.character(x)) for numbers written as levels, as.integer(x) for codes."
  } else if (inherits(x, c("Date", "POSIXt", "difftime"))) {
    "Say in which unit and from which origin, e.g. as.numeric(difftime(x, x[1], units = \"days\"))."
  } else {
    "Give a numeric vector or array."
  }
  abort("type_error", "'", name, "' is of class '", class(x)[1], "', not numbers.", remedy = remedy)
}

# A tolerance: one number, or one a state.
as_tolerance <- function(x, name, n) {
  values <- as_numbers(x, name)
  if (!length(values) %in% c(1L, n)) {
    abort("value_error", "'", name, "' has ", length(values), " elements where the state has ", n, ".",
      remedy = "Give one number, or one for each state."
    )
  }
  if (any(values < 0)) abort("value_error", "'", name, "' is negative.", remedy = "Give positive numbers.")
  if (length(values) == 1) values else array(values)
}

# A seed that is given, or one from R's own generator, so that set.seed() governs.
as_seed <- function(seed) {
  if (is.null(seed)) sample.int(.Machine$integer.max, 1L) else as.integer(as_number(seed, "seed"))
}

# Evaluate with R's generator at a seed, if one is given; what is drawn afterwards does not depend on it, as in
# stats::simulate().
with_seed <- function(seed, expression) {
  if (is.null(seed)) return(expression)
  here <- globalenv()
  before <- here$.Random.seed
  on.exit(if (is.null(before)) rm(".Random.seed", envir = here) else assign(".Random.seed", before, envir = here))
  set.seed(seed)
  expression
}

check_function <- function(f, name, optional = FALSE) {
  if (is.function(f)) refuse_questions(f, name)
  if (is.function(f) || (optional && is.null(f))) return(invisible(f))
  abort("type_error", "'", name, "' is of class '", class(f)[1], "', not a function.",
    remedy = paste0("Give a function(t, y, parms).")
  )
}
