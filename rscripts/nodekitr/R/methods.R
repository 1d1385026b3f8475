# Names of methods: the library's, deSolve's, and the one that is chosen where none is named.

# What to use here where a user of deSolve thinks of one of its methods: the same one where it is there, else its like.
DESOLVE_METHODS <- list(
  stiff = c("lsode", "lsodes", "vode", "daspk", "radau", "bdf", "bdf_d", "irk3r", "irk5r", "irk4hh", "irk6kb", "irk4l", "irk6l"),
  nonstiff = c("lsodar", "adams", "impAdams", "impAdams_d", "rk23", "rk34f", "rk45f", "rk45ck", "rk45e", "rk45dp6",
    "rk78dp", "rk78f"),
  same = c(ode45 = "dopri5", rk45dp7 = "dopri5", ode23 = "bosh3", rk23bs = "bosh3", rk2 = "heun")
)
STIFF_METHODS <- c("radauIIA5", "kvaerno5", "trbdf2", "trapezoid")

as_method <- function(method) {
  if (!is.character(method) || length(method) != 1 || is.na(method)) {
    abort("type_error", "'method' must be one character string.", remedy = paste0(
      if (is.list(method) && is.character(method$ID)) "Tables of rkMethod() are not taken. ",
      if (is.function(method)) "Give its name in quotes, for example \"rk4\". ",
      "Names: names(nodekit()$METHODS)."
    ))
  }
  if (method == "lsoda") return("auto")
  if (method %in% c("auto", names(TABLEAUS))) return(method) # which starts no Python
  known <- names(nodekit()$METHODS)
  if (method %in% known) return(method)
  remedy <- if (method %in% names(DESOLVE_METHODS$same)) {
    paste0("'", method, "' is deSolve's; here it is called \"", DESOLVE_METHODS$same[[method]], "\".")
  } else if (method %in% DESOLVE_METHODS$nonstiff) {
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
