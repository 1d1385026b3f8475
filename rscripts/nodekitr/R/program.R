# A function of R as a program of the steps that it takes, which Python runs on many states at once.
#
# The function is called once, on numbers that remember: its steps are the program. That holds for other states only
# where nothing is decided by a value: `if (x < 0)`, ifelse(), an index that is computed. Such a function has no program,
# and R calls it, state by state.

# The program of func(t, y, parms), its further inputs being entries of parms; or why there is none, as text.
as_program <- function(func, t, y, shape, parms, inputs) {
  session$tracing <- new.env()
  on.exit(session$tracing <- NULL)
  tracing <- session$tracing
  tracing$decided <- FALSE
  with_copies(func, recorded(tryCatch({
    state <- new_number(shaped(y, shape))
    moment <- new_number(t)
    entries <- as_numbers_within(parms)
    outside <- lapply(inputs, new_number)
    found <- differentiable(func)(moment, state, with_inputs(entries$form, outside))
    slopes <- found[[1L]]
    if (is.list(slopes)) slopes <- unlisted(slopes)
    if (tracing$decided) "a value decides what it computes" else
      steps_to(slopes, c(list(state, moment), entries$leaves, outside))
  }, error = function(e) conditionMessage(e))))
}

# Parameters with what comes from outside beside them, by name.
with_inputs <- function(parms, inputs) {
  if (!length(inputs)) return(parms)
  if (is.list(parms)) return(c(parms, inputs))
  if (is_number(parms) || any_number(inputs)) joined(c(list(parms), inputs)) else c(parms, unlist(inputs))
}

# The steps between inputs and a result: each a list of its kind, and of what it takes - a number is the place of an
# input or of an earlier step.
steps_to <- function(result, inputs) {
  if (!is_number(result)) return(list(steps = list(), result = array(as.double(result)), sizes = sizes_of(inputs)))
  needed <- list()
  x <- session$newest
  assign("needed", TRUE, envir = result)
  while (!is.null(x)) { # backwards
    if (isTRUE(.subset2(x, "needed")) && !is.null(.subset2(x, "parents"))) {
      if (is.null(.subset2(x, "step"))) stop("a step of it has no translation", call. = FALSE)
      needed <- c(list(x), needed)
      for (parent in .subset2(x, "parents")) assign("needed", TRUE, envir = parent)
    }
    x <- .subset2(x, "before")
  }
  for (i in seq_along(inputs)) assign("place", i - 1L, envir = inputs[[i]])
  steps <- lapply(seq_along(needed), function(i) {
    x <- needed[[i]]
    assign("place", length(inputs) + i - 1L, envir = x)
    step <- .subset2(x, "step")
    if (step[[1]] %in% c("math", "summary", "table")) step <- c(step[1], .subset2(x, "parents"), step[-1])
    lapply(step, function(part) {
      if (is_number(part)) return(list(place = .subset2(part, "place")))
      if (is.character(part)) part else array(as.double(part))
    })
  })
  list(steps = steps, result = list(place = .subset2(result, "place")), sizes = sizes_of(inputs))
}

sizes_of <- function(inputs) as.list(unname(vapply(inputs, function(x) length(value_of(x)), 1L)))
