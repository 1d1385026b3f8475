# The data of nk_fit(): rows of trajectories.

# The rows as they are, with `.series` telling the trajectories apart; all that can be wrong with them is said here.
as_trajectories <- function(data, id, time, states, starts_complete = TRUE) {
  if (!is.data.frame(data)) {
    abort("type_error", "'data' is of class '", class(data)[1], "', not a data frame.",
      remedy = "Use as.data.frame(); a result of nk_ode() or deSolve too."
    )
  }
  data <- as.data.frame(data)
  absent <- setdiff(c(id, time, states), names(data))
  if (length(absent)) {
    abort("value_error", "'data' has no column '", absent[1], "'.",
      remedy = paste0("Columns: ", paste(names(data), collapse = ", "), ".")
    )
  }
  if (length(id) > 1 || length(time) != 1 || !length(states)) {
    abort("value_error", "One column of times and at least one state are needed, and at most one 'id'.",
      remedy = "Name them: id = , time = , states = ."
    )
  }
  if (".series" %in% c(id, time, states)) abort("value_error", "A column is called '.series'.", remedy = "Rename it.")
  as_numbers(data[[time]], time)
  for (name in states) check_state_column(data[[name]], name)
  series <- if (length(id)) data[[id]] else rep(1L, nrow(data))
  if (anyNA(series)) {
    abort("value_error", "'", id, "' is NA in row ", which(is.na(series))[1], ".",
      remedy = "Give each row its trajectory."
    )
  }
  data$.series <- match(series, unique(series))
  as_given <- data[c(id, time, states, ".series")]
  data <- in_order(as_given, time)
  firsts <- which(!duplicated(data$.series))
  name_of <- function(row) if (length(id)) paste0(" of trajectory '", data[[id]][row], "'") else ""
  alone <- firsts[tabulate(data$.series) < 2]
  if (length(alone)) {
    abort("value_error", "There is only one observation", name_of(alone[1]), ".",
      remedy = "A trajectory needs two; drop this one."
    )
  }
  twice <- which(diff(data[[time]]) == 0 & diff(data$.series) == 0)
  if (length(twice)) {
    abort("value_error", "The time ", data[[time]][twice[1]], name_of(twice[1]), " occurs twice.", remedy = paste0(
      if (!length(id)) "If a column tells trajectories apart, name it: id = . Otherwise average or drop " else
        "Average or drop ", "repeated observations."
    ))
  }
  if (!starts_complete) return(as_given)
  incomplete <- firsts[rowSums(is.na(data[firsts, states, drop = FALSE])) > 0]
  if (length(incomplete)) {
    abort("value_error", "The first observation", name_of(incomplete[1]), " is not complete.",
      remedy = "It is where the trajectory starts: fill it in, or drop the rows before a complete one."
    )
  }
  as_given
}

# Sorted by trajectory and time.
in_order <- function(data, time) data[order(data$.series, data[[time]]), ]

# The first observation of each trajectory, by `.series`.
starts_of <- function(data, time) {
  data <- in_order(data, time)
  data[!duplicated(data$.series), ]
}

check_state_column <- function(x, name) {
  if (is.character(x) || is.factor(x) || is.logical(x)) {
    abort("type_error", "'", name, "' is of class '", class(x)[1], "', not numbers.",
      remedy = "Name the columns that are states: states = c(...); or, if it tells trajectories apart, id = ."
    )
  }
  as_numbers(x, name, missing_allowed = TRUE)
}

# Where no column is called "id" and several may be states, one of them may tell the trajectories apart. One that looks
# like it, or times that do not go on, are asked about; else it is said how the data are taken.
ask_for_id <- function(data, time, columns = "states") {
  if (!is.data.frame(data) || length(time) != 1 || "id" %in% names(data) || !time %in% names(data)) return(invisible())
  others <- setdiff(names(data), time)
  if (length(others) < 2) return(invisible())
  times <- data[[time]]
  alike <- Filter(function(name) looks_like_id(data[[name]]), others)
  back <- is.numeric(times) && !anyNA(times) && any(diff(times) <= 0) && any(diff(times) > 0)
  if (!length(alike) && !back) {
    message("No column 'id': all rows are one trajectory of ", paste(others, collapse = ", "), ". id = NULL says so.")
    return(invisible())
  }
  abort("value_error", "There is no column 'id', and ",
    if (length(alike)) c("'", alike[1], "' may tell trajectories apart.") else "the times do not go on from row to row.",
    remedy = paste0(
      "Say id = ", if (length(alike)) paste0("\"", alike[1], "\""), " if it does, id = NULL if all rows are one ",
      "trajectory, and ", columns, " = c(...) if not all other columns are that."
    )
  )
}

# A function returns slopes without names: in which order, only the user can say where columns may be in another.
ask_for_order <- function(states, argument, func) {
  if (length(states) < 2) return(invisible())
  abort("value_error", "'", func, "' returns slopes of ", paste(states, collapse = ", "), ": in which order?",
    remedy = paste0("Name the states in the order in which it returns them: ", argument, " = c(",
      paste0("\"", states, "\"", collapse = ", "), "), or another.")
  )
}

# Text, levels, or whole numbers that are each there several times.
looks_like_id <- function(x) {
  if (is.character(x) || is.factor(x) || is.logical(x)) return(TRUE)
  is.numeric(x) && !anyNA(x) && all(x == round(x)) && all(table(x) > 1)
}
