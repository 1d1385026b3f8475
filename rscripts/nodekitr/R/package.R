#' nodekitr: neural ODEs for people who know deSolve
#'
#' [nk_ode()] solves a differential equation with deSolve's call and deSolve's result; [nk_fit()] learns one from
#' trajectories in a data frame; [nk_classifier()] learns to tell images apart with one inside; [nk_gradient()]
#' differentiates through a solution. They run on the Python library nodekit, which [install_nodekit()] installs.
#'
#' Attaching the package starts no Python: the first call that needs it does.
#' @importFrom stats coef confint df.residual fitted logLik nobs predict residuals sigma simulate vcov
#' @keywords internal
"_PACKAGE"

# What a session holds: the Python modules once loaded, and the last error of an R function that Python called.
session <- new.env(parent = emptyenv())

.onLoad <- function(libname, pkgname) {
  # Where deSolve is installed, its methods for a solution are at hand, for one that was saved in another session too.
  requireNamespace("deSolve", quietly = TRUE)
  # Where reticulate makes environments by need (>= 1.41) and the source is known, say what is needed: starts nothing.
  # reticulate itself, which takes half a second to load, is not needed for steps taken in R.
  if (isNamespaceLoaded("reticulate")) require_python() else
    setHook(packageEvent("reticulate", "onLoad"), function(...) require_python())
}

require_python <- function() {
  if (!has_py_require() || is.null(known_source())) return()
  py_require <- getExportedValue("reticulate", "py_require")
  try(py_require(c(nodekit_requirement(), numpy_requirement()), OLDEST_PYTHON), silent = TRUE)
}

#' The Python library itself
#'
#' The module `nodekit`, for whatever this package does not wrap; the same as `reticulate::import("nodekit")`, but
#' where Python or the library is missing the error says what to run.
#' @return `nodekit()`: the Python module. `nk_available()`: `TRUE` where it can be loaded, else `FALSE`; both start
#'   Python.
#' @examples
#' if (nk_available()) names(nodekit()$METHODS)
#' @export
nodekit <- function() {
  if (is.null(session$nodekit)) session$nodekit <- load_nodekit()
  session$nodekit
}

#' @rdname nodekit
#' @export
nk_available <- function() !is.null(tryCatch(nodekit(), nodekit_not_installed = function(e) NULL))

load_nodekit <- function() {
  # Where there is no Python, reticulate would offer an interactive user a Miniconda, which is not what is missing.
  offer <- Sys.getenv("RETICULATE_MINICONDA_ENABLED", NA)
  Sys.setenv(RETICULATE_MINICONDA_ENABLED = "FALSE")
  on.exit(if (is.na(offer)) Sys.unsetenv("RETICULATE_MINICONDA_ENABLED") else
    Sys.setenv(RETICULATE_MINICONDA_ENABLED = offer))
  # The environment that install_nodekit() made, or that of the source around, unless the user chose a Python.
  if (!reticulate::py_available() && !nzchar(Sys.getenv("RETICULATE_PYTHON"))) {
    if (reticulate::virtualenv_exists("r-nodekit")) {
      reticulate::use_virtualenv("r-nodekit", required = FALSE)
    } else if (!is.null(known_python())) {
      reticulate::use_python(known_python(), required = FALSE)
    }
  }
  module <- tryCatch(without_poetry_warning(reticulate::import("nodekit")), error = function(e) {
    abort_not_installed(conditionMessage(e))
  })
  if (!reticulate::py_has_attr(module, "odeint")) {
    abort_not_installed("The 'nodekit' that Python finds is an unrelated project of the same name.")
  }
  module
}

# The Python half of this package (inst/python), through which every call goes.
bridge <- function() {
  if (is.null(session$bridge)) {
    nodekit()
    session$bridge <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))
  }
  session$bridge
}
