"""The times of a solve as the user gives them, and as the solver takes them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from torch import Tensor

from ._warning import warn
from .errors import InvalidTimes


def output_times(t, open_end: bool = False) -> list[float]:
    """The output times as Python floats.

    Args:
        open_end: whether the last may be infinite.

    Raises:
        InvalidTimes: unless finite and strictly monotone.
    """
    if getattr(t, "ndim", 1) > 1:
        raise InvalidTimes(f"t must be one-dimensional, it has shape {tuple(t.shape)}")
    try:
        times = as_floats(t)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidTimes(
            f"t must hold numbers, it is {t!r}", remedy="Of tensors make one, by torch.stack, which keeps gradients"
        ) from error
    if not times:
        raise InvalidTimes("t is empty", remedy="Give the initial time first, then the times at which to have y")
    if not all(map(math.isfinite, times[: max(1, len(times) - open_end)])) or math.isnan(times[-1]):
        raise InvalidTimes(f"t is not finite: {times}")
    if len(times) == 1:
        warn_of_one_time()
    steps = [b - a for a, b in itertools.pairwise(times)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        i = next(i for i, step in enumerate(steps) if step * steps[0] <= 0)
        raise InvalidTimes(
            f"t must be strictly increasing or decreasing: t[{i}] = {times[i]:g}, t[{i + 1}] = {times[i + 1]:g}",
            remedy="Sort t and drop duplicates",
        )
    return times


def warn_of_one_time() -> None:
    """The end alone is easily taken for what t should hold."""
    warn("t holds one time, the initial one, at which the solution is y0: name the initial time and those to solve to")


def as_floats(values) -> list[float]:
    """Numbers of any kind as Python floats."""
    if values is None:
        return []
    if isinstance(values, Tensor):
        values = values.detach().reshape(-1).tolist()
    if isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values):
        return [float(value) for value in values]  # which torch.compile can follow
    return np.asarray(values, dtype=float).reshape(-1).tolist()
