# Events and roots, in deSolve's words: list(data = ), list(func = , time = ), list(func = , root = TRUE).

# Everything that happens on the way: at which times, by which function, and which roots are watched.
as_events <- function(events, rootfunc, state, times, parms, ...) {
  shape <- shape_of(state)
  check_function(rootfunc, "rootfunc", optional = TRUE)
  plan <- list(times = times, rows = times, terminal = integer(), maxroot = 100)
  if (!is.null(rootfunc)) {
    plan$count <- length(rootfunc(times[1], shaped(state$values, shape), parms, ...))
    plan$root <- function(t, y) array(as.double(keeping_error(rootfunc(as.double(t), shaped(as.double(y), shape), parms, ...))))
  }
  if (is.null(events)) {
    plan$terminal <- seq_len(plan$count %||% 0)
    return(plan)
  }
  if (!is.list(events) || is.data.frame(events)) {
    abort("type_error", "'events' must be a list.", remedy = "For example list(data = ...) or list(func = , time = ).")
  }
  unknown <- setdiff(names(events), c("data", "func", "time", "root", "terminalroot", "maxroot", "ties"))
  if (length(unknown)) {
    abort("value_error", "'events' has an unknown element '", unknown[1], "'.",
      remedy = "Known: data, func, time, root, terminalroot, maxroot."
    )
  }
  if (isTRUE(events$root) && is.null(rootfunc)) {
    abort("value_error", "'events$root' is TRUE but there is no 'rootfunc'.", remedy = "Give rootfunc = function(t, y, parms).")
  }
  if (!is.null(events$data)) {
    table <- as_event_table(events$data, state, times)
    plan$times <- sort(unique(table$time))
    plan$change <- function(t, values) change_by_table(values, table[table$time == t, ])
  } else if (!is.null(events$func)) {
    check_function(events$func, "events$func")
    plan$times <- if (isTRUE(events$root)) numeric() else sort(unique(as_numbers(events$time, "events$time")))
    plan$change <- function(t, values) {
      after <- events$func(t, shaped(values, shape), parms, ...)
      if (!is.numeric(after) || length(after) != state$n) {
        abort("value_error", "'events$func' returned ", length(after), " values for ", state$n, " states.",
          remedy = "It must return the whole state, changed."
        )
      }
      as.double(after)
    }
  } else {
    plan$times <- numeric()
  }
  forward <- times[length(times)] >= times[1]
  plan$times <- plan$times[plan$times >= min(times) & plan$times <= max(times)]
  if (!forward) plan$times <- rev(plan$times)
  if (!all(plan$times %in% times)) {
    warn("Not all times of events are in 'times': they are included in the result.")
    plan$rows <- sort(unique(c(times, plan$times)), decreasing = !forward)
  }
  plan$terminal <- as.integer(events$terminalroot %||% if (!isTRUE(events$root)) seq_len(plan$count %||% 0))
  plan$maxroot <- events$maxroot %||% 100
  plan
}

as_event_table <- function(data, state, times) {
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

change_by_table <- function(values, changes) {
  for (i in seq_len(nrow(changes))) {
    at <- changes$state[i]
    values[at] <- switch(changes$kind[i],
      replace = changes$value[i], add = values[at] + changes$value[i], multiply = values[at] * changes$value[i]
    )
  }
  values
}

# Solve from event to event. The row at an event's time holds the state before it, as in deSolve.
solve_with_events <- function(slope, state, plan, stepping) {
  rows <- plan$rows
  values <- matrix(NA_real_, length(rows), state$n)
  values[1, ] <- state$values
  now <- rows[1]
  current <- if (now %in% plan$times && !is.null(plan$change)) plan$change(now, state$values) else state$values
  statistics <- list(steps = 0, nfe = 0, rejected = 0, order = NA)
  roots <- list()
  last <- 1
  while (last < length(rows)) {
    to_come <- which(rows %in% plan$times & seq_along(rows) > last)
    end <- if (length(to_come) && !is.null(plan$change)) to_come[1] else length(rows)
    span <- unique(c(now, rows[(last + 1):end]))
    piece <- from_python(bridge()$solve, slope, array(current), array(span),
      method = stepping$method, rtol = stepping$rtol, atol = stepping$atol, options = stepping$options, root = plan$root
    )
    statistics <- add_statistics(statistics, piece$statistics)
    root <- piece$root # NULL, or list(t, y, index)
    reached <- piece$values[-1, , drop = FALSE]
    filled <- last + seq_len(nrow(reached))
    values[filled, ] <- reached
    last <- last + nrow(reached)
    if (is.null(root)) {
      now <- rows[end]
      current <- if (now %in% plan$times && last < length(rows)) plan$change(now, values[last, ]) else values[last, ]
      next
    }
    roots <- c(roots, list(root))
    if (root$index %in% plan$terminal) break
    now <- root$t
    current <- plan$change(now, as.double(root$y))
  }
  ended_by <- if (length(roots) && root_ended(roots, plan)) seq_len(plan$count) == roots[[length(roots)]]$index
  roots <- utils::head(roots, plan$maxroot)
  kept <- seq_len(last)
  times <- rows[kept]
  values <- values[kept, , drop = FALSE]
  if (!is.null(ended_by)) {
    final <- roots[[length(roots)]]
    if (final$t != times[length(times)]) {
      times <- c(times, final$t)
      values <- rbind(values, as.double(final$y))
    }
  }
  list(
    times = times, values = values, statistics = statistics, ended_by = if (!is.null(ended_by)) as.integer(ended_by),
    troot = if (length(roots)) vapply(roots, function(r) r$t, 1),
    nroot = if (length(roots) && !is.null(plan$change)) length(roots),
    valroot = if (length(roots)) vapply(roots, function(r) as.double(r$y), numeric(state$n)),
    indroot = if (length(roots)) vapply(roots, function(r) as.integer(r$index), 1L)
  )
}

root_ended <- function(roots, plan) roots[[length(roots)]]$index %in% plan$terminal

add_statistics <- function(a, b) {
  counted <- c("steps", "nfe", "rejected")
  b[counted] <- Map(`+`, a[counted], b[counted])
  b
}
