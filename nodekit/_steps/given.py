"""Steps between given points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import InvalidOption, InvalidTimes, MaxStepsReached, NonFiniteDerivative
from .clock import Clock, Interval, Outputs
from .failures import offending_sample
from .loops import Accepted, Callbacks, Plan, Walk
from .numbers import is_finite

if TYPE_CHECKING:
    from .problem import Problem, Record

#: as many steps as a grid may have
_MOST_POINTS = 2**31 - 1


@dataclass(frozen=True)
class Given(Plan):
    """Steps between given points.

    Attributes:
        points: the grid, from the first output time to the last.
        perturb: evaluate a step's ends at the neighbouring numbers inside it.
        check_finite: look once, at the end, whether the state is finite.
    """

    points: list[float]
    perturb: bool = False
    check_finite: bool = True
    callbacks: Callbacks = field(default_factory=Callbacks)

    def walk(self, problem, y, slope):
        """Over the points."""
        return GivenWalk(self, problem)

    def excludes(self, t):
        """The ends of steps, and what else is an output time, with perturb."""
        return self.perturb

    def start(self, clock, stepper, times):
        """Of a method for which the slope is a first guess only, the time of its first stage."""
        if not stepper.guesses:
            return super().start(clock, stepper, times)
        return next(iter(self.intervals(clock, []))).times[1]

    def beginning(self, stepper, interval):
        """The same of any step."""
        return interval.times[1 if stepper.guesses else 0]

    def ahead(self, problem: Problem) -> Iterator[Accepted]:
        """The steps to be taken, and which output times lie in them."""
        outputs = Outputs(problem.times)
        for interval in self.intervals(problem.clock, problem.record.points):
            yield Accepted(interval, *outputs.within(interval))

    def intervals(self, clock: Clock, taken: list[float]) -> Iterable[Interval]:
        """The intervals between the points, which are those to be taken."""
        taken += self.points
        return clock.grid(self.points, open_ends=self.perturb)

    @property
    def count(self) -> int:
        """How many steps there are."""
        return len(self.points) - 1

    def check(self, y: Tensor, record: Record | None = None) -> None:
        """Look whether the state at the end is finite, unless told not to."""
        if self.check_finite and not is_finite(y):
            raise NonFiniteDerivative(
                "the state is infinite or not a number at the end",
                t=self.points[-1],
                sample=offending_sample(y),
                remedy="Take smaller steps if it is unstable; options={'check_finite': False} returns such states",
            )


@dataclass(frozen=True)
class Endless(Given):
    """Equal steps to infinity, for a solve that an event ends.

    Attributes:
        step_size: their size, negative when solving backwards in time.
        max_num_steps: how many to take at most.
    """

    step_size: float = 0.0
    max_num_steps: int = 0

    count = -1  # nobody knows

    def intervals(self, clock, taken):
        """The intervals, made a few at a time."""
        start, few = self.points[0], 32
        taken.append(start)
        for first in range(0, self.max_num_steps, few):
            ahead = [start + i * self.step_size for i in range(first, first + few + 1)]
            for interval in clock.grid(ahead, open_ends=self.perturb):
                taken.append(interval.t1)
                yield interval
        raise MaxStepsReached(f"{self.max_num_steps} steps found no event", t=ahead[-1], dt=self.step_size)


class GivenWalk(Walk):
    """Over given points, to the last."""

    def __init__(self, plan: Given, problem: Problem):
        self.plan, self.func, self.record, self.taken = plan, problem.func, problem.record, 0
        self.stats, self.count = problem.record.stats, plan.count
        self.ahead = plan.ahead(problem)
        self.renews = plan.perturb and problem.stepper.renewable

    def next(self, y):
        self.step = next(self.ahead, None)
        if self.step is None:
            self.plan.check(y, self.record)
            return None
        self.taken += 1
        self.final = self.taken == self.count
        return self.step.interval

    def judge(self, interval, y, carry, step):
        self.stats.accepted += 1 if interval.moves is None else interval.moves
        return self.step


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
