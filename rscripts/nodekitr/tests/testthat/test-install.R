# What would be installed, and what is said where nothing is.

test_that("what is installed is nodekit-ode, never the unrelated nodekit", {
  folder <- a_clone()
  expect_identical(basename(install_nodekit(folder, dry_run = TRUE)$packages[1]), basename(folder))
  expect_identical(install_nodekit("nodekit-ode", dry_run = TRUE)$packages[1], "nodekit-ode")
  expect_error(install_nodekit("nodekit", dry_run = TRUE), "unrelated", class = "nodekit_value_error")
  expect_error(install_nodekit("nodekit==1.0", dry_run = TRUE), "unrelated", class = "nodekit_value_error")
  expect_error(install_nodekit("no/such/folder", dry_run = TRUE), "does not exist", class = "nodekit_value_error")
  expect_error(install_nodekit(tempdir(), dry_run = TRUE), "not a source folder", class = "nodekit_value_error")
  expect_error(install_nodekit(1, dry_run = TRUE), class = "nodekit_type_error")
})

test_that("inside a clone, the clone is what is installed", {
  folder <- a_clone()
  inner <- file.path(folder, "rscripts")
  dir.create(inner)
  old <- setwd(inner)
  on.exit(setwd(old))
  expect_identical(basename(install_nodekit(dry_run = TRUE)$packages[1]), basename(folder))
})

test_that("inside a clone, its environment is found", {
  folder <- a_clone()
  old <- setwd(folder)
  on.exit(setwd(old))
  expect_null(known_python())
  python <- file.path(".venv", "bin", "python")
  dir.create(dirname(python), recursive = TRUE)
  file.create(python)
  dir.create("rscripts")
  setwd("rscripts")
  expect_identical(normalizePath(known_python()), normalizePath(file.path(folder, python)))
})

test_that("the NumPy that Debian's reticulate cannot read is not installed", {
  numpy <- install_nodekit("nodekit-ode", dry_run = TRUE)$packages[2]
  expect_identical(grepl("<2", numpy), utils::packageVersion("reticulate") < "1.38")
})

test_that("an environment with a Python that is too old, or an installation that fails, is told with what to do", {
  expect_error(nodekitr:::check_python_version("3.10", "r-nodekit"), "is 3.10; nodekit needs 3.11.*virtualenv_remove",
    class = "nodekit_not_installed"
  )
  expect_no_error(nodekitr:::check_python_version("3.11", "r-nodekit"))
  expect_error(nodekitr:::abort_not_installable("nodekit-ode", "no network"), "no network.*clone",
    class = "nodekit_not_installed"
  )
})

test_that("loading the package starts no Python, and without it one message says what to run", {
  script <- tempfile(fileext = ".R")
  writeLines(c(
    ".libPaths(strsplit(commandArgs(TRUE)[1], .Platform$path.sep, fixed = TRUE)[[1]])",
    "library(nodekitr)",
    "stopifnot(!reticulate::py_available())",
    "found <- tryCatch(nk_ode(1, 0:1, function(t, y, parms) list(-y), method = 'trbdf2'), error = identity)",
    "stopifnot(inherits(found, 'nodekit_not_installed'), !nk_available())",
    "cat(conditionMessage(found))"
  ), script)
  empty <- tempfile("empty")
  dir.create(empty)
  python <- file.path(empty, "python") # a Python that there is, but that fails
  writeLines(c("#!/bin/sh", "exit 1"), python)
  Sys.chmod(python, "755")
  said <- suppressWarnings(system2(file.path(R.home("bin"), "Rscript"),
    c("--vanilla", shQuote(script), shQuote(paste(.libPaths(), collapse = .Platform$path.sep))),
    env = c(paste0("RETICULATE_PYTHON=", python), paste0("HOME=", empty), "VIRTUAL_ENV=", "UV_OFFLINE=1"),
    stdout = TRUE, stderr = TRUE
  ))
  expect_match(paste(said, collapse = "\n"), "nodekitr::install_nodekit()", fixed = TRUE)
})
