"""The one loop over the steps of a solve. It yields accepted steps; what is kept of them is the caller's.

Which steps are tried, and which of them are accepted, is for a walk to say: between given points (`given.py`), or by
their errors (`chosen.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._derivative.context import RandomState
from ..errors import NewtonDidNotConverge
from .clock import Clock, Interval
from .numbers import Condition, Number
from .stepper import Step, Stepper

if TYPE_CHECKING:
    from .problem import Problem


class Accepted:
    """An accepted step: where it began, what it gave, and which output times lie in it.

    Attributes:
        interval, y, carry: the step's beginning; carry is None at the start and after a jump of the slope.
        step: its result.
        thetas: output times strictly inside, as fractions of the step.
        lands: whether the step's end is an output time.
        until: to where the solution follows it: its end, or the event that ended a segment within it.
        random: the states of the generators before the slope at the start (where it was evaluated) and before the step;
            None where the derivative does not draw.
    """

    __slots__ = ("carry", "interval", "lands", "random", "step", "thetas", "until", "y")
    places = ()
    spoiled = False

    def __init__(self, interval: Interval, thetas, lands, random=(None, None)):
        self.interval, self.thetas, self.lands, self.random, self.until = interval, thetas, lands, random, interval.t1

    @property
    def outputs(self) -> int:
        """How many output times lie in it."""
        return len(self.thetas) + self.lands

    def states(self, stepper: Stepper, y: Tensor, step: Step) -> list[Tensor]:
        """The solution at these, of the step as it was taken or taken again from y."""
        inside = stepper.interpolate(self.interval, y, step, self.thetas) if self.thetas else []
        return [*inside, step.y1] if self.lands else list(inside)

    def at(self, stepper: Stepper, t: float) -> Tensor:
        """The solution at a time within it."""
        theta = (t - self.interval.t0) / self.interval.dt
        return self.step.y1 if theta == 1.0 else stepper.interpolate(self.interval, self.y, self.step, [theta])[0]

    def without_tensors(self) -> Accepted:
        """What it takes to take the step again from its beginning."""
        return Accepted(self.interval, self.thetas, self.lands, self.random)


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

    def anew(self) -> Stats:
        """Those of another solve of the same, before it begins."""
        return Stats()


class SegmentedStats(Stats):
    """The statistics of a solve in several segments, each of which has its own backward pass."""

    def __init__(self):
        self.segments: list[Stats] = []
        self.nfe_forward = 0

    def add_segment(self) -> Stats:
        """The statistics of the next segment."""
        self.segments.append(Stats())
        return self.segments[-1]

    accepted = property(lambda self: sum(part.accepted for part in self.segments))
    rejected = property(lambda self: sum(part.rejected for part in self.segments))
    nfe_backward = property(lambda self: sum(part.nfe_backward for part in self.segments))


@dataclass
class Callbacks:
    """Called as `callback(t0, y0, dt)` before every attempted step, and after it was accepted or rejected."""

    step: Callable | None = None
    accept: Callable | None = None
    reject: Callable | None = None

    def call(self, callback: Callable | None, interval: Interval, y: Tensor) -> None:
        """Call one of them, if there is one."""
        if callback is not None:
            t0, dt = interval.t0, interval.t1 - interval.t0
            if isinstance(t0, float):
                t0, dt = (torch.full((), value, dtype=torch.float64, device=y.device) for value in (t0, dt))
            callback(t0, y, dt)


class Plan:
    """How the steps of a solve are chosen. Here: at which times the derivative is asked besides the steps' own."""

    callbacks: Callbacks

    def walk(self, problem: Problem, y: Tensor, slope: Tensor) -> Walk:
        """The walk over the steps of a solve that starts with state y and slope f(t0, y)."""
        raise NotImplementedError

    def allowed(self, clock: Clock, t: Number, y: Tensor) -> Tensor:
        """How large an error of each component of a state passes for none."""
        return torch.finfo(y.dtype).eps ** 0.5 * (1 + y.abs())

    def steps(self, problem: Problem, y: Tensor, slope: Tensor) -> Iterator[Accepted]:
        """The accepted steps of a solve that starts with state y and slope f(t0, y)."""
        func, stepper, callbacks = problem.func, problem.stepper, self.callbacks
        walk, at_slope = self.walk(problem, y, slope), problem.record.random
        draws = at_slope is not None  # the states of the generators are recorded then, so that steps can be repeated
        # What a step begins with; and what to begin with again: None where the slope there is evaluated.
        carry, recorded = stepper.begin(y, slope), None
        while (interval := walk.next(y)) is not None:
            if carry is None:
                at_slope = RandomState(y.device) if draws else None
                carry = problem.beginning(func, interval, y, recorded)
            callbacks.call(callbacks.step, interval, y)
            at_step = RandomState(y.device) if draws else None
            try:
                step = stepper.step(func, interval, y, carry, walk.estimates, walk.final)
            except NewtonDidNotConverge:
                if not walk.retry(interval, y):
                    raise
                continue
            accepted = walk.judge(interval, y, carry, step)
            if accepted is None:
                continue
            if problem.dense or accepted.thetas:
                stepper.extend(func, interval, y, carry, step)
            accepted.y, accepted.carry, accepted.random = y, recorded, (at_slope, at_step)
            accepted.step = step = step if interval.moves is None else accepted.settled(problem, carry, step)
            yield accepted
            y, carry = step.y1, step.carry
            recorded = None if walk.forgets else carry
            if walk.renews:
                carry = None

    def remade(self, clock: Clock, interval: Interval) -> Interval:
        """The interval of an accepted step, to take the step again."""
        return interval

    def completed(self, problem: Problem, outputs: list[Tensor], y0: Tensor) -> list[Tensor]:
        """The outputs of a solve that is over, those it did not reach not a number."""
        missing = len(problem.reached) - 1 - len(outputs)
        return outputs + [torch.full_like(y0, torch.nan) for _ in range(missing)]

    def moment(self, clock: Clock, t: Number, towards: Number) -> Tensor:
        """The start or an output time as the derivative sees it; where it must not, its neighbour on the solve's side.

        Args:
            towards: where the solve goes on to from the start, or came from to an output time.
        """
        excluded = self.excludes(t)
        if excluded is not False:
            t = clock.n.where(excluded & (t != towards), clock.inside(t, towards), t)
        return clock.instant(t)

    def excludes(self, t: Number) -> Condition:
        """Whether the derivative must not be asked at this time: there it jumps, or is not defined."""
        return False

    def start(self, clock: Clock, stepper: Stepper, times) -> Tensor:
        """The time of the slope that the first step begins with."""
        return self.moment(clock, times[0], times[-1])

    def beginning(self, stepper: Stepper, interval: Interval) -> Tensor:
        """The time of the slope that a step begins with, where none is carried over to it."""
        return interval.times[0]


class Walk:
    """Where a solve is: which step it tries next, and whether that was accepted.

    Attributes:
        estimates: whether the errors of steps are wanted.
        final: whether no step follows the one that is tried.
        renews: whether the slope at the start of the next step is evaluated anew.
        forgets: whether that step begins like the first, with nothing carried over.
    """

    estimates = final = renews = forgets = False

    def next(self, y: Tensor) -> Interval | None:
        """The interval to try a step over, from state y; None at the end."""
        raise NotImplementedError

    def judge(self, interval: Interval, y: Tensor, carry: tuple[Tensor, ...], step: Step) -> Accepted | None:
        """Which output times lie in a step, if it is accepted."""
        raise NotImplementedError

    def retry(self, interval: Interval, y: Tensor) -> bool:
        """Whether to go on after a step whose equations could not be solved."""
        return False
