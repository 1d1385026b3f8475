# The result as deSolve gives it: rows of time, states, and the further values of func.

# The result as deSolve gives it.
as_deSolve <- function(solution, state, further, method) {
  values <- solution$values
  names <- state$names %||% as.character(seq_len(state$n))
  lengths <- state$n
  if (!is.null(further)) {
    rows <- further_rows(further, solution$times, values)
    names <- c(names, names(unlist(rows[[1]])) %||% as.character(state$n + seq_along(unlist(rows[[1]]))))
    lengths <- c(lengths, stats::setNames(lengths(rows[[1]]), names(rows[[1]])))
    if (!is.null(names(lengths))) names(lengths)[1] <- ""
    values <- cbind(values, do.call(rbind, lapply(rows, unlist, use.names = FALSE)))
  }
  out <- cbind(solution$times, values)
  dimnames(out) <- list(NULL, c("time", names))
  istate <- rep(NA_integer_, 21) # places and meanings as in deSolve's diagnostics()
  istate[c(2, 3, 13, 18)] <- as.integer(unlist(solution$statistics[c("steps", "nfe", "rejected", "order")]))
  istate[1] <- if (is.null(solution$roots$iroot)) 2L else 3L # reached the end, or a root
  attributes(out) <- c(
    attributes(out),
    list(istate = istate, rstate = c(NA, NA, utils::tail(solution$times, 1), NA, NA), lengthvar = lengths),
    list(nspec = if (is.null(state$dim)) state$n else 1L), if (!is.null(state$dim)) list(dimens = state$dim),
    solution$roots, list(type = method, class = c("nk_ode", "deSolve", "matrix"))
  )
  out
}

# The further values of func at each row: numbers, the same ones each time.
further_rows <- function(further, times, values) {
  rows <- lapply(seq_along(times), function(i) {
    row <- further(times[i], values[i, ])
    check_further(row, times[i])
    row
  })
  described <- function(row) names(unlist(row)) %||% length(unlist(row))
  usual <- described(rows[[1]])
  for (i in seq_along(rows)) {
    if (identical(described(rows[[i]]), usual)) next
    words <- function(x) if (is.character(x)) paste0("'", x, "'", collapse = ", ") else if (x == 0) "none" else x
    abort("value_error", "The further values of 'func' differ: ", words(described(rows[[i]])), " at t = ",
      format(times[i]), ", ", words(usual), " at t = ", format(times[1]), ".",
      remedy = "It must return the same ones at all times, NA where there is none."
    )
  }
  rows
}

check_further <- function(row, t) {
  for (i in seq_along(row)) {
    x <- row[[i]]
    if (is.null(x) || ((is.numeric(x) || is.logical(x)) && !is.factor(x))) next
    if (is.list(x) && !is.object(x) || is.data.frame(x)) {
      check_further(x, t)
      next
    }
    name <- if (is.null(names(row)) || names(row)[i] == "") i else paste0("'", names(row)[i], "'")
    abort("type_error", "The further value ", name, " of 'func' is of class '", class(x)[1], "' at t = ", format(t), ".",
      remedy = "Further values become columns of numbers: return numbers or logical values."
    )
  }
}
