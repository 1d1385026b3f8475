# What is asked of a number that remembers and is no result to differentiate: its size, its names, whether it is missing.

plainly <- function(f) function(x, ...) f(value_of(x), ...)
by_value <- function(f) function(x, ...) f(decided_by(x), ...)

#' @export
length.nk_number <- plainly(length)
#' @export
dim.nk_number <- plainly(dim)
#' @export
dimnames.nk_number <- plainly(dimnames)
#' @export
names.nk_number <- plainly(names)
#' @export
is.na.nk_number <- by_value(is.na)
#' @export
is.nan.nk_number <- by_value(is.nan)
#' @export
is.finite.nk_number <- by_value(is.finite)
#' @export
is.infinite.nk_number <- by_value(is.infinite)
#' @export
anyNA.nk_number <- function(x, recursive = FALSE) anyNA(decided_by(x))
#' @export
is.numeric.nk_number <- function(x) TRUE
#' @export
is.matrix.nk_number <- plainly(is.matrix)
#' @export
is.array.nk_number <- plainly(is.array)
#' @export
as.logical.nk_number <- function(x, ...) as_decided(as.logical(decided_by(x), ...))
#' @export
as.integer.nk_number <- function(x, ...) as_decided(as.integer(decided_by(x), ...))
#' @export
as.character.nk_number <- by_value(as.character)
#' @export
format.nk_number <- by_value(format)
#' @export
xtfrm.nk_number <- by_value(as.vector)
#' @export
print.nk_number <- function(x, ...) {
  print(value_of(x), ...)
  invisible(x)
}
