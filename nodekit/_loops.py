"""The two loops: over a fixed grid, and adaptive. Both yield accepted steps; what is kept of them is the caller's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._clock import Clock, Interval
from ._context import RandomState
from ._control import Controller, Pace, constant, error_norm, first_step
from ._failures import (
    STABLE,
    failing_error_test,
    not_finite,
    offending_sample,
    spectral_radius,
    too_many_steps,
    unresolved_step,
)
from ._numbers import Floats, host, is_finite
from ._stepper import Step, Stepper, with_fresh_slopes
from ._tolerance import Tolerance
from .errors import (
    InvalidOption,
    InvalidTimes,
    MaxStepsReached,
    NewtonDidNotConverge,
    NonFiniteDerivative,
    StepSizeUnderflow,
)

#: as many steps as a grid may have
_MOST_POINTS = 2**31 - 1


class Accepted:
    """An accepted step: where it began, what it gave, and which output times lie in it.

    Attributes:
        interval, y, carry: the step's beginning; carry is None at the start and after a jump of the slope.
        step: its result.
        thetas: output times strictly inside, as fractions of the step.
        lands: whether the step's end is an output time.
        until: to where the solution follows it: its end, or the event that ended a segment within it.
        random: the random states before the slope at the start (where it was evaluated) and before the step, or None.
    """

    __slots__ = ("carry", "interval", "lands", "random", "step", "thetas", "until", "y")

    def __init__(self, interval, y, carry, step, thetas, lands, random=None):
        self.interval, self.y, self.carry, self.step, self.thetas, self.lands = interval, y, carry, step, thetas, lands
        self.until, self.random = interval.t1, random

    @property
    def outputs(self) -> int:
        """How many output times lie in it."""
        return len(self.thetas) + self.lands

    def without_tensors(self) -> Accepted:
        """What it takes to take the step again from its beginning."""
        return Accepted(self.interval, None, None, None, self.thetas, self.lands, self.random)


@dataclass
class Stats:
    """What a solve did.

    Attributes:
        nfe_forward, nfe_backward: evaluations of the derivative in the solve and in its last backward pass.
        accepted, rejected: steps of the solve.
        first_step: the size that the first step might have had, by its error; None where steps are given.
    """

    nfe_forward: int = 0
    nfe_backward: int = 0
    accepted: int = 0
    rejected: int = 0
    first_step: float | None = None


class Randomness:
    """Records the state of the random generators, if the derivative draws from them."""

    def __init__(self, device: torch.device, at_slope: RandomState | None):
        self.device, self.active, self.at_slope, self.at_step = device, at_slope is not None, at_slope, None

    def before_slope(self) -> None:
        """A slope at the start of a step is about to be evaluated."""
        self.at_slope = RandomState(self.device) if self.active else None

    def before_step(self) -> None:
        """A step is about to be attempted."""
        self.at_step = RandomState(self.device) if self.active else None

    def recorded(self) -> tuple[RandomState | None, RandomState] | None:
        """Both states, for an accepted step."""
        return (self.at_slope, self.at_step) if self.active else None


@dataclass
class Callbacks:
    """Called as `callback(t0, y0, dt)` before every attempted step, and after it was accepted or rejected."""

    step: object = None
    accept: object = None
    reject: object = None

    def call(self, callback, interval: Interval, y: Tensor) -> None:
        """Call one of them, if there is one."""
        if callback is not None:
            t0, dt = (torch.tensor(value, dtype=torch.float64, device=y.device) for value in (interval.t0, interval.dt))
            callback(t0, y, dt)


class _Outputs:
    """Which output times lie in a step, going through them once."""

    def __init__(self, times: Sequence[float]):
        self.times, self.next = times, 1

    def within(self, interval: Interval) -> tuple[list[float], bool]:
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


class Plan:
    """How the steps of a solve are chosen. Here: at which times the derivative is asked besides the steps' own."""

    def moment(self, clock: Clock, t: float, towards: float) -> Tensor:
        """The start or an output time as the derivative sees it; where it must not, its neighbour on the solve's side.

        Args:
            towards: where the solve goes on to from the start, or came from to an output time.
        """
        return clock.instant(clock.inside(t, towards) if self.excludes(t) and t != towards else t)

    def excludes(self, t: float) -> bool:
        """Whether the derivative must not be asked at this time: there it jumps, or is not defined."""
        return False

    def start(self, clock: Clock, stepper: Stepper, times: Sequence[float]) -> Tensor:
        """The time of the slope that the first step begins with."""
        return self.moment(clock, times[0], times[-1])

    def suited(self, stepper: Stepper, start: float) -> Stepper:
        """The stepper, made to evaluate the slope anew where it is not that at the end of the step before."""
        return stepper

    def beginning(self, stepper: Stepper, interval: Interval) -> Tensor:
        """The time of the slope that a step begins with, where none is carried over to it."""
        return interval.times[0]


@dataclass
class FixedGrid(Plan):
    """Steps between given points.

    Attributes:
        points: the grid, from the first output time to the last.
        perturb: evaluate a step's ends at the neighbouring numbers inside it.
        dense: prepare every step for interpolation, not only those that contain output times.
        check_finite: look once, at the end, whether the state is finite.
    """

    points: list[float]
    perturb: bool = False
    dense: bool = False
    check_finite: bool = True
    callbacks: Callbacks = field(default_factory=Callbacks)
    #: the random state before the slope at the start was evaluated, where the derivative draws random numbers
    random: RandomState | None = None

    def steps(self, func, stepper: Stepper, clock: Clock, times, y, slope, stats: Stats) -> Iterator[Accepted]:
        """The steps of a solve that starts with state y and slope f(t0, y)."""
        outputs, random = _Outputs(times), Randomness(clock.device, self.random)
        stepper = with_fresh_slopes(stepper) if self.perturb else stepper
        carry, recorded = stepper.begin(y, slope), None
        for interval in self.intervals(clock):
            self.callbacks.call(self.callbacks.step, interval, y)
            final = interval.t1 == self.points[-1]
            random.before_step()
            step = stepper.step(func, interval, y, carry, estimate=False, final=final)
            thetas, lands = outputs.within(interval)
            if thetas or self.dense:
                stepper.extend(func, interval, y, carry, step)
            stats.accepted += 1
            yield Accepted(interval, y, recorded, step, thetas, lands, random.recorded())
            y, carry = step.y1, step.carry
            recorded = carry
        self.check(y)

    def suited(self, stepper, start):
        """With perturb, everywhere."""
        return with_fresh_slopes(stepper) if self.perturb else stepper

    def excludes(self, t):
        """The ends of steps, and what else is an output time, with perturb."""
        return self.perturb

    def start(self, clock, stepper, times):
        """Of a method for which the slope is a first guess only, the time of its first stage."""
        if not stepper.guesses:
            return super().start(clock, stepper, times)
        return clock.interval(times[0], self.second, open_start=self.perturb, open_end=self.perturb).times[1]

    def beginning(self, stepper, interval):
        """The same of any step."""
        return interval.times[1 if stepper.guesses else 0]

    @property
    def second(self) -> float:
        """The end of the first step."""
        return self.points[1]

    def check(self, y: Tensor) -> None:
        """Look whether the state at the end is finite, unless told not to."""
        if self.check_finite and not is_finite(y):
            raise NonFiniteDerivative(
                "the state is infinite or not a number at the end",
                t=self.points[-1],
                sample=offending_sample(y),
                remedy="Take smaller steps if it is unstable; options={'check_finite': False} returns such states",
            )

    def intervals(self, clock: Clock) -> Iterable[Interval]:
        """The intervals between the points."""
        return clock.grid(self.points, open_ends=self.perturb)


@dataclass
class OpenGrid(FixedGrid):
    """Equal steps to infinity, for a solve that an event ends; `points` grows as they are taken.

    Attributes:
        step_size: their size, negative when solving backwards in time.
        max_num_steps: how many to take at most.
    """

    step_size: float = 0.0
    max_num_steps: int = 0

    @property
    def second(self) -> float:
        """The end of the first step."""
        return self.points[0] + self.step_size

    def intervals(self, clock: Clock) -> Iterator[Interval]:
        """The intervals, made a few at a time."""
        start, few = self.points[0], 32
        for first in range(0, self.max_num_steps, few):
            ahead = [start + i * self.step_size for i in range(first, first + few + 1)]
            for interval in clock.grid(ahead, open_ends=self.perturb):
                self.points.insert(-1, interval.t1)
                yield interval
        raise MaxStepsReached(f"{self.max_num_steps} steps found no event", t=ahead[-1], dt=self.step_size)


@dataclass
class Adaptive(Plan):
    """Steps chosen by the error estimate.

    Attributes:
        tolerance, controller, norm: how errors are judged and turned into step sizes.
        first_step, min_step, max_step, max_num_steps: limits; a step of min_step is accepted whatever its error.
        step_t: times to step to exactly; jump_t: also evaluate the slope anew behind them.
        dense: prepare every step for interpolation.
        patience: attempts by which a hundredth of the way must be done; None: as many as there are.
    """

    tolerance: Tolerance
    controller: Controller
    norm: object
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    max_num_steps: int = 100_000
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    dense: bool = False
    patience: int | None = None
    callbacks: Callbacks = field(default_factory=Callbacks)
    #: the random state before the slope at the start was evaluated, where the derivative draws random numbers
    random: RandomState | None = None
    #: after the last step accepted; a solve that goes on from another starts with it
    pace: Pace | None = field(default=None, init=False)

    def steps(self, func, stepper: Stepper, clock: Clock, times, y, slope, stats: Stats) -> Iterator[Accepted]:
        """The steps of a solve that starts with state y and slope f(t0, y)."""
        t, end = times[0], times[-1]
        if t == end:
            return
        sign = math.copysign(1.0, end - t)
        outputs, stops, jumps = _Outputs(times), self._stops(t, end), set(self.jump_t)
        random = Randomness(clock.device, self.random)
        stepper.prepare(self.tolerance, self.norm)
        stepper = with_fresh_slopes(stepper, t) if t in jumps else stepper
        carry, recorded = stepper.begin(y, slope), None
        pace = self.pace or (self.first_step and Pace(self.first_step))
        if pace is None:
            with torch.no_grad():
                pace = Pace(self.first_size(func, stepper, clock, t, end, y, slope))
        attempts, after_jump = 0, t in jumps
        while t != end:
            interval, cut, pace = self.next(clock, t, pace, sign, stops, jumps, after_jump)
            if attempts >= self.max_num_steps:
                raise self.too_many(func, stepper, interval, y)
            if attempts == self.patience and abs(t - times[0]) < 0.01 * abs(end - times[0]):
                raise MaxStepsReached(
                    f"{attempts} steps were not a hundredth of the way to {end:g}", t=t, dt=interval.dt
                )
            attempts += 1
            self.callbacks.call(self.callbacks.step, interval, y)
            random.before_step()
            length = abs(interval.dt)
            try:
                step = stepper.step(func, interval, y, carry)
            except NewtonDidNotConverge:
                pace, failed = self.controller.retry(Floats, t, length, pace, self.min_step)
                self.reject(interval, y, stats)
                if failed:
                    raise
                continue
            ratio = self.error_ratio(step, interval.t1, y)
            accepted, failed, pace, free = self.controller.judge(Floats, ratio, t, length, cut, pace, self.min_step)
            if not accepted:
                self.reject(interval, y, stats)
                # From a slope that is not finite no step leads on, however small.
                if failed or not (math.isfinite(ratio) or all(map(is_finite, carry))):
                    raise self.failure(interval, ratio, step)
                continue
            self.callbacks.call(self.callbacks.accept, interval, y)
            thetas, lands = outputs.within(interval)
            if thetas or self.dense:
                stepper.extend(func, interval, y, carry, step)
            stats.accepted += 1
            if stats.first_step is None:
                stats.first_step = free
            self.pace = pace
            yield Accepted(interval, y, recorded, step, thetas, lands, random.recorded())
            t, y, carry = interval.t1, step.y1, step.carry
            recorded = carry
            after_jump = t in jumps
            if after_jump and t != end:
                random.before_slope()
                carry, recorded = stepper.begin(y, func(self.moment(clock, t, end), y)), None

    def reject(self, interval: Interval, y: Tensor, stats: Stats) -> None:
        """Count and report a rejected step."""
        stats.rejected += 1
        self.callbacks.call(self.callbacks.reject, interval, y)

    def suited(self, stepper, start):
        """At the start, if the slope jumps there."""
        return with_fresh_slopes(stepper, start) if start in self.jump_t else stepper

    def excludes(self, t):
        """Jumps."""
        return t in self.jump_t

    def _stops(self, t: float, end: float) -> list[float]:
        """Times to land on, the next one last."""
        low, high = min(t, end), max(t, end)
        inside = {stop for stop in (*self.step_t, *self.jump_t) if low < stop < high} | {end}
        return sorted(inside, reverse=end > t)

    def next(self, clock, t, pace, sign, stops, jumps=frozenset(), after_jump=False) -> tuple[Interval, bool, Pace]:
        """The next interval, which never steps over a stop, whether it is cut there, and the pace meant."""
        while stops[-1] == t:
            stops.pop()
        t1, cut, pace = self.controller.propose(Floats, pace, t, stops[-1], sign, self.min_step, self.max_step)
        if t1 == t:
            raise unresolved_step(t=t, dt=pace.size)
        return clock.interval(t, t1, open_start=after_jump, open_end=t1 in jumps), cut, pace

    def first_size(self, func, stepper: Stepper, clock: Clock, t: float, end: float, y: Tensor, slope: Tensor) -> float:
        """A size for the first step, from the slope at the start; one evaluation."""
        scale, order = self.tolerance.scale(t, y.abs()), stepper.error_exponent - 1
        return first_step(Floats, func, clock, t, end, y, slope, order, scale, self.norm)

    def error_ratio(self, step: Step, t1: float, y: Tensor) -> float:
        """A step's error in units of what is allowed, on the host."""
        with constant():
            return host(error_norm(step, self.tolerance.of_step(t1, y, step.y1), self.norm))

    def too_many(self, func, stepper: Stepper, interval: Interval, y: Tensor) -> MaxStepsReached:
        """That the steps allowed were not enough, the next of which would have been over this interval."""
        stiff = not stepper.implicit and abs(interval.dt) * spectral_radius(func, interval.times[0], y) > STABLE
        return too_many_steps(self.max_num_steps, stiff, t=interval.t0, dt=interval.dt)

    def failure(self, interval: Interval, ratio: float, step: Step) -> StepSizeUnderflow | NonFiniteDerivative:
        """Why no step is small enough."""
        where = {"t": interval.t0, "dt": interval.dt}
        if math.isfinite(ratio):
            return failing_error_test("name jumps of the slope in jump_t, or use a float64 state", **where)
        return not_finite(sample=offending_sample(step.error), **where)


def grid_points(times: Sequence[float], step_size: float | None, points: Sequence[float] | None) -> list[float]:
    """The grid of a fixed-step solve: from a step size, from given points, or the output times themselves.

    A last, shorter step ends at the end. Points that differ from an output time by rounding are moved onto it.

    Raises:
        InvalidTimes: a grid that does not run from the first to the last output time.
        InvalidOption: a step size that makes too many steps.
    """
    start, end = times[0], times[-1]
    if points is None and step_size is None:
        return list(times)
    if points is None:
        steps = abs(end - start) / step_size
        if steps > _MOST_POINTS:
            raise InvalidOption(
                f"step_size = {step_size:g} makes more than {_MOST_POINTS} steps from {start:g} to {end:g}",
                remedy="Take larger steps",
            )
        count = max(1, math.ceil(steps * (1 - 1e-7)))
        sized = math.copysign(step_size, end - start)
        if abs(steps - count) <= 1e-7 * count:
            sized = (end - start) / count
        points = [start + i * sized for i in range(count)] + [end]
    points = list(points)
    if points[0] != start or points[-1] != end:
        raise InvalidTimes(
            f"the grid runs from {points[0]:g} to {points[-1]:g}, the times from {start:g} to {end:g}",
            remedy="Let grid_constructor return a grid that starts and ends where t does",
        )
    i = 0
    for t in times[1:-1]:
        while i < len(points) - 1 and abs(points[i + 1] - start) < abs(t - start):
            i += 1
        for j in (i, i + 1):
            step = abs(points[min(i + 1, len(points) - 1)] - points[i])
            if 0 < j < len(points) - 1 and abs(points[j] - t) <= 1e-6 * step:
                points[j] = t
    return points
