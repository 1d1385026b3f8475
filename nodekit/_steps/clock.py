"""The time axis, of two kinds: one time for all, as Python floats, or every sample's own, as tensors (batch,).

The derivative is handed tensors in either case, made on its device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .numbers import Floats, Tensors

if TYPE_CHECKING:
    from .._derivative.samples import SamplePacking
    from .._derivative.state import Packing


class Interval:
    """One step's piece of the time axis.

    Attributes:
        t0, t1: its ends.
        dt: their difference, negative when solving backwards in time, such that slopes can be multiplied by it.
        times: tensors for the derivative: the start, then the method's nodes, then the end.
        fresh: whether (or, a tensor: of which samples) the slope at its start is not that at the end of the step
            before: a jump may lie between them.
        moves: which samples move in it; None: all do.
        method: which of its methods a stepper of several takes the step with, once it has been taken.
    """

    __slots__ = ("dt", "fresh", "method", "moves", "t0", "t1", "times")

    def __init__(self, t0, t1, times: Sequence[Tensor] | None, dt=None, fresh: bool | Tensor = False, moves=None):
        self.t0, self.t1, self.times, self.fresh, self.moves = t0, t1, times, fresh, moves
        self.method = None
        self.dt = t1 - t0 if dt is None else dt


class Outputs:
    """Which output times lie in a step, going through them once."""

    def __init__(self, times: Sequence[float]):
        self.times, self.next = times, 1

    def within(self, interval: Interval) -> tuple[list[float], bool]:
        """Those strictly inside, as fractions of the step; and whether its end is one."""
        thetas, times = [], self.times
        forward = interval.dt > 0
        while self.next < len(times):
            t = times[self.next]
            if t == interval.t1:
                self.next += 1
                return thetas, True
            if (t > interval.t1) if forward else (t < interval.t1):
                break
            thetas.append((t - interval.t0) / interval.dt)
            self.next += 1
        return thetas, False


class Clock:
    """Makes the scalar time tensors of whole intervals, without waiting for the device.

    Args:
        nodes: the method's nodes c, within [0, 1].
        packing: of the state, in whose own real dtype (float32 for half precision) the derivative sees times.

    Attributes:
        n: the namespace of its numbers.
        exact: the dtype that times are kept in on the device.
    """

    n: type[Floats] | type[Tensors] = Floats

    def __init__(self, nodes: Sequence[float], packing: Packing):
        self.nodes, self.packing = (0.0, *nodes, 1.0), packing
        self.dtype, self.device = packing.dtype, packing.device
        # float64 is not to be had on every accelerator.
        self.exact = torch.float32 if packing.device.type == "mps" else torch.float64
        self._from_end = torch.tensor(self.nodes, dtype=self.exact, device=self.device)
        self._from_start = 1 - self._from_end

    def instant(self, t: float) -> Tensor:
        """One time as a scalar tensor."""
        # Filled there: a tensor that is sent makes the host wait.
        return torch.full((), t, dtype=self.dtype, device=self.device)

    def shown(self, t: float) -> float | Tensor:
        """A time as tolerances that are functions of it get it."""
        return t

    def length(self, dt: float) -> float | Tensor:
        """A difference of times, such that slopes can be multiplied by it."""
        return dt

    def interval(self, t0: float, t1: float, *, open_start: bool = False, open_end: bool = False) -> Interval:
        """The interval from t0 to t1; an open end is evaluated at the next number inside, past a jump of the slope."""
        # c·t1 + (1 − c)·t0 is exactly t0 at c = 0 and exactly t1 at c = 1: no evaluation outside the interval.
        start = self.inside(t0, t1) if open_start else t0
        end = self.inside(t1, t0) if open_end else t1
        times = (self._from_end * end).add_(self._from_start, alpha=start)
        return Interval(t0, t1, times.to(self.dtype).unbind(), fresh=open_start)

    def grid(self, points: Sequence[float], *, open_ends: bool = False) -> list[Interval]:
        """The intervals between consecutive points, their tensors made in one go."""
        starts, ends = points[:-1], points[1:]
        if open_ends:
            return [self.interval(a, b, open_start=True, open_end=True) for a, b in zip(starts, ends, strict=True)]
        at = torch.tensor(points, dtype=self.exact, device=self.device)
        times = torch.outer(at[1:], self._from_end).addr_(at[:-1], self._from_start).to(self.dtype)
        rows = [row.unbind() for row in times.unbind()]
        return [Interval(a, b, row) for a, b, row in zip(starts, ends, rows, strict=True)]

    def inside(self, t: float, towards: float) -> float:
        """The neighbour of t in the derivative's own precision."""
        if self.dtype == torch.float64:
            return math.nextafter(t, towards)
        here, there = (torch.tensor(value, dtype=self.dtype) for value in (t, towards))
        return torch.nextafter(here, there).item()

    def shifts(self, t: Tensor) -> Sequence[Tensor]:
        """Zeros, one for each output time and shaped like the derivative's times, that carry the gradients of t."""
        # t may end in infinity, whose difference from itself is not zero.
        t = torch.where(torch.isfinite(t), t - t.detach().nan_to_num(posinf=0.0, neginf=0.0), 0.0)
        return t.to(self.packing.y0)


class SampleClock(Clock):
    """Makes the time tensors of every sample's intervals; its own times and lengths are tensors (batch,).

    Args:
        nodes, packing: as of `Clock`.
        pairs: whether lengths are to broadcast to pairs of states, (batch, 2, …).
    """

    n = Tensors
    packing: SamplePacking

    def __init__(self, nodes: Sequence[float], packing: SamplePacking, pairs: bool = False):
        super().__init__(nodes, packing)
        self.pairs = pairs
        self._from_end, self._from_start = self._from_end.unsqueeze(1), self._from_start.unsqueeze(1)

    def instant(self, t: Tensor) -> Tensor:
        """The times as the derivative sees them."""
        return t.to(self.dtype).view(self.packing.time_shape)

    shown = instant

    def length(self, dt: Tensor) -> Tensor:
        """Differences of times, such that they broadcast to the state."""
        return dt.to(self.dtype).view(len(dt), *[1] * (self.packing.y0.ndim - 1 + self.pairs))

    def inside(self, t: Tensor, towards: Tensor) -> Tensor:
        """The neighbours of times in the derivative's own precision."""
        return torch.nextafter(t.to(self.dtype), towards.to(self.dtype)).to(self.exact)

    def interval(self, t0: Tensor, t1: Tensor, start: Tensor | None = None, end: Tensor | None = None) -> Interval:
        """The intervals from t0 to t1.

        Args:
            start, end: for the derivative to be evaluated at in place of the ends.
        """
        first, last = t0 if start is None else start, t1 if end is None else end
        times = torch.addcmul(self._from_end * last, self._from_start, first)
        if start is not None:  # which no rounding leads out of
            times = torch.where(first == last, first, times)
        times = times.to(self.dtype).view(len(times), *self.packing.time_shape).unbind()
        return Interval(t0, t1, times, self.length(t1 - t0))

    def shifts(self, t: Tensor) -> Sequence[Tensor]:
        """As of one time for all, for every sample."""
        rows = super().shifts(t).expand(self.packing.samples, -1)
        return [shift.view(self.packing.time_shape) for shift in rows.unbind(1)]


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
