# Every test that computes needs Python; without it these are skipped, and the others still run.
needs_python <- function() skip_if_not(nk_available(), "nodekit is not available to R")

# Largest difference between a result and deSolve's, column by column relative to the column's size.
relative_difference <- function(found, peer) {
  stopifnot(identical(dim(found), dim(peer)), identical(colnames(found), colnames(peer)))
  found <- matrix(found, nrow(found))
  peer <- matrix(peer, nrow(peer))
  max(apply(abs(found - peer), 2, max) / pmax(apply(abs(peer), 2, max), 1e-12))
}

# The error that an expression gives.
error_of <- function(expression) tryCatch(expression, error = identity)

# A folder that looks like a clone of nodekit.
a_clone <- function() {
  folder <- tempfile("clone")
  dir.create(folder)
  writeLines(c("[project]", "name = \"nodekit-ode\""), file.path(folder, "pyproject.toml"))
  folder
}

# A PyTorch module of dy/dt = -rate * y.
decay_module <- function(rate) {
  reticulate::py_run_string("
import torch
class Decay(torch.nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate
    def forward(self, t, y):
        return -self.rate * y
")$Decay(rate)
}
