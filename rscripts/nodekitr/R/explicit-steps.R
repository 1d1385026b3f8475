# Explicit steps in R. Each call of an R function from Python costs more than most such functions do, so that the steps
# of explicit methods are taken here, by the library's coefficients and its control of steps (R/tableaus.R); a test
# holds them to the library's own, step by step. Only what goes well is done here: a problem that turns out to be stiff,
# a step that no size is small enough for, too many steps - the library solves all of these anew and says what is wrong.

# The name in TABLEAUS of a method whose steps are taken in R; NULL: the library takes them.
explicit_method <- function(method, options) {
  name <- if (method == "auto") "tsit5" else method
  tableau <- TABLEAUS[[name]]
  if (is.null(tableau)) return(NULL)
  known <- if (tableau$adaptive) c("first_step", "min_step", "max_step", "max_num_steps", "step_t", "jump_t") else "step_size"
  if (all(names(options) %in% known)) name
}

# Values at the `times` (rows) and what they took, in the form of the library's. Else what speaks for the library:
# "method", "stiff", or "failed".
solve_in_r <- function(slope, y, times, stepping) {
  name <- if (!is.null(slope)) explicit_method(stepping$method, stepping$options)
  if (is.null(name)) return("method")
  tableau <- TABLEAUS[[name]]
  steps <- if (tableau$adaptive) chosen_steps else given_steps
  heard <- list()
  give <- function() for (warning in heard) base::warning(warning)
  solution <- withCallingHandlers(steps(slope, y, times, tableau, stepping),
    warning = function(w) {
      if (!conditionMessage(w) %in% vapply(heard, conditionMessage, "")) heard <<- c(heard, list(w))
      invokeRestart("muffleWarning")
    },
    error = function(e) give()
  )
  if (is.list(solution)) give()
  solution
}

# Steps of a given size, or from each of the times to the next.
given_steps <- function(slope, y, times, tableau, stepping) {
  size <- stepping$options$step_size
  grid <- if (is.null(size)) times else fixed_grid(times, size)
  stages <- ncol(tableau$stages)
  values <- matrix(NA_real_, length(times), length(y))
  values[1L, ] <- y
  row <- 2L
  slopes <- matrix(0, length(y), stages)
  for (k in seq_along(grid)[-1L]) {
    length <- grid[k] - grid[k - 1L]
    moments <- tableau$nodes * grid[k] + (1 - tableau$nodes) * grid[k - 1L]
    slopes[, 1L] <- slope(moments[1L], y)
    for (i in seq_len(stages)[-1L]) {
      slopes[, i] <- slope(moments[i], y + length * (slopes %*% tableau$stages[, i]))
    }
    y <- y + length * (slopes %*% tableau$weights)
    if (grid[k] == times[row]) {
      values[row, ] <- y
      row <- row + 1L
    }
  }
  if (!all(is.finite(values))) return("failed")
  taken <- length(grid) - 1L
  list(values = values, statistics = list(steps = taken, nfe = stages * taken, rejected = 0L, order = tableau$order))
}

# Steps chosen by their errors.
chosen_steps <- function(slope, y, times, tableau, stepping) {
  limits <- stepping$options
  low <- limits$min_step %||% 0
  high <- limits$max_step %||% Inf
  most <- limits$max_num_steps %||% Inf
  rtol <- as.double(stepping$rtol)
  atol <- as.double(stepping$atol)
  positive <- all(atol > 0)
  allowed <- function(size) {
    scale <- size * rtol + atol
    if (positive) scale else pmax.int(scale, .Machine$double.xmin)
  }
  stages <- lapply(seq_len(ncol(tableau$stages)), function(i) tableau$stages[, i])
  last <- length(stages)
  later <- seq_len(last)[-1L]
  # A method's last two stages are both at the end of the step: how far apart their slopes are tells of stiffness.
  apart <- stages[[last]] - stages[[last - 1L]]
  watched <- stepping$watch || stepping$method == "auto"
  n <- length(y)
  t <- times[1L]
  end <- times[length(times)]
  sign <- if (end < t) -1 else 1
  jumps <- as.double(limits$jump_t)
  stops <- c(as.double(limits$step_t), jumps, end)
  if (length(stops) > 1L) stops <- sign * sort(sign * stops)
  # Where the slope jumps, it is asked next to that time, on the side of the step.
  jumps_at <- function(t) length(jumps) && t %in% jumps
  beside <- function(t, side) if (jumps_at(t)) t + side * max(abs(t) * .Machine$double.eps, 5e-324) else t
  values <- matrix(NA_real_, length(times), n)
  values[1L, ] <- y
  row <- 2L
  slopes <- matrix(0, n, last)
  slopes[, 1L] <- slope(beside(t, sign), y)
  if (!all(is.finite(slopes[, 1L]))) return("failed")
  if (min(abs(y) * rtol + atol) <= 0) return("method") # without a size of what is allowed, the first step has none
  size <- limits$first_step %||% first_step(slope, t, end, y, slopes[, 1L], tableau$exponent, allowed)
  evaluations <- if (is.null(limits$first_step)) 2L else 1L
  accepted <- rejected <- against <- 0L
  while (t != end) {
    size <- if (size < low) low else if (size > high) high else size
    # No step leaves a crumb before a stop: without the controller's margin the error is just tolerable.
    stop <- stops[sign * stops > sign * t][1L]
    cut <- abs(stop - t) <= min(size / CONTROL$safety, high)
    ahead <- if (cut) stop else t + sign * size
    length <- ahead - t
    if (length == 0 || accepted + rejected >= most) return("failed")
    moments <- tableau$nodes * beside(ahead, -sign) + (1 - tableau$nodes) * beside(t, sign)
    for (i in later) {
      stage <- y + length * (slopes %*% stages[[i]])
      slopes[, i] <- slope(moments[i], stage)
    }
    evaluations <- evaluations + last - 1L
    scale <- allowed(pmax.int(abs(y), abs(stage)))
    ratio <- abs(length) * rms(slopes %*% tableau$error / scale)
    least <- min(abs(length), size) <= low
    free <- abs(length) * step_factor(ratio, tableau$exponent, least)
    if (!is.finite(ratio) || (ratio > 1 && !least)) {
      rejected <- rejected + 1L
      if (least || free <= 16 * .Machine$double.eps * abs(t) || !all(is.finite(slopes[, 1L]))) return("failed")
      slopes[, later] <- 0 # what is not finite would spoil the next sums
      size <- free
      next
    }
    # A step that was cut short says little about the sizes to come.
    size <- if (cut) max(free, size) else free
    while (sign * times[row] < sign * ahead) {
      inside <- tableau$inside %*% ((times[row] - t) / length)^seq_len(ncol(tableau$inside))
      values[row, ] <- y + length * (slopes %*% inside)
      row <- row + 1L
    }
    if (times[row] == ahead) {
      values[row, ] <- stage
      row <- row + 1L
    }
    if (watched) {
      stiffness <- rms((slopes[, last] - slopes[, last - 1L]) / scale) / rms(slopes %*% apart / scale)
      against <- if (is.finite(stiffness) && stiffness > CONTROL$stable) against + 1L else max(against - 1L, 0L)
      if (against >= CONTROL$patience) return("stiff")
    }
    t <- ahead
    y <- stage
    slopes[, 1L] <- slopes[, last]
    accepted <- accepted + 1L
    if (t != end && jumps_at(t)) {
      slopes[, 1L] <- slope(beside(t, sign), y)
      evaluations <- evaluations + 1L
      against <- 0L
    }
  }
  list(values = values, statistics = list(
    steps = accepted, nfe = evaluations, rejected = rejected, order = tableau$order
  ))
}

rms <- function(x) sqrt(sum(x * x) / length(x))

# By which factor the size changes after a step with an error of so many times what is allowed.
step_factor <- function(ratio, exponent, least) {
  if (!is.finite(ratio)) return(CONTROL$dfactor)
  factor <- CONTROL$safety * max(ratio, 1e-10)^(-1 / exponent)
  min(max(factor, CONTROL$dfactor), if (ratio > 1 && !least) 1 else CONTROL$ifactor)
}

# A first step from the sizes of y, y' and y'' (Hairer, Norsett & Wanner I, section II.4), one evaluation.
first_step <- function(slope, t, end, y, now, exponent, allowed) {
  scale <- allowed(abs(y))
  span <- abs(end - t)
  d0 <- rms(y / scale)
  d1 <- rms(now / scale)
  h0 <- min(if (d0 >= 1e-5 && d1 >= 1e-5 && is.finite(d1)) 0.01 * d0 / d1 else 1e-6, span)
  signed <- if (end > t) h0 else -h0
  largest <- max(d1, rms((slope(t + signed, y + signed * now) - now) / scale) / h0)
  if (!is.finite(largest)) return(h0)
  min(100 * h0, if (largest <= 1e-15) max(h0 * 1e-3, 1e-6) else largest^(-1 / exponent), span)
}
