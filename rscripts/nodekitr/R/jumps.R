# Where the slopes of a function jump: there, how they depend on parameters is not all of a gradient, since when they jump
# depends on them too. The solver steps over it, so it is looked for between evaluations, and said.

# A value that decides between branches: noted, or replaced by what was decided elsewhere, while that is asked.
as_decided <- function(value) {
  watch <- session$decisions
  if (is.null(watch)) return(value)
  i <- length(watch$made) + 1
  imposed <- if (i <= length(watch$imposed)) watch$imposed[[i]]
  if (length(imposed) == length(value)) value[] <- imposed
  watch$made[[i]] <- as.vector(value)
  value
}

# Evaluate, and give what was decided on the way; `imposed` are decisions to take instead.
with_decisions <- function(expression, imposed = NULL) {
  outer <- session$decisions
  on.exit(session$decisions <- outer)
  session$decisions <- watch <- list2env(list(made = list(), imposed = imposed), parent = emptyenv())
  list(value = expression, made = watch$made)
}

# Looks for a jump between each evaluation and the one before; says so once. `slopes(t, y)` are the plain values of a
# function that is evaluated on numbers that remember.
jump_watcher <- function(slopes) {
  before <- NULL
  said <- FALSE
  function(t, y, made) {
    now <- list(t = t, y = y, made = made)
    if (!said && !is.null(before) && !identical(before$made, made)) {
      at <- jump_between(before, now, slopes)
      said <<- !is.null(at)
      if (said) {
        warn("The slopes of 'func' jump at t = ", format(at, digits = 3), ", where what it compares or rounds changes. ",
          "The gradient has no part of how the time of that depends on states and parameters.\nUse a smooth change, ",
          "for example plogis((x - threshold) / width), or differences of nk_ode().", class = "slope_jumps")
      }
    }
    before <<- now
  }
}

# When decisions change on the straight way from one point to another, if the slopes jump there; else NULL.
jump_between <- function(from, to, slopes) {
  point <- function(s) list(t = from$t + s * (to$t - from$t), y = from$y + s * (to$y - from$y))
  at <- function(s, imposed = NULL) with_decisions(slopes(point(s)$t, point(s)$y), imposed)
  low <- 0
  high <- 1
  while (high - low > 1e-9) {
    middle <- (low + high) / 2
    if (identical(at(middle)$made, from$made)) low <- middle else high <- middle
  }
  behind <- at(high)$value
  jump <- abs(behind - at(high, imposed = from$made)$value)
  if (isTRUE(max(jump) > 1e-6 * max(abs(behind), jump))) point(high)$t
}
