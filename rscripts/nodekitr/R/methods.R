# Names of methods: the library's, deSolve's, and the one that is chosen where none is named.

# What to use here where a user of deSolve thinks of one of its methods: the first that there is.
DESOLVE_METHODS <- list(
  stiff = c("lsode", "lsodes", "vode", "daspk", "radau", "bdf", "bdf_d"),
  nonstiff = c("ode45", "rk45dp7", "ode23", "lsodar", "adams", "impAdams", "impAdams_d")
)
STIFF_METHODS <- c("radauIIA5", "kvaerno5", "trbdf2", "trapezoid")

as_method <- function(method) {
  if (!is.character(method) || length(method) != 1 || is.na(method)) {
    abort("type_error", "'method' must be one character string.", remedy = "Names: names(nodekit()$METHODS).")
  }
  if (method == "lsoda") return("auto")
  if (method %in% c("auto", names(TABLEAUS))) return(method) # which starts no Python
  known <- names(nodekit()$METHODS)
  if (method %in% known) return(method)
  remedy <- if (method %in% DESOLVE_METHODS$nonstiff) {
    paste0("'", method, "' is deSolve's; here use \"dopri5\".")
  } else if (method %in% DESOLVE_METHODS$stiff) {
    paste0("'", method, "' is deSolve's; here use \"", intersect(STIFF_METHODS, known)[1], "\", or \"dopri5\" where ",
      "nothing is stiff.")
  } else if (method == "iteration") {
    "'iteration' is deSolve's, for discrete time, which is not possible here."
  } else {
    nearest <- known[which.min(utils::adist(method, known))]
    paste0("Did you mean '", nearest, "'? Known: ", paste(known, collapse = ", "), ".")
  }
  abort("unknown_method", "There is no method '", method, "'.", remedy = remedy)
}

is_adaptive <- function(method) {
  if (method == "auto") TRUE else TABLEAUS[[method]]$adaptive %||% nodekit()$METHODS[[method]]$adaptive
}
