# What is not understood is said by name, in every function that takes `...`.

decay <- function(t, y, parms) list(-y)
open <- function(t, y, parms, ...) list(-y)

unknown <- function(expression, message) {
  expect_error(expression, message, class = "nodekit_unknown_argument")
}

test_that("a misspelt argument is an error that names the right one, even where func takes any", {
  unknown(nk_ode(c(a = 1), 0:1, open, hmxa = 0.1), "'hmxa'.*\\n.*'hmax'")
  unknown(nk_ode(c(a = 1), 0:1, open, hmx = 0.1), "'hmax'")
  unknown(nk_ode(c(a = 1), 0:1, open, event = list()), "'events'")
  unknown(nk_ode(c(a = 1), 0:1, decay, hmxa = 0.1), "'hmax'")
  unknown(nk_ode(c(a = 1), 0:1, decay, flux = 3), "function\\(t, y, parms, flux\\)")
})

test_that("deSolve's arguments without a meaning here: a warning where nothing changes, else an error", {
  needs_python()
  expect_warning(
    out <- nk_ode(c(a = 1), 0:1, open, verbose = TRUE, jacfunc = function(t, y, parms) matrix(-1)),
    "'verbose', 'jacfunc' of deSolve have no meaning", fixed = FALSE, class = "nodekit_warning"
  )
  expect_equal(out[[2, "a"]], exp(-1), tolerance = 1e-5)
  unknown(nk_ode(c(a = 1), 0:1, decay, lags = list()), "dede")
})

test_that("arguments that func names reach it, whatever they are called", {
  needs_python()
  with_verbose <- function(t, y, parms, verbose, flux, ...) list(flux * verbose - y + list(...)$extra)
  out <- nk_ode(c(a = 0), c(0, 1), with_verbose, verbose = 1, flux = 2, extra = 1)
  expect_equal(out[[2, "a"]], 3 * (1 - exp(-1)), tolerance = 1e-5)
})

test_that("a fitted model or a module takes no further arguments", {
  needs_python()
  unknown(nk_ode(c(a = 1), 0:1, decay_module(1), flux = 1), "'flux'")
})

test_that("print() of a solution knows what it hands on", {
  needs_python()
  out <- nk_ode(c(a = 1), 0:1, decay)
  expect_output(print(out, digits = 3), "0.368")
  unknown(print(out, digts = 3), "'digits'")
})

test_that("what is left of deSolve's last solve is not taken for this one's", {
  skip_if_not_installed("deSolve")
  # After dede() its history is still there: lagvalue() would answer from it, whatever is solved here.
  late <- function(t, y, parms) list(if (t > 1) -deSolve::lagvalue(t - 1) else -1)
  deSolve::dede(c(a = 5), 0:3, late)
  refused <- function(func, name) {
    expect_error(nk_ode(c(a = 1), 0:3, func), paste0(name, "\\(\\), which only deSolve's"), class = "nodekit_value_error")
  }
  refused(late, "lagvalue")
  inner <- function(t) deSolve::timestep(FALSE)
  refused(function(t, y, parms) list(-y, dt = inner(t)), "timestep")
  needs_python()
  timestep <- 2 # a variable of that name, and a function of the user's, are theirs
  lagvalue <- function(t) t
  expect_equal(nk_ode(c(a = 1), 0:1, function(t, y, parms) list(-timestep * y + 0 * lagvalue(t)))[[2, "a"]], exp(-2),
    tolerance = 1e-5)
})

test_that("calls for deSolve's other solvers are answered with what to do", {
  # None of them passes in silence, also where func takes anything.
  for (name in names(FOREIGN_ARGUMENTS)) {
    unknown(do.call(nk_ode, c(list(c(a = 1), 0:1, open), stats::setNames(list(1), name))), paste0("'", name, "'"))
  }
  unknown(nk_ode(1:4, 0:1, decay, NULL, nspec = 2, names = c("a", "b")), "ode.1D")
  unknown(nk_ode(1, 0:1, res = function(t, y, dy, parms) list(dy + y), dy = -1), "'res'.*\\n.*dy/dt")
  expect_error(nk_ode(1, 0:1), "no 'func'", class = "nodekit_value_error")
})
