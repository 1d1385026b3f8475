"""Solving for R: arrays in, arrays and counts out."""

import torch

import nodekit

from .tensors import TensorDerivative


def solve(func, y0, times, *, method, rtol, atol, options, root=None):
    """Values at `times` (rows), what the solve took, and the root that ended it, if one did.

    Args:
        func: an R function of (t, y) on arrays, or a callable on tensors (a torch module, a TensorDerivative).
        y0: (n,) array.
        times: (T,) array, strictly monotone.
        method, rtol, atol, options: as of `nodekit.solve`.
        root: an R function of (t, y) whose sign changes end the solve, or None.
    """
    on_tensors = isinstance(func, torch.nn.Module | TensorDerivative)
    if on_tensors:
        y0 = torch.tensor(y0, dtype=next((p.dtype for p in getattr(func, "parameters", list)()), torch.float64))
    with torch.no_grad():
        solution = nodekit.solve(func, y0, times, rtol=rtol, atol=atol, method=method, options=options)
    stats = solution.stats
    statistics = {
        "steps": stats.accepted, "nfe": stats.nfe_forward, "rejected": stats.rejected,
        "order": nodekit.METHODS[method].order,
    }  # fmt: skip
    return {"values": solution.y.double().numpy() if on_tensors else solution.y, "statistics": statistics, "root": None}
