# Functions of R that make arrays, or go through them, for numbers that remember.

array_substitutes <- function() {
  list(
    matrix = function(data = NA, nrow = 1, ncol = 1, byrow = FALSE, dimnames = NULL) {
      given <- c(if (!missing(nrow)) list(nrow = decided_by(nrow)), if (!missing(ncol)) list(ncol = decided_by(ncol)))
      made <- function(x) do.call(base::matrix, c(list(x), given, list(byrow = byrow, dimnames = dimnames)))
      if (is_number(data)) rearranged(data, made) else made(data)
    },
    array = function(data = NA, dim = length(data), dimnames = NULL) {
      dim <- decided_by(dim)
      made <- function(x) base::array(x, dim, dimnames)
      if (is_number(data)) rearranged(data, made) else made(data)
    },
    diag = function(x = 1, ...) {
      if (!is_number(x)) return(do.call(base::diag, c(list(x), lapply(list(...), value_of))))
      if (length(x) == 1 && is.null(dim(x))) {
        if (!...length()) return(base::diag(decided_by(x))) # a size
        x <- x[c(1, 1)][seq_len(decided_by(..1)) * 0 + 1]
      }
      rearranged(x, base::diag)
    },
    `diag<-` = function(x, value) {
      if (!any_number(list(x, value))) return(base::`diag<-`(x, value))
      i <- seq_len(min(dim(x)))
      assigned(base::`[<-`, x, base::cbind(i, i), value = value)
    },
    cbind = function(...) {
      if (any_number(list(...))) bound(base::cbind, labelled(list(...), substitute(list(...)))) else base::cbind(...)
    },
    rbind = function(...) {
      if (any_number(list(...))) bound(base::rbind, labelled(list(...), substitute(list(...)))) else base::rbind(...)
    },
    outer = function(X, Y, FUN = "*", ...) {
      if (!any_number(list(X, Y))) return(base::outer(X, Y, FUN, ...))
      f <- match.fun(FUN)
      n <- c(length(X), length(Y))
      found <- f(X[rep(seq_len(n[1]), n[2])], Y[rep(seq_len(n[2]), each = n[1])], ...)
      labels <- list(names(X), names(Y))
      rearranged(found, function(places) {
        base::matrix(places, n[1], n[2], dimnames = if (length(unlist(labels))) labels)
      })
    },
    `%o%` = function(X, Y) array_substitutes()$outer(X, Y),
    rowSums = row_sums(base::rowSums, 1, sums = TRUE), colSums = row_sums(base::colSums, 2, sums = TRUE),
    rowMeans = row_sums(base::rowMeans, 1, sums = FALSE), colMeans = row_sums(base::colMeans, 2, sums = FALSE)
  )
}

# Vectors that were given as variables, under the names of these, as cbind() and rbind() label them.
labelled <- function(xs, call) {
  names <- names(xs) %||% character(length(xs))
  for (i in which(names == "")) {
    if (is.symbol(call[[i + 1]]) && is.null(dim(xs[[i]]))) names[i] <- as.character(call[[i + 1]])
  }
  stats::setNames(xs, names)
}

# Sums or means of the rows or columns of a matrix.
row_sums <- function(own, margin, sums) {
  function(x, na.rm = FALSE, dims = 1) {
    if (!is_number(x)) return(own(x, na.rm, dims))
    if (dims != 1 || length(dim(x)) != 2) abort_not_differentiable("sums over more than one dimension")
    v <- value_of(x)
    if (na.rm && anyNA(v)) abort_not_differentiable("sums of rows or columns with na.rm = TRUE")
    n <- dim(v)
    ones <- rep(1, n[3 - margin])
    total <- if (margin == 1) multiplied(x, ones) else multiplied(matrix(ones, 1), x)
    total <- relabelled(total, function(t) stats::setNames(as.vector(t), dimnames(v)[[margin]]))
    if (sums) total else total / n[3 - margin]
  }
}

# Loops that gather what a function returns.
loop_substitutes <- function() {
  gathered <- function(found, own_simplify) {
    if (!holds_number(found)) return(own_simplify(found))
    sizes <- unique(vapply(found, length, 1L))
    if (length(sizes) != 1) return(found)
    if (sizes == 1) return(unlisted(found))
    bound(base::cbind, found)
  }
  over <- function(X) if (is_number(X)) as.list(X) else X
  list(
    lapply = function(X, FUN, ...) base::lapply(over(X), match.fun(FUN), ...),
    sapply = function(X, FUN, ..., simplify = TRUE, USE.NAMES = TRUE) {
      found <- base::sapply(over(X), match.fun(FUN), ..., simplify = FALSE, USE.NAMES = USE.NAMES)
      if (isFALSE(simplify)) found else gathered(found, base::simplify2array)
    },
    vapply = function(X, FUN, FUN.VALUE, ..., USE.NAMES = TRUE) {
      f <- match.fun(FUN)
      found <- base::sapply(over(X), f, ..., simplify = FALSE, USE.NAMES = USE.NAMES)
      if (holds_number(found)) gathered(found) else base::vapply(found, identity, FUN.VALUE, USE.NAMES = USE.NAMES)
    },
    mapply = function(FUN, ..., MoreArgs = NULL, SIMPLIFY = TRUE, USE.NAMES = TRUE) {
      xs <- base::lapply(list(...), over)
      found <- do.call(base::mapply, c(list(match.fun(FUN)), xs, list(
        MoreArgs = MoreArgs, SIMPLIFY = FALSE, USE.NAMES = USE.NAMES
      )))
      if (SIMPLIFY) gathered(found, base::simplify2array) else found
    },
    Map = function(f, ...) do.call(base::Map, c(list(match.fun(f)), base::lapply(list(...), over))),
    Reduce = function(f, x, ...) base::Reduce(match.fun(f), over(x), ...),
    apply = function(X, MARGIN, FUN, ...) {
      if (!is_number(X)) return(base::apply(X, MARGIN, FUN, ...))
      if (length(MARGIN) != 1 || length(dim(X)) != 2) abort_not_differentiable("apply() over more than one dimension")
      f <- match.fun(FUN)
      along <- stats::setNames(nm = dimnames(X)[[MARGIN]])
      if (!length(along)) along <- seq_len(dim(X)[MARGIN])
      slices <- base::lapply(along, function(i) f(if (MARGIN == 1) X[i, ] else X[, i], ...))
      gathered(slices, base::simplify2array)
    }
  )
}
