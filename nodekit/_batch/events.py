"""Events of independent samples: every sample ends at the first of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._control import host_values
from .._event_search import LOOKS, with_leaves
from .._events import unavailable
from ..errors import InvalidEvent
from .dense import at_fractions
from .state import BatchClock, BatchInterval, BatchPacking, copied, spread


class BatchEvents:
    """Looks for every sample's first zero of the events' functions.

    Args:
        events: whose functions take times and states of the whole batch and give a number for each sample.
        packing: of the state.

    Attributes:
        t: when each sample's event happened, shape (batch,), NaN where none has.
        index: which event it was, −1 where none has.
    """

    def __init__(self, events: Sequence, packing: BatchPacking, clock: BatchClock):
        self.events, self.packing, self.clock = events, packing, clock
        self.directions = torch.tensor([event.direction for event in events], device=packing.device)
        self.t = torch.full((packing.samples,), math.nan, dtype=clock.exact, device=packing.device)
        self.index = torch.full_like(self.t, -1, dtype=torch.int64)
        self._values: Tensor | None = None  # where every sample is now

    def values(self, t: Tensor, y: Tensor) -> Tensor:
        """The values (batch, events) at times as the derivative sees them.

        Raises:
            InvalidEvent: a function that does not give one number for each sample.
        """
        return with_leaves(self._values_at, t, y)

    def _values_at(self, t: Tensor, y: Tensor) -> Tensor:
        state, found = self.packing.unpack(y), []
        time = t.detach().numpy() if self.packing.numpy else t
        for i, event in enumerate(self.events):
            value = torch.as_tensor(event.fn(time, state), device=y.device)
            if value.numel() != self.packing.samples:
                raise InvalidEvent(
                    f"event {i}: its function gives shape {tuple(value.shape)} for {self.packing.samples} samples",
                    remedy="Let it give one number for each sample, shape (batch,)",
                )
            found.append(value.reshape(-1, 1))
        return torch.cat(found, dim=1)

    def within(self, stepper, interval: BatchInterval, y: Tensor, step, accepted: Tensor) -> Tensor:
        """The fraction of its accepted step at which each sample's event happens; infinite where none does."""
        self._at = stepper, y, step, interval
        if self._values is None:
            self._values = self.values(self.clock.instant(interval.t0), y).to(self.clock.exact)
        # Of each crossing: the fractions on both sides, the values there, and the sign before.
        low, high, at_low, at_high, old = (torch.zeros_like(self._values) for _ in range(5))
        high = high + math.inf
        before, theta_before, undefined = self._values, 0.0, torch.isnan(self._values)
        for theta in (*LOOKS, 1.0):
            now = self._at_fraction(torch.full_like(interval.t0, theta))
            side = torch.sign(before)
            wanted = (self.directions == 0) | (self.directions == -side)
            crossed = (side != 0) & (torch.sign(now) != side) & wanted & torch.isinf(high)
            low, high = torch.where(crossed, theta_before, low), torch.where(crossed, theta, high)
            at_low, at_high = torch.where(crossed, before, at_low), torch.where(crossed, now, at_high)
            old = torch.where(crossed, side, old)
            before, theta_before, undefined = now, theta, undefined | torch.isnan(now)
        self._values = torch.where(accepted.unsqueeze(1), before, self._values)
        happens = accepted.unsqueeze(1) & torch.isfinite(high)
        found = torch.full_like(low, math.inf)
        undefined = accepted.unsqueeze(1) & undefined
        for k, (some, wrong) in enumerate(host_values(torch.stack([happens.any(0), undefined.any(0)], dim=1))):
            if wrong:
                sample = host_values(undefined[:, k]).index(True)
                raise InvalidEvent(
                    f"event {k}: its function is not a number",
                    t=interval.t0[sample].item(),
                    sample=sample,
                    remedy="It must be defined along the whole solution",
                )
            if some:
                sides = (x[:, k] for x in (low, high, at_low, at_high, old))
                found[:, k] = torch.where(happens[:, k], self._root(k, *sides), math.inf)
        theta, index = found.min(dim=1)
        ends = torch.isfinite(theta)
        t = torch.where(theta == 1.0, interval.t1, interval.t0 + theta * (interval.t1 - interval.t0))
        self.t, self.index = torch.where(ends, t, self.t), torch.where(ends, index, self.index)
        return theta

    def _at_fraction(self, theta: Tensor) -> Tensor:
        stepper, y, step, interval = self._at
        rows = torch.arange(len(y), device=y.device)
        state = at_fractions(stepper, y, step, interval.t1 - interval.t0, rows, theta)
        t = interval.t0 + theta * (interval.t1 - interval.t0)
        return self.values(self.clock.instant(t), state).to(self.clock.exact)

    def _root(self, k: int, low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor, old: Tensor) -> Tensor:
        """The far side of every sample's sign change, by false position (the Illinois algorithm) and bisection.

        Zeros tell nothing but on which side they are: behind an isolated one, as of a smooth function, comes one more
        look, and where a function stays zero bisection finds where it first is.
        """
        interval = self._at[3]
        largest = torch.maximum(interval.t0.abs(), interval.t1.abs())
        ulp = torch.nextafter(largest, torch.full_like(largest, math.inf)) - largest
        tolerance = (ulp / (interval.t1 - interval.t0).abs()).clamp(min=torch.finfo(low.dtype).eps)
        high = torch.where(torch.isfinite(high), high, low)
        last = torch.zeros_like(low)  # which side moved last
        fresh = at_high == 0  # whether the side behind has just become zero
        for i in range(200):
            width = high - low
            if host_values((width <= tolerance).all()):
                break
            guess = high - at_high * width / (at_high - at_low)
            # Every third look is in the middle, so that the bracket shrinks in any case.
            safe = (guess > low) & (guess < high) & (i % 3 != 2)
            middle, zero = low + width / 2, at_high == 0
            guess = torch.where(safe & ~zero, guess, middle)
            just_before = high - tolerance
            guess = torch.where(fresh & (just_before > low), just_before, guess)
            now = self._at_fraction(guess)[:, k]
            before = torch.sign(now) == old
            fresh = ~before & ~zero & (now == 0)
            # The value at a side that stays twice is halved, which draws the next guess towards it.
            at_high = torch.where(before, torch.where(last < 0, at_high / 2, at_high), now)
            at_low = torch.where(before, now, torch.where(last > 0, at_low / 2, at_low))
            low, high = torch.where(before, guess, low), torch.where(before, high, guess)
            last = torch.where(before, -1.0, 1.0)
        return high

    def attached(self, func, moved, y: Tensor) -> tuple[Tensor | None, Tensor]:
        """The implicit function theorem for every sample, as for shared solves.

        Args:
            moved: (func, t, y, shift) → the state carried on over an infinitesimal time.
            y: states at the events, which are held fixed in time by their gradients.

        Returns:
            The shifts of the times, shaped like the derivative's times (None where nothing is differentiable), and
            the states.
        """
        happened = self.index >= 0
        if not torch.is_grad_enabled() or self.packing.numpy or not host_values(happened.any()):
            return None, y
        # Where none happened another sample's stands in, lest what is not a number spoils the gradients all share.
        source = copied(happened)
        state, t, pick = y[source], self.clock.instant(self.t[source]), self.index[source].unsqueeze(1)
        time, point = t.detach().requires_grad_(), state if state.requires_grad else state.detach().requires_grad_()
        value, at_point = (self.values(*at).gather(1, pick)[:, 0].to(y) for at in ((t, state), (time, point)))
        if not value.requires_grad and (at_point.requires_grad or not state.requires_grad):
            return None, y
        rate = torch.zeros_like(at_point)
        if value.requires_grad:
            found = torch.autograd.grad(at_point.sum(), (time, point), create_graph=True, allow_unused=True)
            by_time, by_state = (
                torch.zeros_like(x) if g is None else g for g, x in zip(found, (time, point), strict=True)
            )
            rate = by_time.view(-1) + (by_state * func(t, state)).reshape(len(y), -1).sum(1)
        lost = happened & (rate == 0.0)
        rate = torch.where(happened & ~lost, rate, 1.0)
        first = -((value - value.detach()) / rate).view(self.packing.time_shape)
        again = self.values(t + first, moved(func, t, state, first)).gather(1, pick)[:, 0].to(y)
        shift = first - ((again - again.detach()) / rate).view(self.packing.time_shape)
        if host_values(lost.any()):
            shift = torch.where(lost.view(self.packing.time_shape), unavailable(None, None, shift, y, value), shift)
        return shift, torch.where(spread(happened, y), moved(func, t, state, shift), torch.nan)
