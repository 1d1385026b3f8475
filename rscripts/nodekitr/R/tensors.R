# R functions on PyTorch tensors: a model written for deSolve, differentiated.

#' Gradients through a solution
#'
#' The derivative of a number computed from a solution with respect to the initial state and the parameters, exact
#' to the rounding of the solve. For fitting with [stats::optim()], for sensitivities, for optimal control.
#'
#' Your functions compute on PyTorch tensors instead of numbers. What they see:
#' - `func(t, y, parms)`: with named `y`, `y` is a named list with one tensor a state, so that deSolve's idiom
#'   `with(as.list(c(y, parms)), ...)` works as it stands; without names it is one tensor. Numeric `parms` become
#'   tensors too: a named vector a list with one for each element, a list one for each entry; other kinds stay.
#' - `loss(out)`: `out` is a named list of tensors over `times`, one a state (without names: a matrix of them).
#'   It returns one number.
#'
#' `+ - * / ^ %% %/%`, comparisons, `exp log log2 log10 log1p expm1 sqrt abs sin cos tan asin acos atan sinh cosh
#' tanh floor ceiling round sign`, `sum mean min max prod` work on tensors; numbers and arrays of R mix with them.
#' Brackets mean what they do in R: places are counted from 1, negative ones leave out, `x[i] <- value` makes a changed
#' copy. `as.numeric()` gives a tensor's values, without gradient. All else is reached by the tensor's own methods
#' (`y$clamp(min = 0)`).
#'
#' @inheritParams nk_ode
#' @param y initial state, a numeric vector.
#' @param parms parameters: a named numeric vector, or a list.
#' @param loss function of the solution that returns one number.
#' @param gradient how the solve is differentiated: `"checkpoint"`, `"backprop"`, `"adjoint"`, or another of the
#'   library's.
#' @param ... further arguments for `func`.
#' @return A list: `value`, the loss; `y` and `parms`, the gradients, in the shape of what you gave.
#' @examples
#' decay <- function(t, y, parms) with(as.list(c(y, parms)), list(c(-rate * amount)))
#' if (nk_available()) {
#'   # d/d(rate) of 10 exp(-2 rate) at rate = 0.5 is -20 exp(-1)
#'   g <- nk_gradient(c(amount = 10), c(0, 2), decay, c(rate = 0.5),
#'     loss = function(out) out$amount[-1], rtol = 1e-9, atol = 1e-9)
#'   c(g$parms, expected = -20 * exp(-1))
#' }
#' @export
nk_gradient <- function(y, times, func, parms = NULL, loss, method = "dopri5", rtol = 1e-6, atol = 1e-6, ...,
                        gradient = "checkpoint", options = list()) {
  state <- as_state(y)
  times <- as_times(times)
  check_function(func, "func")
  check_function(loss, "loss")
  tensors <- as_tensors(parms)
  slope <- function(t, y) called_back(func(t, named_states(y, state), tensors$parms, ...))[[1L]]
  loss_of <- function(out) called_back(loss(named_states(out, state)))
  result <- from_python(bridge()$gradient, slope, loss_of, array(state$values, state$dim %||% state$n), array(times),
    unname(tensors$leaves), whole = is.null(state$names), method = as_method(method),
    rtol = as_tolerance(rtol, "rtol", state$n), atol = as_tolerance(atol, "atol", state$n),
    options = options, gradient = gradient
  )
  list(
    value = result$value, y = shaped(as.double(result$y), shape_of(state)), parms = tensors$relist(result$leaves)
  )
}

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

# The derivative on tensors for nk_ode(tensors = TRUE).
tensor_slope <- function(func, state, parms, ...) {
  entries <- as_tensors(parms)$parms
  function(t, y) called_back(func(t, named_states(y, state), entries, ...))[[1L]]
}

#' Arithmetic on PyTorch tensors
#'
#' R's operators, functions and brackets for tensors, for use in [nk_gradient()] and `nk_ode(tensors = TRUE)`. Numbers
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
