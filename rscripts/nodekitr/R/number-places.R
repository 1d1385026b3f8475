# Parts of numbers that remember, and numbers put together.

# The gradient by n values of which those at `places` were taken, NA and 0 being none of them.
unrecycled_at <- function(g, places, n) {
  total <- numeric(n)
  kept <- !is.na(places) & places > 0
  places <- places[kept]
  if (anyDuplicated(places)) {
    sums <- rowsum(as.vector(g)[kept], places)
    total[as.integer(rownames(sums))] <- sums
  } else {
    total[places] <- g[kept]
  }
  total
}

# What a function that only moves elements about makes of x: it is run on their places. It may put zeros between.
rearranged <- function(x, move) {
  v <- value_of(x)
  places <- seq_along(v)
  attributes(places) <- attributes(v)
  places <- move(places)
  taken <- as.vector(places)
  value <- c(0, as.vector(v))[taken + 1L]
  attributes(value) <- attributes(places)
  n <- length(v)
  new_number(value, list(x), function(g) list(unrecycled_at(g, taken, n)), list("take", taken, x))
}

# One element.
element <- function(x, i) {
  v <- .subset2(x, "value")
  n <- length(v)
  new_number(v[[i]], list(x), function(g) {
    all <- numeric(n)
    all[i] <- g
    list(all)
  }, list("take", i, x))
}

#' @export
`[.nk_number` <- function(x, ..., drop = TRUE) {
  if (...length() == 1L && nargs() == 2L) {
    if (missing(..1)) return(x)
    i <- decided_by(..1)
    return(chosen(x, rearranged(x, function(places) places[i])))
  }
  given <- lapply(given_places(...), function(i) if (is.null(i)) TRUE else decided_by(i))
  chosen(x, rearranged(x, function(places) do.call(`[`, c(list(places), given, drop = drop))))
}

# The times of a solution are no result of it, and leave as plain numbers.
chosen <- function(x, part) {
  times <- attr(x, "times")
  if (is.null(times)) return(part)
  taken <- .subset2(part, "pull")(rep(1, length(.subset2(part, "value"))))[[1]]
  if (all(taken[-seq_len(times)] == 0)) .subset2(part, "value") else part
}

#' @export
`[[.nk_number` <- function(x, ..., exact = TRUE) {
  if (...length() == 1L && is.character(..1) && is.null(names(x))) return(named_part(x, ..1))
  given <- lapply(list(...), decided_by)
  if (length(given) == 1) {
    i <- if (is.character(given[[1]])) match(given[[1]], names(x)) else given[[1]]
    if (length(i) == 1 && isTRUE(i >= 1 && i <= length(x)) && is.null(attr(x, "times"))) return(element(x, i))
  }
  chosen(x, rearranged(x, function(places) do.call(`[[`, c(list(places), given))))
}

#' @export
`$.nk_number` <- function(x, name) named_part(x, name)

# An element by its name, or a column.
named_part <- function(x, name) {
  v <- value_of(x)
  known <- if (is.matrix(v)) colnames(v) else names(v)
  if (!name %in% known) {
    abort("value_error", "There is no '", name, "'.",
      remedy = if (length(known)) paste0("Known: ", paste(known, collapse = ", "), ".") else "There are no names."
    )
  }
  if (is.matrix(v)) x[, name] else x[[name]]
}

#' @export
`[<-.nk_number` <- function(x, ..., value) assigned(`[<-`, x, ..., value = value)

#' @export
`[[<-.nk_number` <- function(x, ..., value) assigned(`[[<-`, x, ..., value = value)

#' @export
`$<-.nk_number` <- function(x, name, value) assigned(`[[<-`, x, name, value = value)

# x with other values at some places; x, or value, or both are numbers that remember.
assigned <- function(assign, x, ..., value) {
  v <- value_of(x)
  new <- value_of(value)
  places <- seq_along(v)
  attributes(places) <- attributes(v)
  given <- lapply(given_places(...), function(i) if (is.null(i)) TRUE else decided_by(i))
  places <- do.call(assign, c(list(places), given, list(value = -seq_along(new))))
  from <- as.vector(places)
  old <- !is.na(from) & from > 0
  added <- !is.na(from) & from < 0
  result <- rep(NA_real_, length(from))
  result[old] <- v[from[old]]
  result[added] <- new[-from[added]]
  attributes(result) <- attributes(places)
  both <- c(is_number(x), is_number(value))
  new_number(result, list(x, value)[both], function(g) {
    list(
      if (both[1]) unrecycled_at(g, ifelse(old, from, 0), length(v)),
      if (both[2]) unrecycled_at(g, ifelse(added, -from, 0), length(new))
    )[both]
  }, list("take", ifelse(added, length(v) - from, from), x, value))
}

# Vectors one after the other, as c() does; with a list among them, a list.
joined <- function(xs) {
  for (x in xs) if (is.list(x)) return(do.call(c, lapply(xs, function(x) if (is_number(x)) as.list(x) else x)))
  unlisted(xs)
}

# All numbers within a list, as unlist() does.
unlisted <- function(xs, use.names = TRUE) {
  leaves <- list()
  plain <- function(x) {
    if (is.list(x)) return(lapply(x, plain))
    if (!is.null(x)) leaves[[length(leaves) + 1]] <<- x
    as.vector_with_names(value_of(x))
  }
  value <- unlist(plain(xs), use.names = use.names)
  if (!is.numeric(value) && !is.logical(value)) {
    abort_not_differentiable(paste("c() of numbers and", class(value)[1]))
  }
  numbers <- vapply(leaves, is_number, NA)
  sizes <- vapply(leaves, function(x) length(value_of(x)), 1L)
  ends <- cumsum(sizes)
  new_number(value, leaves[numbers], function(g) {
    Map(function(end, size) g[seq_len(size) + (end - size)], ends[numbers], sizes[numbers])
  }, c(list("take", seq_along(value)), leaves))
}

as.vector_with_names <- function(x) if (is.null(dim(x))) x else as.vector(x)

# Columns or rows side by side.
bound <- function(bind, xs) {
  sizes <- vapply(xs, function(x) length(value_of(x)), 1L)
  before <- cumsum(sizes) - sizes
  places <- Map(function(x, offset) {
    v <- value_of(x)
    at <- offset + seq_along(v)
    attributes(at) <- attributes(v)
    at
  }, xs, before)
  whole <- unlisted(unname(xs))
  places <- do.call(bind, places)
  rearranged(whole, function(all) places)
}

#' @export
cbind.nk_number <- function(..., deparse.level = 1) bound(cbind, list(...))

#' @export
rbind.nk_number <- function(..., deparse.level = 1) bound(rbind, list(...))

#' @export
c.nk_number <- function(...) joined(list(...))

#' @export
rep.nk_number <- function(x, ...) rearranged(x, function(places) rep(places, ...))

#' @export
t.nk_number <- function(x) rearranged(x, t)

#' @export
aperm.nk_number <- function(a, perm = NULL, ...) rearranged(a, function(places) aperm(places, perm, ...))

#' @export
rev.nk_number <- function(x) rearranged(x, rev)

#' @export
diff.nk_number <- function(x, lag = 1L, differences = 1L, ...) {
  for (i in seq_len(differences)) {
    n <- length(x)
    x <- x[seq_len(n - lag) + lag] - x[seq_len(n - lag)]
  }
  x
}

# Attributes: changed in a copy.
relabelled <- function(x, change) {
  new_number(change(value_of(x)), list(x), function(g) list(g), list("take", seq_along(value_of(x)), x))
}

#' @export
`names<-.nk_number` <- function(x, value) relabelled(x, function(v) `names<-`(v, value))

#' @export
`dim<-.nk_number` <- function(x, value) relabelled(x, function(v) `dim<-`(v, value_of(value)))

#' @export
`dimnames<-.nk_number` <- function(x, value) relabelled(x, function(v) `dimnames<-`(v, value))

#' @export
as.double.nk_number <- function(x, ...) relabelled(x, as.vector)

#' @export
as.vector.nk_number <- function(x, mode = "any") {
  if (mode == "list") as.list(x) else if (mode %in% c("any", "numeric", "double")) relabelled(x, as.vector) else
    as.vector(decided_by(x), mode)
}

#' @export
as.list.nk_number <- function(x, ...) {
  v <- value_of(x)
  columns <- is.matrix(v) && !is.null(colnames(v))
  parts <- if (columns) lapply(colnames(v), function(i) x[, i]) else lapply(seq_along(v), function(i) element(x, i))
  names(parts) <- if (columns) colnames(v) else names(v)
  parts
}

#' @export
as.data.frame.nk_number <- function(x, ...) x

#' @export
with.nk_number <- function(data, expr, ...) eval(substitute(expr), as.list(data), parent.frame())

#' @export
subset.nk_number <- function(x, subset, ...) {
  if (!is.matrix(x) || ...length()) abort_not_differentiable("subset()", "brackets are understood, out[rows, columns].")
  rows <- eval(substitute(subset), as.list(x), parent.frame())
  x[which(rows), , drop = FALSE]
}
