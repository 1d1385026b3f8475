"""Solving for R: arrays in, arrays and counts out."""

import numpy as np
import torch

import nodekit

from .calls import described
from .stiffness import Watched
from .tensors import TensorDerivative


def solve(func, y0, times, *, method, rtol, atol, options, roots=None, watch=False):
    """Values at the `times` that were reached (rows), what the solve took, the roots on the way, and what failed.

    Args:
        func: an R function of (t, y) on arrays, or a callable on tensors (a torch module, a TensorDerivative).
        y0: (n,) array.
        times: (T,) array, strictly monotone.
        method, rtol, atol, options: as of `nodekit.solve`; the option grid: an array, where fixed steps end.
        roots: None, or {"root": an R function (t, y) → (k,) array whose zeros are events, "count": k, "terminal": list
            of those of 0 … k − 1 that end the solve, "change": None or an R function (t, y) → the state to go on
            with}.
        watch: whether to stop where an explicit method's steps are short for stability alone.
    """
    y0 = torch.tensor(y0, dtype=next((p.dtype for p in getattr(func, "parameters", list)()), torch.float64))
    derivative = func if isinstance(func, torch.nn.Module | TensorDerivative) else _on_arrays(func)
    chosen = nodekit.METHODS[method]
    if watch:
        derivative = watched(derivative, times, method)
    events = _events(**roots) if roots else ()
    with torch.no_grad():
        solution = nodekit.solve(
            derivative, y0, times, rtol=rtol, atol=atol, method=method, options=with_grid(options), events=events,
            throw=False,
        )  # fmt: skip
    stats, found = solution.stats, solution.events
    values = _array(solution.y)
    failed = solution.status is not None
    return {
        "values": values[: _reached(values)] if failed else values,
        "failure": described(solution.status) if failed else None,
        "statistics": {
            "steps": stats.accepted, "nfe": stats.nfe_forward, "rejected": stats.rejected,
            "order": chosen.order,
        },
        "roots": {
            "t": _array(found.t), "y": _array(found.y), "index": np.array(found.index, dtype=int),
            "terminated": found.terminated,
        } if events else None,
    }  # fmt: skip


def watched(derivative, times, method):
    """The derivative, watched for stiffness where an explicit method chooses its steps."""
    chosen = nodekit.METHODS[method]
    watch = Watched(derivative, times[0], times[-1], method)
    watch.active = chosen.adaptive and not chosen.implicit and method != "auto"
    return watch


def with_grid(options):
    """Options with a grid as the library takes it."""
    grid = options.get("grid") if options else None
    if grid is None:
        return options
    rest = {name: value for name, value in options.items() if name != "grid"}
    return {**rest, "grid_constructor": lambda *_: torch.tensor(grid)}


def _reached(values):
    """How many rows come before the first that is not finite."""
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    return len(values) if finite.all() else int(finite.argmin())


def _on_arrays(func):
    """An R function of (t, y) on arrays as a derivative on tensors."""
    # The copy, as R's arrays are read-only, costs a tenth of what torch.tensor does.
    return lambda t, y: torch.from_numpy(np.array(func(float(t), y.detach().numpy())))


def _array(x):
    return x.detach().double().numpy()


def _events(root, count, terminal, change):
    """One event for each value of the R function, which is called once for all of them.

    The change is made once where several of them are zero at the same time, as deSolve does: by the first.
    """
    seen = None, None, None
    made = None, None

    def value(i):
        def component(t, y):
            nonlocal seen
            if seen[0] is not y or seen[1] != t:
                seen = y, t, np.atleast_1d(root(float(t), _array(y)))
            return seen[2][i]

        return component

    def changed(i):
        def state(t, y):
            nonlocal made
            if made[0] == float(t) and made[1] != i:
                return y
            made = float(t), i
            return torch.tensor(change(float(t), _array(y)), dtype=y.dtype)

        return state

    return [
        nodekit.Event(value(i), terminal=i in terminal, change=None if i in terminal or change is None else changed(i))
        for i in range(count)
    ]
