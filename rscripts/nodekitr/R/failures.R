# Where a solve fails: what went wrong in the words of nk_ode(), and the rows that were reached.

# The first and the last time that the user's function returned something that is not finite. Steps that meet such
# values are tried again, shorter; only where the solve fails are they what went wrong.
note_not_finite <- function(t, slopes) {
  bad <- which(!is.finite(slopes))
  if (!length(bad)) return() # only their sum overflows
  seen <- list(t = t, state = bad[1], value = slopes[[bad[1]]])
  session$heard$last <- seen
  if (is.null(session$heard$first)) session$heard$first <- seen
}

# The library's failures in the words of nk_ode()'s arguments.
explain_failure <- function(state, times, method, parms = NULL) {
  at <- function(t) paste("at t =", format(zapsmall(c(t, times), 12)[1]))
  function(failure) {
    kind <- failure$classes[[1]]
    if (kind == "invalid_event") return(of_roots(failure))
    if (!kind %in% names(SOLVE_REMEDIES)) return(failure)
    failure$remedy <- SOLVE_REMEDIES[[kind]]
    if (kind %in% c("stiff", "max_steps_reached")) {
      failure$remedy <- sub("IMPLICIT", stiff_methods(), failure$remedy)
      return(failure)
    }
    if (kind == "step_size_underflow") {
      failure$message <- paste0("No step ", at(failure$fields$t), " is small enough for rtol and atol.")
    }
    seen <- session$heard$first
    if (is_adaptive(method)) { # one of them is where it ended, or they have nothing to do with it
      ended <- function(seen) isTRUE(all.equal(seen$t, failure$fields$t))
      seen <- Find(ended, session$heard[c("last", "first")])
    }
    if (is.null(seen)) return(failure)
    name <- state$names[seen$state] %||% seen$state
    failure$message <- paste0("'func' returned ", seen$value, " for state '", name, "' ", at(seen$t), ".")
    failure$fields[c("t", "state")] <- list(seen$t, name)
    failure$remedy <- if (seen$t == times[1]) {
      paste0("That is the first time. ", missing_value_advice(parms))
    } else if (is.na(seen$value) && !is.nan(seen$value)) {
      paste0("NA is what approxfun() gives beyond its table: extend the table, or hold its first and last values by ",
        "rule = 2. Otherwise, a value is missing there.")
    } else {
      SOLVE_REMEDIES[["non_finite_derivative"]]
    }
    failure
  }
}

# The library counts events from 0, and has other arguments for them.
of_roots <- function(failure) {
  number <- sub("^event ([0-9]+).*", "\\1", failure$message)
  failure$message <- sub("^event [0-9]+", paste("root", as.integer(number) + 1L), failure$message)
  if (grepl("happens", failure$message)) {
    failure$remedy <- paste0(
      "Let events$func move the state away from the root, or end the motion where it is small; or end 'times' before that."
    )
  }
  failure
}

SOLVE_REMEDIES <- list(
  non_finite_derivative = paste0(
    "It may not be defined there, or the solution may grow without bound: ask for times before that. With a method of ",
    "fixed steps, take smaller ones (hini)."
  ),
  step_size_underflow = paste0(
    "The solution may grow without bound there: ask for times before that. Otherwise loosen rtol and atol, or name the ",
    "times where the derivative jumps: options = list(jump_t = )."
  ),
  max_steps_reached = paste0(
    "Loosen rtol and atol, raise maxsteps, or, where the problem is stiff, use an implicit method: IMPLICIT."
  ),
  stiff = paste0(
    "Use an implicit method, which takes long steps there: IMPLICIT. maxsteps = Inf goes on with this one."
  ),
  newton_did_not_converge = "Loosen rtol and atol; with a method of fixed steps, take smaller ones (hini)."
)

stiff_methods <- function() {
  known <- utils::head(intersect(STIFF_METHODS, names(nodekit()$METHODS)), 2)
  paste0("method = ", paste0("\"", known, "\"", collapse = " or "))
}

# What may be missing where func gives no number at once: often a parameter that is not there.
missing_value_advice <- function(parms) {
  unknown <- names(which(vapply(as.list(parms), function(x) is.atomic(x) && anyNA(x), NA)))
  paste0(
    "Does func have all that it needs? ",
    if (length(unknown)) paste0("In 'parms', ", paste0("'", unknown, "'", collapse = " and "), " is NA.") else
      if (is.null(names(parms))) "'parms' has no names." else
        paste0("'parms' has ", paste(names(parms), collapse = ", "), ".")
  )
}

# What to do with a solve that ended early: an error that holds the rows reached, or, as deSolve does, these rows with a
# warning.
failed_solve <- function(solution, state, further, method, throw) {
  failure <- solution$failure
  reached <- tryCatch(as_deSolve(solution, state, further, method), error = function(e) {
    as_deSolve(solution, state, NULL, method)
  })
  attr(reached, "istate")[1] <- DESOLVE_CODES[failure$classes[[1]]] %|NA|% -4L
  if (throw) {
    abort(failure$classes, failure$message, remedy = failure$remedy, fields = c(failure$fields, list(reached = reached)))
  }
  warn(failure$message, "\nReturning early, with ", nrow(reached), " of the rows. ", failure$remedy)
  reached
}
# What diagnostics() of deSolve has words for.
DESOLVE_CODES <- c(max_steps_reached = -1L, stiff = -1L, newton_did_not_converge = -5L)

`%|NA|%` <- function(x, y) if (is.na(x)) y else unname(x)
