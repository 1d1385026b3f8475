# Errors and warnings as classed conditions, at the call that the user wrote.

#' Conditions
#'
#' Every error of this package inherits from `nodekit_error`. Its message says what was wrong and what to do; its
#' call is the one you wrote, with no Python traceback. Errors of the Python library carry their own class too, in
#' R's spelling: Python's `StepSizeUnderflow` is `nodekit_step_size_underflow`, and the details that the library
#' gives (`t`, `dt`, `sample`, `remedy` ...) are fields of the condition. An error inside your own R function
#' reaches you unchanged.
#'
#' | class | when |
#' |---|---|
#' | `nodekit_not_installed` | Python or nodekit is missing |
#' | `nodekit_type_error` | an argument is of the wrong kind: a factor, text, a date |
#' | `nodekit_value_error` | an argument has a wrong value: `NA`, a length that does not fit, an unknown name |
#' | `nodekit_unknown_argument` | an argument that has no meaning, or is misspelt |
#' | `nodekit_solve_failed` | a solve ended early; the rows before are the field `reached` |
#' | `nodekit_stiff` | it did, as the problem is stiff and the method explicit |
#' | `nodekit_step_size_underflow`, ... | the library's own |
#'
#' Warnings of the library are of class `nodekit_warning`.
#' @name nodekit_conditions
#' @examples
#' tryCatch(
#'   nk_ode(c(a = NaN), 0:1, function(t, y, parms) list(-y)),
#'   nodekit_value_error = function(e) conditionMessage(e)
#' )
NULL

abort <- function(class, ..., remedy = NULL, fields = list(), call = user_call()) {
  stop(structure(
    class = unique(c(paste0("nodekit_", class), "nodekit_error", "error", "condition")),
    c(
      list(message = paste(c(paste(unlist(list(...)), collapse = ""), remedy), collapse = "\n"), call = call), fields,
      list(remedy = remedy)
    )
  ))
}

warn <- function(..., class = NULL) {
  warning(structure(
    class = c(if (!is.null(class)) paste0("nodekit_", class), "nodekit_warning", "warning", "condition"),
    list(message = paste(unlist(list(...)), collapse = ""), call = user_call())
  ))
}

abort_not_installed <- function(found) {
  abort("not_installed", "The Python library nodekit is not available to R.\n", trimws(found), remedy = paste0(
    "Run nodekitr::install_nodekit() once and start R again; where it is installed already, tell R which Python has ",
    "it, e.g. Sys.setenv(RETICULATE_PYTHON = \"path/to/.venv/bin/python\") before its first use."
  ))
}

# The call of the first function of this package on the stack: what the user wrote.
user_call <- function() {
  for (i in seq_len(sys.nframe())) {
    if (identical(environment(sys.function(i)), topenv())) return(sys.call(i))
  }
}

# Call a Python function; its warnings and failures become conditions. The error and the warnings of R functions that
# it called itself are given as they were, the warnings once each.
from_python <- function(run, ..., explain = identity) {
  outer <- session$heard
  on.exit(session$heard <- outer)
  session$heard <- list(error = NULL, warnings = list(), first = NULL, last = NULL)
  outcome <- bridge()$attempt(run, ...)
  for (warning in session$heard$warnings) base::warning(warning)
  for (message in outcome$warnings) warn(message)
  failure <- outcome$failure
  if (is.null(failure)) {
    value <- outcome$value
    if (is.list(value) && !is.null(value$failure)) value$failure <- explain(value$failure)
    return(value)
  }
  if (!is.null(session$heard$error)) stop(session$heard$error)
  failure <- explain(failure)
  abort(failure$classes, failure$message, remedy = failure$remedy, fields = failure$fields)
}

# Run an R function that Python called. Its error would arrive as text, and a jump to a handler of its warning would
# not pass through Python: both are kept, for from_python() to give.
called_back <- function(expression) {
  withCallingHandlers(expression,
    error = function(e) session$heard$error <- e,
    warning = function(w) {
      known <- vapply(session$heard$warnings, conditionMessage, "")
      if (!conditionMessage(w) %in% known) session$heard$warnings <- c(session$heard$warnings, list(w))
      invokeRestart("muffleWarning")
    }
  )
}
