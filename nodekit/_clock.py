"""Times: kept as Python floats (float64) by the solver, handed to the derivative as tensors made on its device."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Interval:
    """One step's piece of the time axis.

    Attributes:
        t0, t1: its ends; dt: their difference, negative when solving backwards in time.
        times: scalar tensors, the start, then the method's nodes, then the end.
        method: which of its methods a stepper of several takes the step with, once it has been taken.
    """

    __slots__ = ("dt", "method", "t0", "t1", "times")

    def __init__(self, t0: float, t1: float, times: Sequence[torch.Tensor]):
        self.t0, self.t1, self.dt, self.times, self.method = t0, t1, t1 - t0, times, None


class Clock:
    """Makes the scalar time tensors of whole intervals, without waiting for the device.

    Args:
        nodes: the method's nodes c, within [0, 1].
        dtype: of the times the derivative sees: the state's own real dtype (float32 for half precision).
        device: the state's device.

    Attributes:
        exact: the dtype that times are kept in on the device.
    """

    def __init__(self, nodes: Sequence[float], dtype: torch.dtype, device: torch.device):
        self.nodes = (0.0, *nodes, 1.0)
        self.dtype, self.device = dtype, device
        # float64 is not to be had on every accelerator.
        self.exact = torch.float32 if device.type == "mps" else torch.float64
        self._from_end = torch.tensor(self.nodes, dtype=self.exact, device=device)
        self._from_start = 1 - self._from_end

    def instant(self, t: float) -> torch.Tensor:
        """One time as a scalar tensor."""
        return torch.tensor(t, dtype=self.dtype, device=self.device)

    def length(self, dt: float) -> float:
        """A difference of times, such that slopes can be multiplied by it."""
        return dt

    def interval(self, t0: float, t1: float, *, open_start: bool = False, open_end: bool = False) -> Interval:
        """The interval from t0 to t1; an open end is evaluated at the next number inside, past a jump of the slope."""
        # c·t1 + (1 − c)·t0 is exactly t0 at c = 0 and exactly t1 at c = 1: no evaluation outside the interval.
        start = self.inside(t0, t1) if open_start else t0
        end = self.inside(t1, t0) if open_end else t1
        times = (self._from_end * end).add_(self._from_start, alpha=start)
        return Interval(t0, t1, times.to(self.dtype).unbind())

    def grid(self, points: Sequence[float], *, open_ends: bool = False) -> list[Interval]:
        """The intervals between consecutive points, their tensors made in one go."""
        starts, ends = points[:-1], points[1:]
        if open_ends:
            return [self.interval(a, b, open_start=True, open_end=True) for a, b in zip(starts, ends, strict=True)]
        exact = {"dtype": self.exact, "device": self.device}
        times = torch.outer(torch.tensor(ends, **exact), self._from_end)
        times = times.addr_(torch.tensor(starts, **exact), self._from_start).to(self.dtype)
        rows = [row.unbind() for row in times.unbind()]
        return [Interval(a, b, row) for a, b, row in zip(starts, ends, rows, strict=True)]

    def inside(self, t: float, towards: float) -> float:
        """The neighbour of t in the derivative's own precision."""
        if self.dtype == torch.float64:
            return math.nextafter(t, towards)
        here, there = (torch.tensor(value, dtype=self.dtype) for value in (t, towards))
        return torch.nextafter(here, there).item()


def has_time_gradients(t) -> bool:
    """Whether derivatives with respect to the times are asked for, backward or forward."""
    if not isinstance(t, Tensor):
        return False
    return (t.requires_grad and torch.is_grad_enabled()) or _has_tangent(t)


def _has_tangent(t: Tensor) -> bool:
    """Whether forward-mode derivatives go through a tensor, of this or of an outer torch.func.jvp."""
    if torch.compiler.is_compiling():
        return False
    wrapped = torch._C._functorch.is_gradtrackingtensor(t)
    return wrapped or torch.autograd.forward_ad.unpack_dual(t).tangent is not None
