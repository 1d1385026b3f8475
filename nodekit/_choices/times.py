"""The times of a solve as the user gives them, and as the solver takes them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._warning import warn
from ..errors import InvalidOption, InvalidTimes


def output_times(t, open_end: bool = False) -> list[float]:
    """The output times as Python floats.

    Args:
        open_end: whether the last may be infinite.

    Raises:
        InvalidTimes: unless finite and strictly monotone.
    """
    if getattr(t, "ndim", 1) > 1:
        raise InvalidTimes(
            f"t must be one-dimensional, it has shape {tuple(t.shape)}",
            remedy="Times of each sample, a row each, go with batch='independent'",
        )
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


def sample_times(t: Any, samples: int, open_end: bool = False) -> tuple[Tensor, Tensor]:
    """The output times of every sample, and which of them are none.

    Args:
        t: one-dimensional, or (batch, times), whose rows may end in padding: NaN, or the last time again.
        open_end: whether the last may be infinite.

    Returns:
        Times (batch, times) in float64 on the host, all padding the last time again; and where they were NaN.

    Raises:
        InvalidTimes: unless finite and strictly monotone for every sample, up to its padding.
    """
    try:
        times = _on_host(t)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTimes(
            f"t must hold numbers, of shape (times,) or (batch, times): {error}",
            remedy="Fill up rows that are shorter with NaN",
        ) from error
    if times.ndim not in (1, 2) or (times.ndim == 2 and len(times) != samples) or times.shape[-1] == 0:
        raise InvalidTimes(
            f"t must have shape (times,) or (batch, times) = ({samples}, …), it has {tuple(times.shape)}"
        )
    if times.shape[-1] == 1:
        warn_of_one_time()
    own = times.ndim == 2
    rows = times if own else times.unsqueeze(0)
    full, given = without_padding(rows) if own else (rows, torch.ones_like(rows, dtype=torch.bool))
    finite = torch.isfinite(full)
    if open_end:
        finite[:, 1:] |= full[:, 1:].isinf() & (full[:, 1:] == full[:, -1:])
    for fine, words, remedy in (
        (finite.all(1), "t is not finite", "Give every sample its initial time; NaN may only follow its last one"),
        (
            increases(full, given) | increases(-full, given),
            "t must be strictly increasing or decreasing for every sample",
            "Sort t and drop duplicates; to give a sample fewer times, end its row in NaN or its last time",
        ),
    ):
        if not fine.all():
            i = int(fine.long().argmin())
            raise InvalidTimes(f"{words}; it is {rows[i].tolist()}", sample=i if own else None, remedy=remedy)
    return full.expand(samples, -1), rows.isnan().expand(samples, -1)


def sample_stops(name: str, values: Any, samples: int) -> Tensor:
    """The times of an option, step_t or jump_t, for every sample: (batch, k) in float64 on the host, NaN for none.

    Raises:
        InvalidOption: unless one-dimensional, or with a row for each sample.
    """
    try:
        stops = _on_host([] if values is None else values)
    except (TypeError, ValueError) as error:
        raise InvalidOption(
            f"the option {name} must be times, not {values!r}", remedy="Fill up rows that are shorter with NaN"
        ) from error
    if stops.ndim == 2 and len(stops) == samples:
        return stops
    if stops.ndim > 1:
        raise InvalidOption(
            f"the option {name} must have shape (k,) or (batch, k) = ({samples}, …), it has {tuple(stops.shape)}"
        )
    return stops.reshape(1, -1).expand(samples, -1)


def _on_host(values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().double().cpu()
    return torch.as_tensor(np.array(values, dtype=float))


def without_padding(times: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of times whose padding is the last time again, and which of them are given, not padding.

    Padding begins with the first NaN, or the first time that is the one before it. Whether nothing else follows is for
    the caller to check, by `increases`.

    Args:
        times: shape (rows, times).
    """
    missing = times.isnan()
    new = ~missing
    new[:, 1:] &= times[:, 1:] != times[:, :-1]
    given = new.cumprod(1).bool()
    last = times.gather(1, (given.sum(1, keepdim=True) - 1).clamp(min=0))
    return torch.where(missing, last, times), given


def increases(times: Tensor, given: Tensor) -> Tensor:
    """Which rows of times increase strictly as far as they are given, and then stay."""
    before, after = times[:, :-1], times[:, 1:]
    return torch.where(given[:, 1:], after > before, after == before).all(1)
