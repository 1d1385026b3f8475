"""Events of independent samples: every sample ends at the first of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from .._derivative.context import Surroundings
from .._derivative.flow import shift_of_zero, slope_on_one_side
from .._derivative.samples import SamplePacking, copied, spread
from .._steps.clock import SampleClock
from .._steps.control import host_values
from .._steps.numbers import Tensors
from .._steps.sample_steps import SampleSteps
from ..errors import InvalidEvent
from .events import unavailable
from .search import LOOKS, EventFunctions, bracket_root, not_defined, shortly


class SampleEventFunctions(EventFunctions):
    """The values of all events' functions, a row for each sample."""

    def joined(self, found):
        """Raises: InvalidEvent: a function that does not give one number for each sample."""
        samples = self.packing.samples
        for i, value in enumerate(found):
            if value.numel() != samples:
                raise InvalidEvent(
                    f"event {i}: its function gives shape {tuple(value.shape)} for {samples} samples",
                    remedy="Let it give one number for each sample, shape (batch,)",
                )
        return torch.cat([value.reshape(-1, 1) for value in found], dim=1)


class SampleWatch:
    """Finds every sample's first zero of the events' functions, where it ends.

    Args:
        events: whose functions take times and states of the whole batch and give a number for each sample.
        packing: of the state.
        column: of the outputs, for the states at events.

    Attributes:
        t: when each sample's event happened, shape (batch,), NaN where none has.
        index: which event it was, −1 where none has.
    """

    def __init__(self, events: Sequence, packing: SamplePacking, clock: SampleClock, column: int):
        self.events, self.packing, self.clock, self.column = events, packing, clock, column
        self.values = SampleEventFunctions(events, packing)  # (batch, events)
        self.directions = torch.tensor([event.direction for event in events], device=packing.device)
        self.t = torch.full((packing.samples,), math.nan, dtype=clock.exact, device=packing.device)
        self.index = torch.full_like(self.t, -1, dtype=torch.int64)
        self._values: Tensor | None = None  # where every sample is now
        self._before: list[tuple[Tensor, Tensor]] | None = None  # two times shortly before each event, and states there

    def anew(self) -> SampleWatch:
        """The same, before the solve begins."""
        return SampleWatch(self.events, self.packing, self.clock, self.column)

    def over(self, steps: Iterable[SampleSteps], problem) -> Iterator[SampleSteps]:
        """The steps, the states at events added to their outputs, and those behind them left out."""
        for accepted in steps:
            with torch.no_grad():
                theta = self._within(problem.stepper, accepted)
                if host_values(torch.isfinite(theta).any()):
                    self._end(accepted, theta)
            yield accepted

    def _end(self, accepted: SampleSteps, happens: Tensor) -> None:
        """Let samples end at these fractions of their steps, infinite where they do not."""
        accepted.ended = ended = torch.isfinite(happens)
        rows = ended.nonzero()[:, 0]
        found = [(rows, torch.full_like(rows, self.column), happens[rows])]
        if accepted.thetas:
            before = accepted.thetas[2] <= happens[accepted.thetas[0]]
            found.append(tuple(x[before] for x in accepted.thetas))
        accepted.thetas = tuple(torch.cat(x) for x in zip(*found, strict=True))
        if accepted.lands:
            reached = happens[accepted.lands[0]] >= 1.0
            accepted.lands = tuple(x[reached] for x in accepted.lands)

    def _within(self, stepper, accepted: SampleSteps) -> Tensor:
        """The fraction of its step at which each sample's first event happens; infinite where none does."""
        interval, y, step = accepted.interval, accepted.y, accepted.step
        self._at = stepper, y, step, interval
        if self._values is None:
            self._values = self._searched(interval.t0, y)
        # Of each crossing: the fractions on both sides, the values there, and the sign before.
        low, high, at_low, at_high, old = (torch.zeros_like(self._values) for _ in range(5))
        found = torch.zeros_like(low, dtype=torch.bool)
        before, theta_before, undefined = self._values, 0.0, torch.isnan(self._values)
        moves = torch.ones_like(interval.t0, dtype=torch.bool) if interval.moves is None else interval.moves
        for theta in (*LOOKS, 1.0):
            now = self._at_fraction(torch.full_like(interval.t0, theta))
            side = torch.sign(before)
            wanted = (self.directions == 0) | (self.directions == -side)
            crossed = (side != 0) & (torch.sign(now) != side) & wanted & ~found & moves.unsqueeze(1)
            low, high = torch.where(crossed, theta_before, low), torch.where(crossed, theta, high)
            at_low, at_high = torch.where(crossed, before, at_low), torch.where(crossed, now, at_high)
            old, found = torch.where(crossed, side, old), found | crossed
            before, theta_before, undefined = now, theta, undefined | torch.isnan(now)
        self._values = torch.where(moves.unsqueeze(1), before, self._values)
        undefined &= moves.unsqueeze(1)
        happens = torch.full_like(low, math.inf)
        for k, (some, wrong) in enumerate(host_values(torch.stack([found.any(0), undefined.any(0)], dim=1))):
            if wrong:
                sample = host_values(undefined[:, k]).index(True)
                raise not_defined(k, t=interval.t0[sample].item(), sample=sample)
            if some:
                root = self._root(k, (low[:, k], at_low[:, k]), (high[:, k], at_high[:, k]), old[:, k])
                happens[:, k] = torch.where(found[:, k], root, math.inf)
        theta, index = happens.min(dim=1)
        ends = torch.isfinite(theta)
        t = torch.where(theta == 1.0, interval.t1, interval.t0 + theta * (interval.t1 - interval.t0))
        self.t, self.index = torch.where(ends, t, self.t), torch.where(ends, index, self.index)
        if self.values.differentiated and host_values(ends.any()):
            self._look_before(ends, torch.where(ends, theta, 1.0))
        return theta

    def _look_before(self, ends: Tensor, theta: Tensor) -> None:
        """Keep two points shortly before these fractions, of the samples that end there."""
        _, y, _, interval = self._at
        largest, eps = torch.maximum(interval.t0.abs(), interval.t1.abs()), torch.finfo(self.clock.dtype).eps
        apart = shortly(torch.finfo(y.dtype).eps ** 0.5, eps * largest / (interval.t1 - interval.t0).abs())
        found = [self._point(theta - torch.minimum(apart, theta / 2) * k) for k in (1, 2)]
        known = self._before or found
        self._before = [
            (torch.where(ends, t, earlier), torch.where(spread(ends, state), state, other))
            for (t, state), (earlier, other) in zip(found, known, strict=True)
        ]

    def _point(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Times and states at every sample's fraction of its step."""
        stepper, y, step, interval = self._at
        rows = torch.arange(len(y), device=y.device)
        state = stepper.at_fractions(y, step, interval.t1 - interval.t0, rows, theta)
        return interval.t0 + theta * (interval.t1 - interval.t0), state

    def _at_fraction(self, theta: Tensor) -> Tensor:
        return self._searched(*self._point(theta))

    def _searched(self, t: Tensor, state: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.values.recorded):
            values = self.values(self.clock.instant(t), state.detach())
        return values.detach().to(self.clock.exact)

    def _root(self, k: int, low, high, old: Tensor) -> Tensor:
        """The far side of every sample's sign change."""
        interval = self._at[3]
        largest = torch.maximum(interval.t0.abs(), interval.t1.abs())
        tolerance = Tensors.resolution(largest) / (interval.t1 - interval.t0).abs()
        tolerance = tolerance.clamp(min=torch.finfo(tolerance.dtype).eps)
        return bracket_root(Tensors, lambda theta: self._at_fraction(theta)[:, k], low, high, old, tolerance)[0]

    def attached(self, func, surroundings: Surroundings, y: Tensor) -> tuple[Tensor | None, Tensor]:
        """How every sample's event moves, and the state there, as for shared solves.

        Args:
            func, surroundings: of the problem.
            y: states at the events, which are held fixed in time by their gradients.

        Returns:
            The shifts of the times, shaped like the derivative's times (None where nothing is differentiable), and
            the states.
        """
        happened = self.index >= 0
        if self._before is None or not host_values(happened.any()):
            return None, y
        # Where none happened another sample's stands in, lest what is not a number spoils the gradients all share.
        source = copied(happened)
        state, t, pick = y[source], self.clock.instant(self.t[source]), self.index[source].unsqueeze(1)

        def value_at(t: Tensor, y: Tensor) -> Tensor:
            return self.values(t, y).gather(1, pick)[:, 0].to(y)

        def none(still: Tensor, shift: Tensor, value: Tensor) -> Tensor:
            return torch.where(still, unavailable(None, None, shift, y, value), shift)

        before = [(self.clock.instant(time[source]), earlier[source]) for time, earlier in self._before]
        with surroundings.again():
            func = slope_on_one_side(func, t, state, before)
        shift, state = shift_of_zero(value_at, func, t, state, none)
        if shift is None:
            return None, y
        return shift, torch.where(spread(happened, y), state, torch.nan)
