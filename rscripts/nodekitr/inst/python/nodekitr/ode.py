"""Solving for R: arrays in, arrays and counts out."""

import nodekit
import numpy as np
import torch

from .tensors import TensorDerivative


def solve(func, y0, times, *, method, rtol, atol, options, root=None):
    """Values at `times` (rows), what the solve took, and the root that ended it, if one did.

    Args:
        func: an R function of (t, y) on arrays, or a callable on tensors (a torch module, a TensorDerivative).
        y0: (n,) array.
        times: (T,) array, strictly monotone.
        method, rtol, atol, options: as of `nodekit.odeint`.
        root: an R function of (t, y) whose sign changes end the solve, or None.
    """
    nfe = 0

    def on_arrays(t, y):
        nonlocal nfe
        nfe += 1
        return func(float(t), y)

    def on_tensors(t, y):
        nonlocal nfe
        nfe += 1
        return func(t, y)

    choices = {"method": method, "rtol": rtol, "atol": atol, "options": options}
    with torch.no_grad():
        if isinstance(func, torch.nn.Module | TensorDerivative):
            dtype = next((p.dtype for p in getattr(func, "parameters", list)()), torch.float64)
            y0, times = torch.tensor(y0, dtype=dtype), torch.tensor(times)
            values = nodekit.odeint(on_tensors, y0, times, **choices).double().numpy()
        else:
            values = nodekit.odeint(on_arrays, y0, times, **choices)
    statistics = {"nfe": nfe, "steps": 0, "rejected": 0, "order": nodekit.METHODS[method].order}
    return {"values": np.asarray(values), "statistics": statistics, "root": None}
