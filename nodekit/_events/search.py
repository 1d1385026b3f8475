"""Where events happen: sign changes on the dense output of accepted steps, refined to the resolution of time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._derivative.parameters import is_recording, is_transformed
from .._derivative.state import NOT_IN_PLACE, REFUSED_IN_PLACE, version_of
from .._steps.control import host_values
from .._steps.failures import no_event
from .._steps.loops import Accepted
from .._steps.numbers import Floats, Number
from ..errors import InvalidEvent, MaxStepsReached

#: Fractions of a step at which signs are compared, besides its ends: two crossings within a quarter of a step pass
#: unseen.
LOOKS = (0.25, 0.5, 0.75)

#: stands for a value of known sign that is zero but for rounding
_TINY = 1e-37

#: An event so soon after a restart, in units of where the side that is left to shows, may be the last that is seen.
_SOON = 100.0


def with_leaves(function: Callable[[Tensor, Tensor], Tensor], t: Tensor, y: Tensor) -> Tensor:
    """function(t, y); if it differentiates by what does not require a gradient, again with what does."""
    try:
        return function(t, y)
    except RuntimeError as error:
        if any(words in str(error) for words in REFUSED_IN_PLACE):
            raise changes_the_state() from error
        if "does not require grad" not in str(error) or is_transformed():
            raise
    with torch.enable_grad():
        value = function(t.detach().requires_grad_(), y if y.requires_grad else y.detach().requires_grad_())
    return value if y.requires_grad and torch.is_grad_enabled() else value.detach()


def changes_the_state() -> InvalidEvent:
    """The error of an event's function that does."""
    return InvalidEvent("an event's function changes the state it is given in place", remedy=NOT_IN_PLACE)


def as_value(found: Any, index: int, device: torch.device) -> Tensor:
    """What an event's function gave, as a tensor.

    Raises:
        InvalidEvent: it is no real number, and no numbers.
    """
    try:
        value = torch.as_tensor(found, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidEvent(f"event {index}: its function gives {type(found).__name__}, not a number") from error
    if value.is_complex():
        raise InvalidEvent(
            f"event {index}: its function gives complex numbers, whose zeros no change of sign shows",
            remedy="Give a real number, such as the real part",
        )
    return value


def not_defined(index: int, **where) -> InvalidEvent:
    """The error of a value that is not a number."""
    remedy = "It must be defined along the whole solution"
    return InvalidEvent(f"event {index}: its function is not a number", remedy=remedy, **where)


class EventFunctions:
    """The values of all events' functions as one vector.

    Args:
        events: whose functions take (t, y) as the derivative does.
        packing: of the state.

    Attributes:
        owners: for each value, the index of its event; known after the first evaluation.
        recorded: whether gradients are asked for. Evaluations in search of an event have graphs then, too, which are
            let go: a function that keeps what it computed (a threshold by its time, say) reads it again at the event.
        differentiated: the same, or whether torch.func's transforms may ask for them.
    """

    def __init__(self, events: Sequence, packing):
        self.events, self.packing = events, packing
        self.owners: list[int] = []
        self.recorded = is_recording()
        self.differentiated = torch.is_grad_enabled() and not packing.numpy

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """The values at one time and state of the solver.

        Raises:
            InvalidEvent: a function that gives no real number, or changes the state.
        """
        packing = self.packing

        def values(t: Tensor, y: Tensor) -> Tensor:
            state = packing.unpack(y)
            time = t if not packing.numpy else np.float64(t.item()) if t.ndim == 0 else t.detach().numpy()
            return self.joined([as_value(x.fn(time, state), i, y.device) for i, x in enumerate(self.events)])

        version = version_of(y)
        found = with_leaves(values, t, y)
        if version_of(y) != version:
            raise changes_the_state()
        return found

    def joined(self, found: list[Tensor]) -> Tensor:
        """The values of one event after the other."""
        self.owners = self.owners or [i for i, value in enumerate(found) for _ in range(value.numel())]
        return torch.cat([value.reshape(-1) for value in found])

    def on_host(self, clock, times: Sequence[float], states: Sequence[Tensor]) -> list[list[float]]:
        """The values at several times, in one transfer.

        Raises:
            InvalidEvent: a value that is not a number.
        """
        with torch.set_grad_enabled(self.recorded):
            values = [self(clock.instant(t), y) for t, y in zip(times, states, strict=True)]
        rows = host_values(torch.stack([value.detach().double() for value in values]))
        for t, row in zip(times, rows, strict=True):
            for i, value in enumerate(row):
                if math.isnan(value):
                    raise not_defined(self.owners[i], t=t)
        return rows

    def of(self, component: int):
        """The event that a value belongs to."""
        return self.events[self.owners[component]]


class Watch:
    """Finds the events of one segment of a solve: all up to the first that ends it.

    Args:
        functions: the events' functions.
        counts: how often each event has happened; kept up to date.
        near: component → size below which its value counts as zero at the start, where a restart left it there, and
            whether that is rounding (else it jumps there).

    Attributes:
        times: the segment's output times with those of its events among them, once `over` is exhausted.
        found: index into the outputs after the first → component.
        stop: the components that ended the segment.
        before: index into the outputs after the first → two points shortly before that event, each the
            derivative's time and the state; where gradients are recorded.
        residuals: component → size of its value where its event was found, and whether that is rounding.
        soon: whether the segment ended right behind its start.
    """

    def __init__(self, functions: EventFunctions, counts: list[int], near: dict[int, tuple[float, bool]] | None = None):
        self.functions, self.counts, self.near = functions, counts, near
        self.times: list[float] = []
        self.found: dict[int, int] = {}
        self.before: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.stop: list[int] = []
        self.residuals: dict[int, tuple[float, bool]] = {}
        self.soon = False

    def anew(self) -> None:
        """What a solve of the same watches: nothing, for the events that were found are among its times."""

    def over(self, steps: Iterable[Accepted], problem) -> Iterator[Accepted]:
        """The accepted steps, the events within them added to their output times, up to the step that ends it all."""
        reached, pending = [problem.times[0]], list(problem.times[1:])
        self._signs = None
        try:
            for accepted in steps:
                marks = [(t, theta, None) for t, theta in zip(pending, accepted.thetas, strict=False)]
                marks += [(_time(accepted, theta), theta, c) for theta, c in self._crossings(accepted, problem)]
                begin = accepted.interval.t0
                marks.sort(key=lambda mark: abs(mark[0] - begin))
                last = self._last(marks)
                kept = [mark for mark in marks if last is None or abs(mark[0] - begin) <= abs(last - begin)]
                for t, theta, component in kept:
                    if component is None:
                        pending.pop(0)
                    else:
                        self.found[len(reached) - 1] = component
                        if self.functions.differentiated:
                            self.before[len(reached) - 1] = _shortly_before(theta, accepted, problem)
                    reached.append(t)
                accepted.thetas = [theta for _, theta, _ in kept]
                if last is not None:
                    self.soon = abs(last - problem.times[0]) <= _SOON * _root_eps(accepted) * abs(accepted.interval.dt)
                    accepted.lands, accepted.until = accepted.lands and last == accepted.interval.t1, last
                if accepted.lands:
                    reached.append(pending.pop(0))
                yield accepted
                if self.stop:
                    pending = []
                    return
        except MaxStepsReached as failure:
            if not math.isinf(problem.times[-1]):
                raise
            what = f"no event ended the solve within {problem.record.stats.accepted} steps"
            raise no_event(what, t=failure.t, dt=failure.dt) from failure
        finally:
            self.times = reached + pending

    def _last(self, marks) -> float | None:
        """When the segment ends, if it does within these marks; counts the events until there."""
        last = None
        for t, _, component in marks:
            if component is None:
                continue
            if last not in (None, t):
                break
            owner = self.functions.owners[component]
            self.counts[owner] += 1
            if self.functions.events[owner].ends(self.counts[owner]):
                last = t
                self.stop.append(component)
        return last

    def _crossings(self, accepted: Accepted, problem) -> list[tuple[float, int]]:
        """(fraction of the step, component) of every crossing of zero in its event's direction."""
        interval, looks = accepted.interval, LOOKS
        functions, clock, stepper = self.functions, problem.clock, problem.stepper
        if self._signs is None:
            (self._values,) = functions.on_host(clock, [interval.t0], [accepted.y])
            self._sizes = [abs(value) for value in self._values]
            self._signs = [self._sign(c, value, 0, starting=True) for c, value in enumerate(self._values)]
            # Where a restart begins on the surface, the side it leaves to shows right behind.
            looks = (_root_eps(accepted), *LOOKS)
        with torch.no_grad():
            inside = stepper.interpolate(interval, accepted.y, accepted.step, looks)
        thetas = [*looks, 1.0]
        rows = functions.on_host(clock, [_time(accepted, x) for x in thetas], [*inside, accepted.step.y1])
        crossings, before = [], 0.0
        for theta, row in zip(thetas, rows, strict=True):
            for component, value in enumerate(row):
                old = self._signs[component]
                new = self._signs[component] = self._sign(component, value, old)
                self._sizes[component] = max(self._sizes[component], abs(value))
                if old != 0 and new != old and functions.of(component).direction in (0, -old):
                    sides = (before, self._values[component]), (theta, value)
                    crossings.append((self._root(component, accepted, problem, *sides, old), component))
            before, self._values = theta, row
        return sorted(crossings)

    def _root(self, component: int, accepted: Accepted, problem, low, high, old: int) -> float:
        """The fraction where the value no longer has its old sign, between two of (fraction, value)."""
        interval = accepted.interval

        def value(theta: float) -> float:
            with torch.no_grad():
                (y,) = problem.stepper.interpolate(interval, accepted.y, accepted.step, [theta])
            return self.functions.on_host(problem.clock, [_time(accepted, theta)], [y])[0][component]

        tolerance = math.ulp(max(abs(interval.t0), abs(interval.t1))) / abs(interval.dt)
        after, residual = bracket_root(Floats, value, low, high, old, max(tolerance, math.ulp(high[0])))
        self.residuals[component] = residual, residual <= _root_eps(accepted) * self._sizes[component]
        return after

    def _sign(self, component: int, value: float, old: float, starting: bool = False) -> float:
        """The sign of a value. What a restart left on the surface is there until it is more than rounding."""
        size, is_rounding = (self.near or {}).get(component, (0.0, True))
        on_surface = old == 0 and abs(value) <= size and (starting or is_rounding)
        return 0.0 if on_surface else Floats.sign(value)


def _shortly_before(theta: float, accepted: Accepted, problem) -> list[tuple[Tensor, Tensor]]:
    """Two points shortly before a fraction of a step: the derivative's times, and the states there."""
    interval, eps = accepted.interval, torch.finfo(problem.clock.dtype).eps
    apart = shortly(_root_eps(accepted), eps * max(abs(interval.t0), abs(interval.t1)) / abs(interval.dt))
    thetas = [theta - min(apart, theta / 2) * k for k in (1, 2)]
    with torch.no_grad():
        states = problem.stepper.interpolate(interval, accepted.y, accepted.step, thetas)
    return [(problem.clock.instant(_time(accepted, x)), y) for x, y in zip(thetas, states, strict=True)]


def shortly(least: Number, resolution: Number) -> Number:
    """How much before an event its slope is looked at: where times and states can be told from those at the event."""
    return least + 4 * resolution


def _root_eps(accepted: Accepted) -> float:
    return math.sqrt(torch.finfo(accepted.y.dtype).eps)


def _time(accepted: Accepted, theta: float) -> float:
    interval = accepted.interval
    return interval.t1 if theta == 1.0 else interval.t0 + theta * interval.dt


def bracket_root(n, f: Callable[[Number], Number], low, high, old: Number, tolerance: Number) -> tuple[Number, Number]:
    """A sign change of f, by Chandrupatla's mixture of bisection and inverse quadratic interpolation (1997).

    Args:
        n: the namespace of the numbers, `Floats` or `Tensors`.
        f: has sign `old` just behind low, and another sign, or none, at high.
        low, high: (x, f(x)), the smaller x first; equal ones where nothing is sought.
        tolerance: the final distance between both sides.

    Returns:
        The far side of the change, and the larger of |f| at its two sides. Where f stays zero, that is where it first
        is zero: by bisection, since zeros tell nothing else.
    """
    (a, fa), (b, fb) = high, low
    # A restart on the surface: which side it leaves to is known, the value there is noise.
    fb = n.where(n.sign(fb) != old, old * _TINY, fb)
    c, fc, fraction = b, fb, 0.5
    for _ in range(200):
        going = (abs(b - a) > tolerance) & (fa != 0.0) & (fb != 0.0)
        if not n.any(going):
            break
        x = n.where(going, a + fraction * (b - a), a)
        fx = f(x)
        stays = (n.sign(fx) == old) == (n.sign(fa) == old)  # on the side of a, which b bounds as before
        c, fc = n.where(stays, a, b), n.where(stays, fa, fb)
        b, fb = n.where(stays | n.invert(going), b, a), n.where(stays | n.invert(going), fb, fa)
        a, fa = x, n.where(going, fx, fa)
        fraction = _fraction(n, (a, fa), (b, fb), (c, fc), tolerance)
    changed = n.sign(fa) != old
    (near, at_near), (far, at_far) = ((n.where(changed, x, y), n.where(changed, fx, fy)) for (x, fx), (y, fy) in (
        ((b, fb), (a, fa)), ((a, fa), (b, fb))
    ))  # fmt: skip
    # An isolated zero, as of a smooth f, takes one more look.
    x = far - tolerance
    while n.any(going := (far - near > tolerance) & (x > near) & (x < far)):
        fx = f(n.where(going, x, far))
        before = n.sign(fx) == old
        behind, before = going & n.invert(before), going & before
        near, at_near = n.where(before, x, near), n.where(before, fx, at_near)
        far, at_far = n.where(behind, x, far), n.where(behind, fx, at_far)
        x = near + (far - near) / 2
    return far, n.larger(abs(at_near), abs(at_far))


def _fraction(n, one, two, three, tolerance: Number) -> Number:
    """Where to look next between the first two of three (x, f(x)): by interpolation where that can be trusted."""
    (a, fa), (b, fb), (c, fc) = one, two, three
    apart = (fc != fb) & (fc != fa) & (fb != fa)
    ba, ca, cb = n.where(apart, b - a, 1.0), c - a, n.where(apart, c - b, 1.0)
    fba, fca, fcb = (n.where(apart, difference, 1.0) for difference in (fb - fa, fc - fa, fc - fb))
    xi, phi = -ba / cb, -fba / fcb
    fine = apart & (phi * phi < xi) & ((1 - phi) ** 2 < 1 - xi)
    fraction = n.where(fine, -fa / fba * fc / fcb + ca / ba * fa / fca * fb / fcb, 0.5)
    limit = n.smaller(0.5 * tolerance / n.larger(abs(b - a), tolerance), 0.5)
    return n.clip(fraction, limit, 1 - limit)
