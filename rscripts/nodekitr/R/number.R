# Numbers that remember how they were computed, so that a result can be differentiated: the reverse mode of automatic
# differentiation (Griewank and Walther, Evaluating Derivatives, 2008), on vectors, within R.

# A number is an environment, for two reasons: what was computed from it finds it again, and a function of R that does
# not know it fails where a list would be taken apart in silence. Its `value` is a plain vector or array; `pull` takes
# the gradient by this value and returns those by the values of its `parents`. `step` says how it was computed, for
# as_program(): evaluated only there.
new_number <- function(value, parents = NULL, pull = NULL, step = NULL) {
  x <- new.env(hash = FALSE, parent = emptyenv())
  x$value <- value
  x$parents <- parents
  x$pull <- pull
  x$before <- session$newest
  if (!is.null(session$tracing)) x$step <- step
  class(x) <- "nk_number"
  session$newest <- x
  x
}

is_number <- function(x) inherits(x, "nk_number")
value_of <- function(x) if (is_number(x)) .subset2(x, "value") else x

# The value, where what is done next depends on it: a program of the same steps would not hold for other values.
decided_by <- function(x) {
  if (is_number(x) && !is.null(session$tracing)) session$tracing$decided <- TRUE
  value_of(x)
}
any_number <- function(xs) {
  for (x in xs) if (inherits(x, "nk_number")) return(TRUE)
  FALSE
}

# A function of one number, with what its gradient is multiplied by.
mapped <- function(x, value, slope, step = NULL) {
  new_number(value, list(x), function(g) list(weighted(g, slope)), step)
}

# A gradient times slopes. What has no weight has no gradient, though its slope be infinite or missing: the branch that
# ifelse() left out, a value that na.rm dropped.
weighted <- function(g, slope) {
  found <- g * slope
  if (anyNA(found)) found[rep_len(g == 0, length(found))] <- 0
  found
}

# Run an expression on numbers of its own, which are forgotten behind it.
recorded <- function(expression) {
  outer <- session$newest
  on.exit(session$newest <- outer)
  session$newest <- NULL
  expression
}

# The gradients by each of `inputs` of what was computed: of each of `outputs`, weighted by `weights`. Within recorded().
pull_back <- function(outputs, weights, inputs) {
  for (i in seq_along(outputs)) if (is_number(outputs[[i]])) add_gradient(outputs[[i]], weights[[i]])
  x <- session$newest
  while (!is.null(x)) {
    g <- .subset2(x, "gradient")
    pull <- .subset2(x, "pull")
    if (!is.null(g) && !is.null(pull)) {
      parts <- pull(g)
      parents <- .subset2(x, "parents")
      for (i in seq_along(parents)) if (!is.null(parts[[i]])) add_gradient(parents[[i]], parts[[i]])
    }
    x <- .subset2(x, "before")
  }
  lapply(inputs, function(x) .subset2(x, "gradient") %||% numeric(length(.subset2(x, "value"))))
}

add_gradient <- function(x, g) {
  g <- as.vector(g)
  before <- .subset2(x, "gradient")
  assign("gradient", if (is.null(before)) g else before + g, envir = x)
}

# Numeric values within a vector or a list, whose other entries stay: as numbers, and put back in its form. Functions
# among them are made differentiable().
as_numbers_within <- function(x) {
  leaves <- list()
  walk <- function(x) {
    if (is.function(x)) return(differentiable(x))
    if (is.list(x)) {
      x[] <- lapply(x, walk)
      return(if (is.data.frame(x)) as.list(x) else x)
    }
    if (!is.numeric(x) || is.object(x)) return(x)
    leaves[[length(leaves) + 1]] <<- new_number(x)
    leaves[[length(leaves)]]
  }
  list(form = walk(x), leaves = leaves)
}

# How many numbers there are within x, and x with these numbers: a vector, or a list with those of its numeric entries.
count_numbers <- function(x) {
  if (is.list(x)) sum(vapply(x, count_numbers, 1)) else if (is.numeric(x) && !is.object(x)) length(x) else 0
}

with_numbers <- function(x, values, drop_others = FALSE) {
  used <- 0
  walk <- function(x) {
    if (is.list(x)) {
      if (drop_others) x <- Filter(function(entry) count_numbers(entry) > 0, as.list(x))
      x[] <- lapply(x, walk)
      return(x)
    }
    if (!is.numeric(x) || is.object(x)) return(x)
    x[] <- values[used + seq_along(x)]
    used <<- used + length(x)
    x
  }
  walk(x)
}
