# Arguments in `...`: what is not understood is said by name, lest a misspelt one passes for one that was heeded.

# deSolve's arguments that change the speed or what is printed, but not the solution: named in a warning.
IDLE_ARGUMENTS <- c("jacfunc", "jactype", "jacvec", "mf", "verbose", "maxord", "maxordn", "maxords", "bandup",
  "banddown", "nnzero", "sparsetype", "lrw", "liw", "inz", "nind", "control")
# deSolve's arguments without which the solution would be another one: refused, with what to do instead.
FOREIGN_ARGUMENTS <- c(
  stats::setNames(rep("give func as an R function", 8), c("dllname", "initfunc", "initforc", "initpar", "nout",
    "outnames", "rpar", "ipar")),
  lags = "delays are not possible; use deSolve::dede()", dimens = "give y as a matrix or an array",
  nspec = paste("leave it out, as y is one vector here; or use deSolve::ode.1D(), which knows that only neighbouring",
    "cells meet"),
  names = "name the elements of y", nroot = "rootfunc alone says how many roots there are",
  res = "give the problem as dy/dt = func(t, y)", dy = "give the problem as dy/dt = func(t, y)",
  mass = "give method = \"radauIIA5\" and options = list(mass_matrix = mass)",
  massup = "give options = list(mass_matrix = ) the whole matrix",
  estini = "give the problem as dy/dt = func(t, y)"
)

# Arguments for `func` in `...`: those that it takes by name, or by `...` if they are like none of the solver's. `own`
# are the solver's arguments. Warns of deSolve's that do nothing here, and returns the others for func.
arguments_of <- function(func, own, ...) {
  given <- list(...)
  names <- names(given) %||% character(length(given))
  in_r <- !missing(func) && is.function(func) && !inherits(func, "python.builtin.object")
  taken <- if (in_r) names(formals(args(func)))
  idle <- names %in% setdiff(IDLE_ARGUMENTS, taken)
  if (any(idle)) {
    warn("The argument", if (sum(idle) > 1) "s", " '", paste(names[idle], collapse = "', '"), "' of deSolve ",
      if (sum(idle) > 1) "have" else "has", " no meaning here and ", if (sum(idle) > 1) "are" else "is", " ignored."
    )
  }
  for (name in setdiff(names, c(taken, IDLE_ARGUMENTS, ""))) {
    if (name %in% names(FOREIGN_ARGUMENTS)) {
      abort("unknown_argument", "The argument '", name, "' of deSolve has no meaning here.",
        remedy = paste0("Instead, ", FOREIGN_ARGUMENTS[[name]], ".")
      )
    }
    similar <- similar_name(name, setdiff(own, c("y", "times", "func", "parms")))
    if ("..." %in% taken && is.null(similar)) next
    abort("unknown_argument", "There is no argument '", name, "'.", remedy = paste0(
      if (!is.null(similar)) paste0("Did you mean '", similar, "'? "),
      if (in_r) paste0("If func is to have it, func must name it: function(t, y, parms, ", name, ").")
    ))
  }
  if (missing(func)) abort("value_error", "There is no 'func'.", remedy = "Give a function(t, y, parms).")
  unnamed <- sum(names[!idle] == "")
  if (!in_r && unnamed) {
    abort("unknown_argument", "There are more arguments than have a meaning.", remedy = "Name them.")
  }
  given[!idle]
}

# The one of `known` that a misspelt name is likely to mean, or NULL. Short names, and those that begin with another
# letter, mean something of their own.
similar_name <- function(name, known) {
  known <- known[nchar(known) > 3 & tolower(substr(known, 1, 1)) == tolower(substr(name, 1, 1))]
  if (nchar(name) < 3 || !length(known)) return(NULL)
  letters_of <- function(x) paste(sort(strsplit(tolower(x), "")[[1]]), collapse = "")
  swapped <- vapply(known, letters_of, "") == letters_of(name)
  distance <- drop(utils::adist(name, known, ignore.case = TRUE)) - swapped
  if (min(distance) <= if (nchar(name) > 5) 2 else 1) known[which.min(distance)]
}

# For methods whose generic has `...` that they do not use.
refuse_arguments <- function(known, ...) {
  given <- names_in(...)
  if (!length(given)) return(invisible())
  name <- given[1]
  abort("unknown_argument",
    if (name == "") "There are more arguments than have a meaning." else c("There is no argument '", name, "'."),
    remedy = paste0(
      if (!is.null(similar_name(name, known))) paste0("Did you mean '", similar_name(name, known), "'? "),
      if (length(known)) paste0("Known: ", paste(known, collapse = ", "), ".") else "Leave it out."
    )
  )
}

# For methods that hand `...` on: to plot.default(), or to a function with these arguments.
refuse_plot_arguments <- function(own, ...) {
  if (!length(names_in(...))) return(invisible())
  refuse_unless(c(own, names(formals(graphics::plot.default)), names(graphics::par(no.readonly = TRUE))), ...)
}

refuse_unless <- function(known, ...) {
  for (name in setdiff(names_in(...), c(known, ""))) {
    similar <- similar_name(name, known)
    abort("unknown_argument", "There is no argument '", name, "'.",
      remedy = if (!is.null(similar)) paste0("Did you mean '", similar, "'?")
    )
  }
}

# Names of what is in `...`, "" where there is none; nothing is evaluated.
names_in <- function(...) {
  quoted <- eval(substitute(alist(...)))
  names(quoted) %||% character(length(quoted))
}

# deSolve's functions that ask the solver which is at work, by what they are for. They know only deSolve's own: called
# here, they would answer for the last solve that deSolve did.
QUESTIONS_TO_SOLVER <- c(lagvalue = "delays are not possible; use deSolve::dede()",
  lagderiv = "delays are not possible; use deSolve::dede()", timestep = "the steps are not told to func")

# Refuse a function that calls one of these, itself or in a function of the user's that it calls.
refuse_questions <- function(f, argument, within = character()) {
  if (is.primitive(f)) return(invisible())
  for (name in setdiff(all.names(body(f), unique = TRUE), within)) {
    found <- get0(name, environment(f), mode = "function")
    of_package <- !is.null(environment(found)) && isNamespace(environment(found))
    if (name %in% names(QUESTIONS_TO_SOLVER)) {
      theirs <- is.null(found) || (of_package && getNamespaceName(environment(found)) == "deSolve")
      if (theirs && any(grepl(paste0("\\b", name, " *\\("), deparse(body(f))))) {
        abort("value_error", "'", argument, "' calls deSolve's ", name, "(), which only deSolve's solvers answer.",
          remedy = paste0("Here, ", QUESTIONS_TO_SOLVER[[name]], ".")
        )
      }
    }
    if (is.function(found) && !of_package) refuse_questions(found, argument, c(within, name))
  }
}
