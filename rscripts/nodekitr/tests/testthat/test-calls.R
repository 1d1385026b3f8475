# What crosses between R and Python while a problem is solved or a model is trained: counted, not timed.

# How often Python calls R while `expression` is evaluated, and which Python types are exchanged then.
crossings <- function(expression) {
  modules <- reticulate::import_from_path("nodekitr", path = system.file("python", package = "nodekitr"))
  watch <- reticulate::py_run_string("
import sys

class Watch:
    def __init__(self, module):
        self.module, self.original, self.calls, self.types = module, module._on_arrays, 0, set()
        module._on_arrays = lambda func: self.original(lambda t, y: self.exchange(func, t, y))
        sys.setprofile(self.count)

    def count(self, frame, event, called):
        self.calls += event == 'c_call' and getattr(called, '__name__', '') == 'call_r_function'

    def exchange(self, func, t, y):
        slope = func(t, y)
        self.types.add(' '.join(type(x).__name__ for x in (t, y, slope)))
        return slope

    def end(self):
        sys.setprofile(None)
        self.module._on_arrays = self.original
        return {'calls': self.calls, 'types': sorted(self.types)}
")$Watch(modules$ode)
  on.exit(watch$end())
  force(expression)
  watch$end()
}

test_that("in steps of the library an R derivative is called once an evaluation, with one array each way", {
  needs_python()
  for (size in c(1, 1000)) {
    out <- NULL
    seen <- crossings(out <- nk_ode(rep(1, size), 0:2, function(t, y, parms) list(-y), method = "bosh3"))
    expect_equal(seen$calls, attr(out, "istate")[3])
    expect_identical(seen$types, "float ndarray ndarray")
  }
})

test_that("no R runs in the loop of a torch module or of nk_fit(), nor when its model is solved", {
  needs_python()
  decay <- decay_module(1)
  expect_identical(crossings(nk_ode(c(a = 1), 0:2, decay))$calls, 0L)
  data <- data.frame(time = 0:4, x = exp(-(0:4)))
  train <- function() nk_fit(data, layers = 4, epochs = 3, seed = 1, progress = FALSE)
  fit <- train() # what PyTorch imports when it first trains, reticulate looks at
  expect_gt(fit$history$nfe_forward[3], 0)
  expect_identical(crossings(train())$calls, 0L)
  expect_identical(crossings(nk_ode(c(x = 1), 0:2, fit))$calls, 0L)
  expect_identical(crossings(predict(fit))$calls, 0L)
  images <- array(stats::runif(8 * 8 * 8), c(8, 8, 8))
  seen <- crossings(nk_classifier(images, rep(1:2, 4), filters = 2, step_size = 0.5, seed = 1, progress = FALSE))
  expect_identical(seen$calls, 0L)
})
