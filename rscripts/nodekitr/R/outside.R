# What acts on trajectories from outside: covariates, forcings by table, events.

FORCING_CONTROL <- list(method = "linear", rule = 2, f = 0, ties = "ordered") # deSolve's defaults

# How covariates are understood, for the data and for whatever is predicted later: `columns`, a number each, and where
# they come from; NULL where there are none.
as_covariates <- function(data, covariates, forcings, fcontrol, id, time) {
  if (is.null(covariates) && is.null(forcings)) return(NULL)
  unknown <- setdiff(names(fcontrol), names(FORCING_CONTROL))
  if (length(unknown)) {
    abort("value_error", "'fcontrol' has an unknown element '", unknown[1], "'.",
      remedy = paste0("Known: ", paste(names(FORCING_CONTROL), collapse = ", "), ".")
    )
  }
  fcontrol <- utils::modifyList(FORCING_CONTROL, as.list(fcontrol))
  fcontrol$method <- as_choice(fcontrol$method, "fcontrol$method", c("linear", "constant"))
  by_table <- if (!is.null(forcings)) as_forcing_table(forcings, id, time)
  absent <- setdiff(covariates, c(names(data), by_table$names))
  if (length(absent)) {
    abort("value_error", "'covariates' names '", absent[1], "', which is no column of 'data'.",
      remedy = paste0("Columns: ", paste(names(data), collapse = ", "), ".")
    )
  }
  covariates <- union(covariates, by_table$names)
  levels <- lapply(stats::setNames(nm = covariates), function(name) {
    x <- if (name %in% by_table$names) by_table$data[[name]] else data[[name]]
    if (is.factor(x) || is.character(x) || is.logical(x)) return(levels(as.factor(x)))
    as_numbers(x, name, missing_allowed = TRUE)
    NULL
  })
  columns <- unlist(lapply(covariates, function(name) {
    if (is.null(levels[[name]])) name else paste0(name, levels[[name]][-1])
  }))
  list(names = covariates, levels = levels, columns = columns, forcings = by_table, fcontrol = fcontrol)
}

as_forcing_table <- function(forcings, id, time) {
  if (!is.data.frame(forcings) || !time %in% names(forcings)) {
    abort("type_error", "'forcings' must be a data frame with a column '", time, "'.",
      remedy = "Its other columns are what acts from outside; with a column of ids, on each trajectory its own."
    )
  }
  as_numbers(forcings[[time]], paste0("forcings$", time))
  forcings <- forcings[order(forcings[[time]]), ]
  list(data = forcings, names = setdiff(names(forcings), c(id, time)), own = length(id) && id %in% names(forcings))
}

# A covariate as numbers, one column, or for a factor one for each level but the first.
coded <- function(x, levels, name) {
  if (is.null(levels)) return(matrix(as_numbers(x, name, missing_allowed = TRUE), ncol = 1))
  code <- match(as.character(x), levels)
  new <- which(is.na(code) & !is.na(x))
  if (length(new)) {
    abort("value_error", "'", name, "' has a level '", as.character(x[new[1]]), "' that the model has not seen.",
      remedy = paste0("Known: ", paste(levels, collapse = ", "), ".")
    )
  }
  vapply(seq_along(levels)[-1], function(k) as.double(code == k), numeric(length(x)))
}

# The table of all covariates for one trajectory: at the times where one of them is given, from its first to its last.
covariate_table <- function(covariates, rows, id, time, until) {
  ids <- if (length(id)) rows[[id]][1]
  said <- if (length(id)) paste0(" of trajectory '", ids, "'")
  from <- min(rows[[time]])
  given <- lapply(covariates$names, function(name) {
    source <- rows
    if (name %in% covariates$forcings$names) {
      source <- covariates$forcings$data
      if (covariates$forcings$own) source <- source[match_ids(source[[id]], ids) %in% 1, ]
    }
    source <- source[order(source[[time]]), ]
    source <- source[!is.na(source[[name]]), ]
    if (!nrow(source)) {
      abort("value_error", "There is no value of '", name, "'", said, ".", remedy = "Give one at least.")
    }
    twice <- source[[time]][duplicated(source[[time]])]
    if (length(twice) && covariates$fcontrol$method == "linear" && is.character(covariates$fcontrol$ties)) {
      abort("value_error", "'", name, "'", said, " is given twice at ", time, " = ", format(twice[1]), ".",
        remedy = "For a jump give the second a little later, for their mean fcontrol = list(ties = mean)."
      )
    }
    list(times = source[[time]], values = matrix(coded(source[[name]], covariates$levels[[name]], name), nrow(source)),
      factor = !is.null(covariates$levels[[name]]))
  })
  changes <- function(x) any(duplicated(x$values) != c(FALSE, rep(TRUE, length(x$times) - 1)))
  varying <- vapply(given, changes, NA)
  method <- covariates$fcontrol$method
  if (method == "linear" && any(varying & vapply(given, `[[`, NA, "factor"))) {
    abort("value_error", "'", covariates$names[varying & vapply(given, `[[`, NA, "factor")][1], "'", said,
      " changes, and has no values between its levels.", remedy = "Take fcontrol = list(method = \"constant\")."
    )
  }
  if (!any(varying)) return(list(times = from, values = t(unlist(lapply(given, function(x) x$values[1, ])))))
  times <- sort(unique(unlist(lapply(given[varying], `[[`, "times"))))
  times <- unique(c(min(from, times), times))
  control <- covariates$fcontrol
  columns <- Map(function(x, name, varies) {
    if (!varies) return(x$values[rep(1, length(times)), , drop = FALSE])
    n <- length(x$times)
    apply(x$values, 2, function(y) {
      if (method == "constant" && control$f > 0) y[-n] <- (1 - control$f) * y[-n] + control$f * y[-1]
      along <- function(at, rule) {
        if (n == 1) return(if (rule[length(rule)] == 1) ifelse(at == x$times, y, NA) else rep(y, length(at)))
        stats::approx(x$times, y, at, method = method, rule = rule, f = 0, ties = control$ties)$y
      }
      ends <- along(c(from, until), control$rule)
      if (anyNA(ends)) {
        abort("value_error", "'", name, "'", said, " is not given at ", time, " = ",
          format(c(from, until)[is.na(ends)][1]), ".",
          remedy = "Extend its table, or hold its first and last values: fcontrol = list(rule = 2)."
        )
      }
      along(times, 2)
    })
  }, given, covariates$names, varying)
  list(times = array(times), values = matrix(unlist(columns), length(times)))
}

# Events during a fit, by trajectory: y becomes factor * y + added.
event_changes <- function(events, states, id, ids, strict) {
  if (is.null(events)) return(NULL)
  if (is.list(events) && !is.data.frame(events)) events <- events$data
  if (!is.data.frame(events)) {
    abort("type_error", "'events' must be a data frame.", remedy = "Its columns: var, time, value, method, and the id.")
  }
  if (strict && length(id) && !id %in% names(events)) {
    message("'events' has no column '", id, "': they happen in all trajectories.")
  }
  state <- list(n = length(states), names = states)
  table <- as_event_table(events, state)
  own <- if (length(id) && id %in% names(events)) match_ids(events[[id]], ids) else NULL
  if (strict && anyNA(own)) {
    abort("value_error", "'events' has the ", id, " '", events[[id]][is.na(own)][1], "', which is no trajectory.",
      remedy = "Give ids of the data."
    )
  }
  lapply(seq_along(ids), function(i) {
    mine <- if (is.null(own)) table else table[own %in% i, ]
    mine <- mine[order(mine$time), ]
    factor <- matrix(1, nrow(mine), length(states))
    added <- 0 * factor
    at <- cbind(seq_len(nrow(mine)), mine$state)
    factor[at] <- ifelse(mine$kind == "add", 1, ifelse(mine$kind == "replace", 0, mine$value))
    added[at] <- ifelse(mine$kind == "multiply", 0, mine$value)
    list(times = array(mine$time), factor = factor, added = added)
  })
}

# What acts on trajectories, for Python; `rows` are data of these, with `.series` and, where they vary, covariates.
as_outside <- function(spec, rows, until = NULL, strict = TRUE) {
  if (is.null(spec$covariates) && is.null(spec$events)) return(NULL)
  pieces <- split(rows, rows$.series)
  tables <- if (!is.null(spec$covariates)) {
    lapply(pieces, function(piece) {
      covariate_table(spec$covariates, piece, spec$id, spec$time, max(piece[[spec$time]], until))
    })
  }
  ids <- if (length(spec$id)) {
    lapply(pieces, function(piece) piece[[spec$id]][1])
  } else {
    list(1)
  }
  ids <- do.call(c, unname(lapply(ids, function(x) if (is.factor(x)) as.character(x) else x)))
  changes <- event_changes(spec$events, spec$states, spec$id, ids, strict)
  list(tables = unname(tables), events = unname(changes), kind = spec$covariates$fcontrol$method %||% "linear")
}

in_python <- function(outside) {
  if (!is.null(outside)) bridge()$Outside(outside$tables, outside$kind, outside$events)
}
