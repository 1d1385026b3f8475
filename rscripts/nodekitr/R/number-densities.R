# Logarithms of densities as formulas of numbers that remember, with the arguments of R's own functions.

# x log(y), 0 where x is 0.
x_log_y <- function(x, y) {
  none <- rep_len(decided_by(x) == 0, max(length(x), length(y)))
  if (!any(none)) return(x * log(y))
  if (all(none)) return(0 * x)
  y <- y + 0 * value_of(x)
  y[none] <- 1
  x * log(y)
}

log_choose <- function(n, k) lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

LOG_DENSITIES <- list(
  dnorm = function(x, mean = 0, sd = 1) -((x - mean) / sd)^2 / 2 - log(sd) - log(2 * pi) / 2,
  dlnorm = function(x, meanlog = 0, sdlog = 1) {
    -((log(x) - meanlog) / sdlog)^2 / 2 - log(sdlog) - log(2 * pi) / 2 - log(x)
  },
  dexp = function(x, rate = 1) log(rate) - rate * x,
  dpois = function(x, lambda) x_log_y(x, lambda) - lambda - lgamma(x + 1),
  dbinom = function(x, size, prob) {
    log_choose(size, x) + x_log_y(x, prob) + x_log_y(size - x, 1 - prob)
  },
  dnbinom = function(x, size, prob, mu) {
    if (missing(prob)) prob <- size / (size + mu)
    lgamma(x + size) - lgamma(size) - lgamma(x + 1) + size * log(prob) + x_log_y(x, 1 - prob)
  },
  dgamma = function(x, shape, rate = 1, scale = 1 / rate) {
    (shape - 1) * log(x) - x / scale - shape * log(scale) - lgamma(shape)
  },
  dbeta = function(x, shape1, shape2) {
    (shape1 - 1) * log(x) + (shape2 - 1) * log(1 - x) + lgamma(shape1 + shape2) - lgamma(shape1) - lgamma(shape2)
  },
  dt = function(x, df) {
    lgamma((df + 1) / 2) - lgamma(df / 2) - log(df * pi) / 2 - (df + 1) / 2 * log(1 + x^2 / df)
  },
  dweibull = function(x, shape, scale = 1) {
    log(shape) - log(scale) + (shape - 1) * (log(x) - log(scale)) - (x / scale)^shape
  },
  dlogis = function(x, location = 0, scale = 1) {
    z <- (x - location) / scale
    -z - log(scale) - 2 * log1p(exp(-z))
  }
)

# The density that stands for R's own where an argument is a number that remembers.
density_of <- function(name) {
  own <- get(name, asNamespace("stats"))
  formula <- LOG_DENSITIES[[name]]
  function(..., log = FALSE) {
    given <- list(...)
    if (!any_number(given)) return(own(..., log = log))
    found <- formula(...)
    if (!log) found <- exp(found)
    # R's own value, which is exact in the tails and zero outside the support.
    relabelled(found, function(v) do.call(own, c(lapply(given, decided_by), log = log)))
  }
}

# Distribution functions by their densities; of the standard normal and logistic alone.
distribution_functions <- function() {
  list(
    pnorm = function(q, mean = 0, sd = 1, lower.tail = TRUE, log.p = FALSE) {
      if (!any_number(list(q, mean, sd))) return(stats::pnorm(q, mean, sd, lower.tail, log.p))
      z <- (q - mean) / sd
      v <- value_of(z)
      value <- stats::pnorm(v, lower.tail = lower.tail, log.p = log.p)
      slope <- exp(stats::dnorm(as.vector(v), log = TRUE) - if (log.p) as.vector(value) else 0)
      mapped(z, value, if (lower.tail) slope else -slope, if (lower.tail && !log.p) list("math", "pnorm"))
    },
    pexp = function(q, rate = 1, ...) {
      if (!any_number(list(q, rate)) || ...length()) return(stats::pexp(q, rate, ...))
      -expm1(-rate * extremes("pmax", `>=`, base::pmax, list(q, 0), FALSE))
    },
    plogis = function(q, location = 0, scale = 1, ...) {
      if (!any_number(list(q, location, scale)) || ...length()) return(stats::plogis(q, location, scale, ...))
      1 / (1 + exp(-(q - location) / scale))
    },
    qlogis = function(p, location = 0, scale = 1, ...) {
      if (!any_number(list(p, location, scale)) || ...length()) return(stats::qlogis(p, location, scale, ...))
      location + scale * (log(p) - log(1 - p))
    }
  )
}
