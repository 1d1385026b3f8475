# Events and roots, in deSolve's words: list(data = ), list(func = , time = ), list(func = , root = TRUE).

# Everything that happens on the way: at which `times` the state is changed by `change`, which `roots` are watched,
# and the `rows` of the result, which the times of events are among.
as_events <- function(events, rootfunc, state, times, parms, ynames, ...) {
  shape <- shape_of(state, ynames)
  plan <- list(rows = times, times = numeric(), maxroot = events$maxroot %||% 100)
  check_events(events, rootfunc)
  if (!is.null(events$data)) {
    table <- as_event_table(events$data, state)
    table$time <- snapped(table$time, times)
    plan$times <- table$time
    plan$change <- function(t, values) change_by_table(values, table, which(table$time == t))
  } else if (!is.null(events$func)) {
    if (!isTRUE(events$root)) plan$times <- snapped(as_numbers(events$time, "events$time"), times)
    plan$change <- function(t, values) {
      after <- events$func(t, shaped(as.double(values), shape), parms, ...)
      if (!is.numeric(after) || length(after) != state$n) {
        abort("value_error", "'events$func' returned ", if (!is.numeric(after)) paste("a value of class", class(after)[1]) else
          paste(length(after), "values"), " for ", state$n, " states.",
          remedy = "It must return the whole state, changed, as a vector of numbers."
        )
      }
      as.double(after)
    }
  }
  if (!is.null(rootfunc)) {
    root <- function(t, y) called_back(array(as.double(rootfunc(t, shaped(as.double(y), shape), parms, ...))))
    count <- length(root(times[1], state$values))
    terminal <- if (isTRUE(events$root)) events$terminalroot else seq_len(count)
    plan$roots <- list(
      root = root, count = count, terminal = as.list(as.integer(terminal) - 1L),
      change = if (isTRUE(events$root) && !is.null(plan$change)) function(t, y) called_back(array(plan$change(t, y)))
    )
  }
  plan$times <- plan$times[plan$times >= min(times) & plan$times <= max(times)]
  if (!all(plan$times %in% times)) {
    warn("Not all times of events are in 'times': they are included in the result.", class = "event_times")
    plan$rows <- sort(unique(c(times, plan$times)), decreasing = times[length(times)] < times[1])
  }
  plan
}

# Times that differ only by rounding from one of `to`, or from each other, as that one: 0.3 is seq(0, 1, by = 0.1)[4].
snapped <- function(x, to) {
  same <- function(a, b) abs(a - b) <= 1e-12 * pmax(abs(a), abs(b))
  onto <- function(x, known) {
    place <- findInterval(x, known)
    before <- known[pmax(place, 1)]
    after <- known[pmin(place + 1, length(known))]
    nearest <- ifelse(abs(after - x) < abs(before - x), after, before)
    ifelse(same(x, nearest), nearest, x)
  }
  x <- onto(x, sort(to))
  apart <- sort(unique(x))
  onto(x, apart[c(TRUE, !same(apart[-1], apart[-length(apart)]))])
}

check_events <- function(events, rootfunc) {
  check_function(rootfunc, "rootfunc", optional = TRUE)
  if (is.null(events)) return(invisible())
  if (!is.list(events) || is.data.frame(events)) {
    abort("type_error", "'events' must be a list.", remedy = "For example list(data = ...) or list(func = , time = ).")
  }
  known <- c("data", "func", "time", "root", "terminalroot", "maxroot", "ties")
  unknown <- setdiff(names(events), known)
  if (length(unknown)) {
    abort("value_error", "'events' has an unknown element '", unknown[1], "'.",
      remedy = paste0("Known: ", paste(known, collapse = ", "), ".")
    )
  }
  if (!is.null(events$func)) check_function(events$func, "events$func")
  if (!is.null(events$func) && !is.null(events$data)) {
    abort("value_error", "'events' has both data and func.",
      remedy = "Make the changes of the table in func, with all times in events$time."
    )
  }
  if (isTRUE(events$root) && is.null(rootfunc)) {
    abort("value_error", "'events$root' is TRUE but there is no 'rootfunc'.",
      remedy = "Give rootfunc = function(t, y, parms)."
    )
  }
}

as_event_table <- function(data, state) {
  data <- as.data.frame(data)
  missing <- setdiff(c("var", "time", "value"), names(data))
  if (length(missing)) {
    abort("value_error", "'events$data' has no column '", missing[1], "'.",
      remedy = "It needs var, time, value and, if not all replace the value, method."
    )
  }
  which_state <- if (is.numeric(data$var)) data$var else match(as.character(data$var), state$names)
  bad <- which(is.na(which_state) | !which_state %in% seq_len(state$n))
  if (length(bad)) {
    abort("value_error", "'events$data' changes '", data$var[bad[1]], "', which is no state.",
      remedy = paste0("States: ", paste(state$names %||% seq_len(state$n), collapse = ", "), ".")
    )
  }
  kinds <- c("replace", "add", "multiply")
  method <- data$method %||% rep("replace", nrow(data))
  kind <- if (is.numeric(method)) kinds[method] else kinds[charmatch(as.character(method), kinds)]
  if (anyNA(kind)) {
    abort("value_error", "'events$data' has an unknown method '", method[is.na(kind)][1], "'.",
      remedy = "Known: replace, add, multiply."
    )
  }
  data.frame(
    state = as.integer(which_state), time = as_numbers(data$time, "events$data$time"),
    value = as_numbers(data$value, "events$data$value"), kind = kind
  )
}

# The rows `at` of a table of events, applied in turn.
change_by_table <- function(values, table, at) {
  for (i in at) {
    state <- table$state[i]
    value <- table$value[i]
    values[state] <- switch(table$kind[i], replace = value, add = values[state] + value, multiply = values[state] * value)
  }
  values
}

# Solve from event to event. The row at an event's time holds the state before it, as in deSolve.
solve_with_events <- function(derivative, state, plan, stepping, parms = NULL) {
  rows <- plan$rows
  changes <- rows %in% plan$times
  ends <- c(which(changes), length(rows))
  change_at <- function(row, values) if (changes[row]) plan$change(rows[row], values) else values
  values <- matrix(NA_real_, length(rows), state$n)
  values[1, ] <- state$values
  current <- change_at(1, state$values)
  statistics <- list(steps = 0, nfe = 0, rejected = 0, order = NA)
  roots <- list(t = numeric(), y = NULL, index = integer(), terminated = FALSE)
  last <- 1
  failure <- NULL
  while (last < length(rows) && !roots$terminated && is.null(failure)) {
    end <- ends[ends > last][1]
    between <- rows[last:end]
    piece <- if (is.null(plan$roots)) solve_in_r(derivative$in_r, current, between, stepping)
    if (identical(piece, "failed") && isTRUE(stepping$brief)) abort("solve_failed", "There is no solution within the limits.")
    if (!is.list(piece)) {
      piece <- from_python(bridge()$solve, derivative$slope, array(current), array(between),
        method = stepping$method, rtol = stepping$rtol, atol = stepping$atol,
        options = options_between(between, stepping), roots = plan$roots, watch = stepping$watch,
        explain = explain_failure(state, rows, stepping$method, parms)
      )
    }
    failure <- piece$failure
    statistics <- add_statistics(statistics, piece$statistics)
    roots <- add_roots(roots, piece$roots)
    reached <- piece$values[-1, , drop = FALSE]
    values[last + seq_len(nrow(reached)), ] <- reached
    last <- last + nrow(reached)
    current <- if (last == end && end < length(rows) && is.null(failure)) change_at(end, values[end, ])
  }
  times <- rows[seq_len(last)]
  values <- values[seq_len(last), , drop = FALSE]
  if (roots$terminated && utils::tail(roots$t, 1) != times[last]) {
    times <- c(times, utils::tail(roots$t, 1))
    values <- rbind(values, roots$y[nrow(roots$y), ])
  }
  list(times = times, values = values, statistics = statistics, roots = root_attributes(roots, plan), failure = failure)
}

# The options of a solve between some of the rows: fixed steps of a size end at each of them.
options_between <- function(rows, stepping) {
  size <- stepping$options$step_size
  if (is.null(size) || is_adaptive(stepping$method)) return(stepping$options)
  c(stepping$options[names(stepping$options) != "step_size"], list(grid = array(fixed_grid(rows, size))))
}

add_statistics <- function(a, b) {
  counted <- c("steps", "nfe", "rejected")
  b[counted] <- Map(`+`, a[counted], b[counted])
  b
}

add_roots <- function(a, b) {
  if (is.null(b)) return(a)
  list(
    t = c(a$t, b$t), y = rbind(a$y, b$y), index = c(a$index, as.integer(b$index) + 1L), terminated = b$terminated
  )
}

# deSolve's attributes for roots: where they were found, which they were, the states there (as columns).
root_attributes <- function(roots, plan) {
  kept <- utils::head(which(!duplicated(roots$t)), plan$maxroot) # several roots at one time are one row, as in deSolve
  found <- if (length(kept)) {
    list(troot = as.vector(roots$t)[kept], indroot = roots$index[kept], valroot = t(roots$y[kept, , drop = FALSE]))
  }
  if (length(kept) && !is.null(plan$change)) found$nroot <- length(kept)
  if (roots$terminated) {
    last <- roots$index[roots$t == utils::tail(roots$t, 1)]
    found$iroot <- as.integer(seq_len(plan$roots$count) %in% last)
  }
  found
}
