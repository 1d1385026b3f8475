#' Install the Python library nodekit
#'
#' Makes a Python environment of its own (`r-nodekit`, which reticulate finds by that name) and installs nodekit
#' into it. The distribution is called `nodekit-ode`: the project called `nodekit` on PyPI is an unrelated one, and
#' is never installed.
#'
#' @param source what to install: a folder with nodekit's source, a wheel (`.whl`), or the name of the distribution.
#'   By default the source that the working directory is inside of, else `nodekit-ode`. The option `nodekitr.source`
#'   overrides the default.
#' @param envname name or path of the environment.
#' @param method `"virtualenv"` or `"conda"`, as in [reticulate::py_install()].
#' @param python the Python to make a virtual environment with, at least 3.11; `NULL` lets reticulate choose.
#' @param dry_run only return what would be installed.
#' @param ... further arguments of [reticulate::virtualenv_create()] or [reticulate::conda_create()].
#' @return invisibly, the list of `packages`, `envname` and `method`.
#' @examples
#' install_nodekit(dry_run = TRUE)$packages
#' \dontrun{
#' install_nodekit()                     # inside a clone of nodekit, or from the package index
#' install_nodekit("~/nodekit")          # a clone elsewhere
#' }
#' @export
install_nodekit <- function(source = NULL, envname = "r-nodekit", method = c("virtualenv", "conda"), python = NULL,
                            dry_run = FALSE, ...) {
  method <- match.arg(method)
  plan <- list(packages = c(nodekit_requirement(source), numpy_requirement()), envname = envname, method = method)
  if (dry_run) return(plan)
  if (method == "virtualenv") {
    make_virtualenv(envname, python, ...)
    install <- function() without_poetry_warning(reticulate::virtualenv_install(envname, packages = plan$packages))
  } else {
    if (!envname %in% reticulate::conda_list()$name) {
      reticulate::conda_create(envname, packages = paste0("python", OLDEST_PYTHON), ...)
    }
    install <- function() reticulate::conda_install(envname, packages = plan$packages, pip = TRUE)
  }
  tryCatch(install(), error = function(e) abort_not_installable(plan$packages[1], conditionMessage(e)))
  message("nodekit is installed in the environment '", envname, "'. Start R again to use it.")
  invisible(plan)
}

OLDEST_PYTHON <- ">=3.11"

make_virtualenv <- function(envname, python, ...) {
  made <- !reticulate::virtualenv_exists(envname)
  if (made) {
    starter <- if ("virtualenv_starter" %in% getNamespaceExports("reticulate")) {
      getExportedValue("reticulate", "virtualenv_starter")(OLDEST_PYTHON)
    }
    without_poetry_warning(
      reticulate::virtualenv_create(envname, python = python %||% starter, packages = NULL, ...)
    )
  }
  print_version <- shQuote("import sys; print('%d.%d' % sys.version_info[:2])")
  version <- system2(reticulate::virtualenv_python(envname), c("-c", print_version), stdout = TRUE)
  if (made && numeric_version(version) < "3.11") reticulate::virtualenv_remove(envname, confirm = FALSE)
  check_python_version(version, envname)
}

check_python_version <- function(version, envname) {
  if (numeric_version(version) >= "3.11") return(invisible())
  abort("not_installed", "The Python for the environment '", envname, "' is ", version, "; nodekit needs 3.11 or newer.",
    remedy = paste0(
      "Name a newer one, e.g. install_nodekit(python = \"/usr/bin/python3.12\"); reticulate::install_python() gets ",
      "one. An environment that exists is removed by reticulate::virtualenv_remove(\"", envname, "\")."
    )
  )
}

abort_not_installable <- function(package, found) {
  abort("not_installed", "'", package, "' could not be installed.\n", found, remedy = paste0(
    "What pip said is above. Without a release on the package index, give a clone of nodekit: ",
    "install_nodekit(\"path/to/the/clone\")."
  ))
}

# What to hand to pip: a path in full, or a name; never the unrelated project.
nodekit_requirement <- function(source = NULL) {
  source <- source %||% known_source() %||% "nodekit-ode"
  if (!is.character(source) || length(source) != 1 || is.na(source)) {
    abort("type_error", "'source' must be one character string.",
      remedy = "Give a folder, a wheel or the distribution's name."
    )
  }
  if (tolower(sub("[^A-Za-z0-9._-].*$", "", trimws(source))) == "nodekit" && !dir.exists(source)) {
    abort("value_error", "'nodekit' on PyPI is an unrelated project.",
      remedy = "Use \"nodekit-ode\", or the path of a folder or wheel."
    )
  }
  if (file.exists(source)) {
    if (dir.exists(source) && !is_checkout(source)) {
      abort("value_error", "'", source, "' is not a source folder of nodekit: no pyproject.toml names nodekit-ode.",
        remedy = "Give the top folder of a clone."
      )
    }
    source <- normalizePath(source, winslash = "/")
    return(if (has_py_require()) paste0("nodekit-ode @ file://", source) else source)
  }
  if (grepl("[/\\\\]|\\.whl$", source) && !grepl("://", source, fixed = TRUE)) {
    abort("value_error", "'", source, "' does not exist.", remedy = "Check the path of the folder or wheel.")
  }
  source
}

# reticulate before 1.38 reads arrays of NumPy 1 only.
numpy_requirement <- function() {
  if (utils::packageVersion("reticulate") < "1.38") "numpy>=1.26,<2" else "numpy>=1.26"
}

# Where nodekit's source is, as far as this session can know.
known_source <- function() getOption("nodekitr.source") %||% checkout_around(getwd())

# The Python of the environment that `make setup` made in the source around, or NULL.
known_python <- function() {
  pythons <- file.path(known_source(), c(".venv/bin/python", ".venv/Scripts/python.exe", ".conda/bin/python"))
  Find(file.exists, pythons)
}

is_checkout <- function(folder) {
  file <- file.path(folder, "pyproject.toml")
  file.exists(file) && any(grepl("^name *= *\"nodekit-ode\"", readLines(file, warn = FALSE)))
}

checkout_around <- function(folder) {
  repeat {
    if (is_checkout(folder)) return(folder)
    if (dirname(folder) == folder) return(NULL)
    folder <- dirname(folder)
  }
}

# reticulate 1.28 takes every folder with a pyproject.toml for a Poetry project, and warns that it cannot use it.
without_poetry_warning <- function(expression) {
  withCallingHandlers(expression, warning = function(w) {
    if (grepl("Poetry", conditionMessage(w), fixed = TRUE)) invokeRestart("muffleWarning")
  })
}

has_py_require <- function() "py_require" %in% getNamespaceExports("reticulate")

`%||%` <- function(a, b) if (is.null(a)) b else a
