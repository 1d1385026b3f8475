# Arithmetic on numbers that remember: operators, mathematical functions, sums and extremes, matrices.

# The gradient by a value of length n that was recycled in a result of the length of g.
unrecycled <- function(g, n) {
  if (length(g) == n) g else if (n == 1) sum(g) else as.vector(rowsum(as.vector(g), rep_len(seq_len(n), length(g))))
}

# Zero has no slope as a base or an exponent, where the formula says NaN.
zero_where <- function(where, slopes) replace(slopes, rep_len(as.vector(where), length(slopes)), 0)

#' @export
Ops.nk_number <- function(e1, e2) {
  a <- value_of(e1)
  if (missing(e2)) {
    return(switch(.Generic,
      "-" = new_number(-a, list(e1), function(g) list(-g), list("math", "negative")), "+" = e1, "!" = !decided_by(e1)
    ))
  }
  b <- value_of(e2)
  value <- get(.Generic, baseenv())(a, b)
  if (.Generic %in% c("%%", "%/%")) { # where the quotient changes, they jump
    quotient <- a %/% b
    decided <- as_decided(quotient)
    value <- if (.Generic == "%%") value + b * (quotient - decided) else decided
  }
  first <- is_number(e1)
  second <- is_number(e2)
  # The gradients by a and by b, each computed where it is asked for.
  pull <- switch(.Generic,
    "+" = function(g) list(g, g),
    "-" = function(g) list(g, -g),
    "*" = function(g) list(if (first) weighted(g, as.vector(b)), if (second) weighted(g, as.vector(a))),
    "/" = function(g) list(
      if (first) weighted(g, 1 / as.vector(b)), if (second) weighted(g, -as.vector(value) / as.vector(b))
    ),
    "^" = function(g) list(
      if (first) weighted(g, zero_where(b == 0, as.vector(b) * as.vector(a)^(as.vector(b) - 1))),
      if (second) weighted(g, zero_where(a == 0, as.vector(value) * log(as.vector(a))))
    ),
    "%%" = function(g) list(g, if (second) weighted(g, -floor(as.vector(a) / as.vector(b)))),
    "%/%" = function(g) list(0 * g, 0 * g),
    { # comparisons and logic
      decided_by(if (is_number(e1)) e1 else e2)
      return(as_decided(value))
    }
  )
  step <- list("arithmetic", .Generic, e1, e2)
  n <- c(length(a), length(b))
  if (first && second) {
    if (n[1] == n[2]) return(new_number(value, list(e1, e2), pull, step))
    return(new_number(value, list(e1, e2), function(g) Map(unrecycled, pull(g), n), step))
  }
  which <- if (first) 1L else 2L
  new_number(value, list(if (first) e1 else e2), function(g) list(unrecycled(pull(g)[[which]], n[which])), step)
}

#' @export
Math.nk_number <- function(x, ...) {
  v <- value_of(x)
  if (.Generic == "log" && ...length()) return(log(x) / log(...elt(1)))
  if (.Generic %in% c("cumsum", "cumprod", "cummax", "cummin")) return(cumulated(.Generic, x))
  value <- do.call(.Generic, list(quote(v), ...)) # so that a warning names the function
  if (.Generic %in% c("sign", "floor", "ceiling", "trunc", "round")) value <- as_decided(value)
  slope <- switch(.Generic,
    abs = sign(v), sqrt = 0.5 / value, exp = value, expm1 = value + 1, log = 1 / v, log1p = 1 / (1 + v),
    log2 = 1 / (v * log(2)), log10 = 1 / (v * log(10)), cos = -sin(v), sin = cos(v), tan = 1 + value^2,
    cospi = -pi * sinpi(v), sinpi = pi * cospi(v), tanpi = pi * (1 + value^2), acos = -1 / sqrt(1 - v^2),
    asin = 1 / sqrt(1 - v^2), atan = 1 / (1 + v^2), cosh = sinh(v), sinh = cosh(v), tanh = 1 - value^2,
    acosh = 1 / sqrt(v^2 - 1), asinh = 1 / sqrt(v^2 + 1), atanh = 1 / (1 - v^2), gamma = value * digamma(v),
    lgamma = digamma(v), digamma = trigamma(v), trigamma = psigamma(v, 2),
    sign = , floor = , ceiling = , trunc = , round = , signif = 0 * v,
    abort_not_differentiable(paste0(.Generic, "()"))
  )
  mapped(x, value, as.vector(slope), if (!...length()) list("math", .Generic))
}

cumulated <- function(name, x) {
  v <- value_of(x)
  value <- get(name, baseenv())(v)
  n <- length(v)
  pull <- switch(name,
    cumsum = function(g) rev(cumsum(rev(g))),
    cumprod = function(g) { # by each factor: the products of the others, from it on
      vapply(seq_len(n), function(i) sum(g[i:n] * cumprod(replace(v, i, 1))[i:n]), 1)
    },
    function(g) {
      origin <- cummax(ifelse(value == v & !duplicated(value), seq_len(n), 0L))
      unrecycled_at(g, origin, n)
    }
  )
  new_number(value, list(x), function(g) list(pull(g)), list("math", name))
}

#' @export
Summary.nk_number <- function(..., na.rm = FALSE) summarised(.Generic, list(...), na.rm)

summarised <- function(name, xs, na.rm = FALSE) {
  x <- unlisted(xs)
  v <- as.vector(value_of(x))
  if (na.rm && anyNA(v)) {
    x <- x[!is.na(v)]
    v <- v[!is.na(v)]
  }
  n <- length(v)
  if (name %in% c("any", "all")) return(get(name, baseenv())(as.vector(decided_by(x))))
  if (name == "range") return(joined(list(summarised("min", list(x)), summarised("max", list(x)))))
  value <- get(name, baseenv())(v)
  pull <- switch(name,
    sum = function(g) rep(g, n),
    prod = function(g) g * vapply(seq_len(n), function(i) prod(v[-i]), 1),
    function(g) replace(numeric(n), match(value, v), g) # an extreme
  )
  new_number(value, list(x), function(g) list(pull(g)), list("summary", name))
}

#' @export
mean.nk_number <- function(x, trim = 0, na.rm = FALSE, ...) {
  if (trim != 0) abort_not_differentiable("mean() with 'trim'")
  n <- if (na.rm) sum(!is.na(value_of(x))) else length(value_of(x))
  summarised("sum", list(x), na.rm) / n
}

# Products of matrices, vectors being rows or columns as in R.
multiplied <- function(x, y) {
  a <- value_of(x)
  b <- value_of(y)
  value <- a %*% b
  A <- if (is.matrix(a)) a else matrix(a, nrow(value), length(a) / nrow(value))
  B <- if (is.matrix(b)) b else matrix(b, length(b) / ncol(value), ncol(value))
  which <- c(is_number(x), is_number(y))
  new_number(value, list(x, y)[which], function(g) {
    G <- matrix(g, nrow(value))
    list(if (which[1]) G %*% t(B), if (which[2]) t(A) %*% G)[which]
  }, list("product", dim(A), dim(B), x, y))
}

# The solution of a linear system, or an inverse.
solved_linear <- function(a, b) {
  A <- value_of(a)
  if (missing(b)) b <- diag(nrow(A))
  value <- solve(A, value_of(b))
  which <- c(is_number(a), is_number(b))
  new_number(value, list(a, b)[which], function(g) {
    back <- solve(t(A), matrix(g, nrow(A)))
    list(if (which[1]) -back %*% t(matrix(value, nrow(A))), if (which[2]) back)[which]
  }, list("solve", dim(A), a, b))
}

abort_not_differentiable <- function(what, why = NULL, call = user_call()) {
  abort("not_differentiable", what, " cannot be differentiated here", if (!is.null(why)) paste0(": ", why) else ".",
    remedy = UNDERSTOOD, call = call
  )
}
UNDERSTOOD <- paste0(
  "Write it with arithmetic, brackets, comparisons, exp(), log(), sqrt() and the like, sum(), mean(), max(), pmax(), ",
  "ifelse(), c(), matrix(), %*%, sapply(), dnorm() and other densities: see ?nk_gradient. Loop over places, ",
  "for (i in seq_along(y)), and compare numbers in conditions, if (x != 0). What depends on t alone may be anything."
)
