# The known part of an equation that nk_fit() learns: an R function, and its unknown parameters.

as_known <- function(known, parms, log, lower, upper, fixed, states, probe) {
  if (is.null(known)) {
    if (!is.null(parms)) {
      abort("value_error", "There are 'parms', but no 'known'.", remedy = "Give the function that they are for: known = .")
    }
    return(NULL)
  }
  check_function(known, "known")
  scale <- if (count_numbers(parms)) as_scale(parms, log, lower, upper)
  check_names(fixed, names(scale$start), "fixed")
  outside <- scale$start < scale$lower | scale$start > scale$upper
  if (any(outside)) {
    abort("value_error", "'", names(scale$start)[outside][1], "' starts outside its bounds.", remedy = "Start within.")
  }
  taken <- intersect(names(probe$inputs[[1]]), c(names(scale$start), names(parms)))
  if (length(taken)) {
    abort("value_error", "'", taken[1], "' is the name of a parameter and of a covariate.", remedy = "Rename one.")
  }
  made <- list(func = known, parms = parms, scale = scale, fixed = names(scale$start) %in% fixed, states = states,
    probe = probe)
  for (i in seq_along(probe$times)) check_derivative(plain_known(made, i), length(states), probe$times[i])
  made$program <- known_program(made)
  if (is.character(made$program)) {
    message("The known part is called by R, state by state, which is slow: ", made$program, ".")
  }
  made
}

# The known part at one of the states that it is tried at, on plain numbers.
plain_known <- function(known, i) {
  probe <- known$probe
  known$func(probe$times[i], stats::setNames(probe$states[i, ], known$states), with_inputs(known$parms, probe$inputs[[i]]))
}

# Its program, where that gives what the function itself gives; otherwise why not.
known_program <- function(known) {
  probe <- known$probe
  shape <- list(names = known$states)
  program <- as_program(known$func, probe$times[1], probe$states[1, ], shape, known$parms, probe$inputs[[1]])
  if (is.character(program)) return(program)
  found <- from_python(bridge()$evaluate, program, array(probe$times), probe$states,
    array(as.double(unlist(numeric_entries(known$parms)))), inputs_matrix(probe$inputs))
  expected <- t(vapply(seq_along(probe$times), function(i) as.double(unlist(plain_known(known, i)[[1]])),
    numeric(length(known$states))))
  if (isTRUE(all.equal(array(found, dim(expected)), array(expected, dim(expected)), tolerance = 1e-8))) return(program)
  "it does not take the same steps for all states"
}

inputs_matrix <- function(inputs) {
  width <- length(inputs[[1]])
  matrix(as.double(unlist(inputs)), length(inputs), width, byrow = TRUE)
}

# For Python: a program, or calls of R.
known_in_python <- function(known) {
  if (!is.character(known$program)) return(do.call(bridge()$Program, unname(known$program)))
  form <- function(parms) if (count_numbers(known$parms)) with_numbers(as_doubles(known$parms), parms) else known$parms
  names <- names(known$probe$inputs[[1]])
  inputs_of <- function(outside, i) as.list(stats::setNames(outside[i, ], names))
  matrices <- function(y, outside) {
    list(y = matrix(as.double(y), nrow(y)), outside = matrix(as.double(outside), nrow(y)))
  }
  call <- function(t, y, parms, outside) called_back({
    m <- matrices(y, outside)
    parms <- form(as.double(parms))
    slopes <- vapply(seq_len(nrow(m$y)), function(i) {
      if (!all(is.finite(m$y[i, ]))) return(rep(NaN, ncol(m$y)))
      found <- known$func(t[i], stats::setNames(m$y[i, ], known$states), with_inputs(parms, inputs_of(m$outside, i)))
      check_derivative(found, ncol(m$y), t[i])
      as.double(found[[1L]])
    }, numeric(ncol(m$y)))
    t(matrix(slopes, ncol(m$y)))
  })
  pull <- function(t, y, parms, outside, weights) called_back({
    m <- matrices(y, outside)
    parms <- form(as.double(parms))
    count <- ncol(m$y) + sum(vapply(numeric_entries(list(parms)), count_numbers, 1))
    weights <- matrix(as.double(weights), nrow(m$y))
    with_copies(known$func, {
      copy <- differentiable(known$func)
      rows <- vapply(seq_len(nrow(m$y)), function(i) recorded({
        values <- stats::setNames(m$y[i, ], known$states)
        state <- new_number(values)
        entries <- as_numbers_within(parms)
        inputs <- inputs_of(m$outside, i)
        found <- differentiably("known", copy(t[i], state, with_inputs(entries$form, inputs)), {
          known$func(t[i], values, with_inputs(parms, inputs))
        })
        slopes <- found[[1L]]
        if (is.list(slopes)) slopes <- unlisted(slopes)
        as.double(unlist(pull_back(list(slopes), list(weights[i, ]), c(list(state), entries$leaves))))
      }), numeric(count))
      t(matrix(rows, count))
    })
  })
  bridge()$called(call, pull)
}

parameters_in_python <- function(known) {
  scale <- known$scale
  if (is.null(scale)) {
    none <- array(numeric())
    return(bridge()$Parameters(none, array(logical()), array(logical()), none, none))
  }
  bridge()$Parameters(array(as.double(scale$start)), array(scale$on_log), array(!known$fixed), array(as.double(scale$lower)),
    array(as.double(scale$upper)))
}
