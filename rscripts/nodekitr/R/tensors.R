# R functions on PyTorch tensors, for nk_ode(tensors = TRUE).

# Numeric parameters as tensors that ask for gradients; `relist` puts gradients where the parameters were.
as_tensors <- function(parms) {
  entries <- as.list(parms)
  numbers <- Filter(is.numeric, entries)
  leaves <- lapply(numbers, function(x) bridge()$parameter(array_of(x)))
  entries[vapply(entries, is.numeric, logical(1))] <- leaves
  list(parms = entries, leaves = leaves, relist = function(gradients) {
    values <- Map(function(x, gradient) replace(x, TRUE, as.double(gradient)), numbers, gradients)
    if (is.list(parms) || is.null(parms)) values else unlist(values)
  })
}

# Numbers as Python should see them: a scalar, or an array of the same shape.
array_of <- function(x) {
  if (is.null(dim(x))) if (length(x) == 1) as.double(x) else array(as.double(x)) else array(as.double(x), dim(x))
}

named_states <- function(y, state) if (is.null(state$names)) y else stats::setNames(y, state$names)

# The derivative on tensors for nk_ode(tensors = TRUE), as as_derivative() gives it.
tensor_derivative <- function(func, state, shape, t0, parms, ...) {
  entries <- as_tensors(parms)$parms
  named <- function(y) if (is.null(shape$names)) y else stats::setNames(y, shape$names)
  on_tensors <- function(t, y) func(t, named(y), entries, ...)
  as_state_tensors <- function(values) {
    values <- bridge()$parameter(array(values, state$dim %||% state$n))
    if (is.null(shape$names)) values else lapply(seq_len(state$n), function(i) values[i])
  }
  further <- function(t, values) plain_values(on_tensors(t, as_state_tensors(values))[-1L])
  more <- length(on_tensors(t0, as_state_tensors(state$values))) > 1
  list(
    slope = bridge()$TensorDerivative(function(t, y) called_back(on_tensors(t, y))[[1L]], is.null(shape$names)),
    further = function() if (more) further
  )
}

# Tensors within a list as numbers.
plain_values <- function(x) {
  if (inherits(x, "torch.Tensor")) return(as.double(x))
  if (is.list(x)) lapply(x, plain_values) else x
}

#' Arithmetic on PyTorch tensors
#'
#' R's operators, functions and brackets for tensors, for use in `nk_ode(tensors = TRUE)`. Numbers
#' of R take the tensor's precision. While this package is loaded, brackets count from 1 on every PyTorch tensor;
#' [reticulate::py_get_item()] counts as Python does.
#' @param e1,e2,x a tensor, or numbers.
#' @param ... further tensors; `digits` of `round` has no meaning here.
#' @param na.rm must be `FALSE`.
#' @param drop whether dimensions of one element are dropped.
#' @param value a tensor, or numbers.
#' @return A tensor; `as.double()` gives numbers.
#' @name tensor_arithmetic
#' @keywords internal
#' @examples
#' if (nk_available()) {
#'   x <- reticulate::import("torch")$tensor(c(1, 4, 9))
#'   as.numeric(sqrt(x) + 1)
#'   as.numeric(x[-1])
#' }
NULL

#' @rdname tensor_arithmetic
#' @export
Ops.torch.Tensor <- function(e1, e2) {
  bridge()$operate(.Generic, operand(e1), if (!missing(e2)) operand(e2))
}

#' @rdname tensor_arithmetic
#' @export
Math.torch.Tensor <- function(x, ...) bridge()$apply(.Generic, x)

#' @rdname tensor_arithmetic
#' @export
Summary.torch.Tensor <- function(..., na.rm = FALSE) {
  total <- lapply(list(...), function(x) bridge()$apply(.Generic, x))
  if (length(total) == 1) return(total[[1]])
  pair <- c(sum = "+", prod = "*", max = "max", min = "min")[[.Generic]]
  Reduce(function(a, b) bridge()$operate(pair, a, b), total)
}

#' @rdname tensor_arithmetic
#' @export
mean.torch.Tensor <- function(x, ...) bridge()$apply("mean", x)

#' @rdname tensor_arithmetic
#' @export
as.double.torch.Tensor <- function(x, ...) as.double(bridge()$values(x))

#' @rdname tensor_arithmetic
#' @export
`[.torch.Tensor` <- function(x, ..., drop = TRUE) {
  given <- given_places(...)
  if (all(vapply(given, is.null, NA))) return(x)
  if (length(given) == 1 && length(bridge()$shape(x)) != 1) x <- bridge()$flat(x)
  bridge()$pick(x, as_places(given, x), drop)
}

#' @rdname tensor_arithmetic
#' @export
`[[.torch.Tensor` <- function(x, ...) x[...]

#' @rdname tensor_arithmetic
#' @export
`[<-.torch.Tensor` <- function(x, ..., value) bridge()$put(x, as_places(given_places(...), x), operand(value))

#' @rdname tensor_arithmetic
#' @export
`[[<-.torch.Tensor` <- `[<-.torch.Tensor`

# What stands between the brackets; NULL where nothing does.
given_places <- function(...) {
  quoted <- eval(substitute(alist(...)))
  lapply(seq_along(quoted), function(i) if (!identical(quoted[[i]], quote(expr = ))) ...elt(i)) # nolint: spaces_inside_linter.
}

# Places as R understands them, counted from 0, for each dimension of a tensor.
as_places <- function(given, x) {
  sizes <- as.integer(bridge()$shape(x))
  if (!length(given)) given <- vector("list", length(sizes))
  if (length(given) != length(sizes)) {
    abort("value_error", "There are ", length(given), " places for a tensor of ", length(sizes), " dimensions.",
      remedy = "Give one for each, as for an array."
    )
  }
  Map(function(place, size) {
    if (is.null(place)) return(NULL)
    if (inherits(place, "torch.Tensor")) place <- as.vector(bridge()$values(place))
    found <- seq_len(size)[place]
    if (anyNA(found)) {
      abort("value_error", "There is no place ", place[is.na(found)][1], " in a dimension of ", size, ".",
        remedy = "Places are counted from 1."
      )
    }
    array(found - 1L)
  }, given, sizes)
}

operand <- function(x) if (is.numeric(x)) array_of(x) else x
