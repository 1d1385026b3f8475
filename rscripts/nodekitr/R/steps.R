# deSolve's words for the steps - hini, hmin, hmax, tcrit, maxsteps - in the library's.

# What deSolve says by leaving out, by NULL and by zero, as numbers or NULL.
as_step <- function(x, name) {
  if (is.null(x)) return(NULL)
  if (is.numeric(x) && length(x) == 1 && identical(as.double(x), Inf)) return(Inf)
  value <- as_number(x, name)
  if (value < 0) abort("value_error", "'", name, "' is ", value, ".", remedy = "Give a number that is not negative.")
  value
}

# The longest step that is allowed where none is said: no event or forcing between two `times` is stepped over, as in
# deSolve. A default of its own for any solve of a function whose inputs may change with time.
longest_step <- function(hmax, times) {
  if (is.null(hmax)) return(if (length(times) > 1) max(abs(diff(times))) else Inf)
  hmax <- as_step(hmax, "hmax")
  if (hmax == 0) Inf else hmax
}

# The library's options for steps between `times`.
step_options <- function(method, options, hini, hmin, hmax, maxsteps, tcrit, times) {
  if (!is.list(options) || (length(options) && is.null(names(options)))) {
    abort("type_error", "'options' must be a named list.", remedy = "For example list(safety = 0.8).")
  }
  check_critical_time(tcrit, times)
  hini <- as_step(hini, "hini")
  hmin <- as_step(hmin, "hmin") %||% 0
  longest <- longest_step(hmax, times)
  if (identical(hini, Inf)) hini <- 0
  if (hmin > longest) {
    abort("value_error", "'hmin' is ", hmin, " and the longest step ", longest, ".", remedy = paste0(
      if (is.null(hmax)) "By default no step is longer than the largest difference of 'times'; ",
      "give hmax = ", hmin, " or more, or 0 for no limit."
    ))
  }
  ours <- if (is_adaptive(method)) {
    list(
      first_step = if (!is.null(hini) && hini > 0) min(hini, longest), min_step = if (hmin > 0) hmin,
      max_step = if (is.finite(longest)) longest, max_num_steps = most_steps(maxsteps, length(times))
    )
  } else if (!any(c("step_size", "grid_constructor") %in% names(options))) {
    size <- hini %||% if (is.null(hmax)) 0 else longest
    if (size > 0 && is.finite(size)) list(step_size = size)
  }
  utils::modifyList(Filter(Negate(is.null), as.list(ours)), options)
}

# `maxsteps` counts per element of `times`, on average, as in deSolve.
most_steps <- function(maxsteps, rows) {
  if (identical(as.double(maxsteps), Inf)) return(.Machine$integer.max)
  as.integer(min(as_count(maxsteps, "maxsteps") * rows, .Machine$integer.max))
}

# No method evaluates func behind the last of `times`, so that a critical time there, or later, needs nothing.
check_critical_time <- function(tcrit, times) {
  if (is.null(tcrit)) return()
  tcrit <- as_number(tcrit, "tcrit")
  last <- times[length(times)]
  if (if (last >= times[1]) tcrit < last else tcrit > last) {
    abort("value_error", "'tcrit' is ", format(tcrit), ", but the last of 'times' is ", format(last), ".",
      remedy = "The solution cannot go past tcrit: end 'times' there, or leave tcrit out."
    )
  }
}

# Where fixed steps of a size end: from each of `times` to the next, the last of them shorter, as in deSolve.
fixed_grid <- function(times, size) {
  pieces <- Map(function(from, to) {
    count <- max(1, ceiling(abs(to - from) / size * (1 - 1e-7)))
    c(from + sign(to - from) * size * seq_len(count - 1), to)
  }, times[-length(times)], times[-1])
  c(times[1], unlist(pieces))
}
