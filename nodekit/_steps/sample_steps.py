"""Steps of independent samples, taken together; between given points, or as `chosen_samples.py` chooses them.

A sample that takes no step in a round, having arrived or failed or been rejected, stays where it is. Of its neighbours
no sample notices anything: what it does is computed from its own row alone, in the same operations.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._derivative.samples import finite_samples, spread
from ..errors import NonFiniteDerivative, SamplesFailed, SolveFailed
from .clock import Interval, SampleClock
from .control import host_values
from .failures import unsolved_equations
from .given import Given, GivenWalk
from .loops import Accepted, Plan, Stats
from .stepper import Step, Stepper

if TYPE_CHECKING:
    from .problem import Problem


class SampleStats(Stats):
    """What a solve did for every sample.

    Attributes:
        nfe_forward, nfe_backward: evaluations of the derivative, on the whole batch.
        nfe: those of the forward pass that a sample had a part in, shape (batch,).
        accepted, rejected: steps of every sample, shape (batch,).
    """

    def __init__(self, samples: int, device: torch.device):
        super().__init__()
        self.nfe, self.accepted, self.rejected = torch.zeros(3, samples, dtype=torch.int64, device=device)
        self._counted = 0

    def anew(self) -> SampleStats:
        """Those of another solve of the same, before it begins."""
        return SampleStats(len(self.nfe), self.nfe.device)

    def count(self, evaluations: int, part: Tensor | int) -> None:
        """So many evaluations have been, of which those not counted yet were of samples that had a part in them."""
        self.nfe += part * (evaluations - self._counted)
        self._counted = evaluations


class SampleSteps(Accepted):
    """A step that some of the samples take.

    Attributes:
        thetas: (samples, output times, fractions of the step) of the outputs within it, or ().
        lands: (samples, output times) of those at its end, or ().
        spoiled: whether samples that do not take it have slopes that are not finite.
        ended: samples that an event ends in it; None: none.
    """

    __slots__ = ("ended", "spoiled")

    def __init__(self, interval, thetas=(), lands=(), random=None, spoiled=False):
        super().__init__(interval, thetas, lands, random)
        self.spoiled, self.ended = spoiled, None

    @property
    def outputs(self) -> int:
        """How many tensors of outputs there are."""
        return bool(self.thetas) + bool(self.lands)

    @property
    def places(self) -> list[tuple[Tensor, Tensor]]:
        """(samples, output times) of each of them."""
        return [rows[:2] for rows in (self.thetas, self.lands) if rows]

    def states(self, stepper: Stepper, y: Tensor, step: Step) -> list[Tensor]:
        """The outputs, a tensor of some samples each."""
        interval, found = self.interval, []
        if self.thetas:
            rows, _, thetas = self.thetas
            found.append(stepper.at_fractions(y, step, interval.t1 - interval.t0, rows, thetas))
        return [*found, step.y1[self.lands[0]]] if self.lands else found

    def without_tensors(self) -> Accepted:
        """What it takes to take the step again from its beginning."""
        return SampleSteps(self.interval, self.thetas, self.lands, self.random, self.spoiled)

    def settled(self, problem: Problem, carry: tuple[Tensor, ...], step: Step) -> Step:
        """The step as it was taken from the carry; if it is spoiled and recorded, without what is not finite."""
        recorded, step = step.y1.requires_grad, self.settle(step, self.y, carry)
        if self.spoiled and recorded:
            again = problem.again(self, self.y, self.carry, final=False)
            again.carry = (*again.carry, *step.carry[len(again.carry) :])  # what is remembered besides the slope
            return again
        return step

    def settle(self, step: Step, y: Tensor, carry: tuple[Tensor, ...]) -> Step:
        """The step, but that the samples that do not move stay where they are, with the slope that they have."""
        moves = self.interval.moves
        step.y1 = torch.where(spread(moves, y), step.y1, y)
        pairs = zip(step.carry, carry, strict=False)
        step.carry = tuple(torch.where(spread(moves, new), new, old) for new, old in pairs)
        return step


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplePlan(Plan):
    """How every sample's steps are chosen.

    Attributes:
        times: output times (batch, times) on the state's device, padding the last time again.
        absent: which outputs are not a number because their time is none, shape (batch, times).
    """

    times: Tensor
    absent: Tensor

    def interval(self, clock: SampleClock, t0: Tensor, t1: Tensor) -> Interval:
        """The intervals of steps, whose ends are evaluated beside what is excluded.

        Also of samples that do not move: there on the side of what they have still before them, or, at the end, behind.
        """
        at_start, at_end = self.excludes(t0), self.excludes(t1)
        if at_start is False:
            return clock.interval(t0, t1)
        elsewhere = torch.where(t0 == self.times[:, -1], self.times[:, 0], self.times[:, -1])
        onward, back = torch.where(t0 == t1, elsewhere, t1), torch.where(t0 == t1, elsewhere, t0)
        start = torch.where(at_start, clock.inside(t0, onward), t0)
        return clock.interval(t0, t1, start, torch.where(at_end, clock.inside(t1, back), t1))

    def remade(self, clock: SampleClock, interval: Interval) -> Interval:
        """The interval of an accepted step, in which some samples move no longer."""
        if interval.moves is None:
            return interval
        again = self.interval(clock, interval.t0, interval.t1)
        again.fresh, again.moves, again.method = interval.fresh, interval.moves, interval.method
        return again

    def completed(self, problem: Problem, outputs: list[Tensor], y0: Tensor) -> list[Tensor]:
        """The outputs in their places: at every time after the first; then, if events were looked for, at these."""
        samples, times = self.times.shape
        rows = torch.cat([y0, *outputs, torch.full_like(y0[:1], torch.nan)])
        own, missing = torch.arange(samples, device=y0.device), len(rows) - 1
        index = torch.full((times + 1, samples), missing, device=y0.device)
        index[:times] = torch.where(self.times[:, 0] == self.times.T, own, missing)
        if problem.record.places:
            sample, time = (torch.cat(places) for places in zip(*problem.record.places, strict=True))
            index[time, sample] = torch.arange(samples, missing, device=y0.device)
        if problem.record.void is not None:
            index[1:, problem.record.void] = missing
        index[:times].masked_fill_(self.absent.T, missing)
        first = 0 if problem.watch is not None else 1
        found = rows[index[1 : times + 1 - first].reshape(-1)].view(times - first, *y0.shape)
        return list(found.unbind())


def within(times: Tensor, t0: Tensor, t1: Tensor, inside: bool = True) -> tuple[tuple[Tensor, ...], ...]:
    """Which output times (batch, times) lie in steps, as `SampleSteps` has them.

    Args:
        inside: whether there may be others than the steps' ends.
    """
    start, end = t0.unsqueeze(1), t1.unsqueeze(1)
    at_end, found = ((times == end) & (end != start)).nonzero(), ()
    if inside:
        sign = torch.sign(end - start)
        rows, columns = (((times - start) * sign > 0) & ((times - end) * sign < 0)).nonzero().unbind(1)
        found = (rows, columns, (times[rows, columns] - t0[rows]) / (t1[rows] - t0[rows]))
    return found if found and len(found[0]) else (), at_end.unbind(1) if len(at_end) else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenSamples(SamplePlan, Given):
    """Fixed steps of every sample between its own points.

    Attributes:
        points: shape (batch, points), float64 on the host, the last of each sample again and again.
        host_times: the output times on the host.
        renews: whether the slope at the start of every step is evaluated anew, since states may jump there.
    """

    points: Tensor
    host_times: Tensor
    renews: bool = False

    def walk(self, problem, y, slope):
        """Over the points."""
        return _GivenWalk(self, problem)

    def excludes(self, t):
        """All, with perturb: the ends of steps, and what else is an output time."""
        return torch.ones_like(t, dtype=torch.bool) if self.perturb else False

    @property
    def count(self):
        """How many steps there are."""
        return self.points.shape[1] - 1

    def ahead(self, problem):
        """The steps to be taken, and which output times lie in them, found on the host."""
        found = [within(self.host_times, *span) for span in itertools.pairwise(self.points.unbind(1))]
        sent = iter(_sent([x for places in found for part in places for x in part], problem.clock.device))
        for interval, places in zip(self.intervals(problem.clock, []), found, strict=True):
            yield SampleSteps(interval, *(tuple(next(sent) for _ in part) for part in places))

    def intervals(self, clock, taken):
        """The intervals between every sample's points, which are sent to the device in one go."""
        moved = self.points[:, 1:] != self.points[:, :-1]
        points, every = self.points.to(clock.exact).to(clock.device).unbind(1), moved.all(0).tolist()
        moves = (moved if all(every) else moved.to(clock.device)).unbind(1)
        for (start, end), some, whole in zip(itertools.pairwise(points), moves, every, strict=True):
            interval = self.interval(clock, start, end)
            interval.fresh, interval.moves = self.perturb or self.renews, None if whole else some
            yield interval

    def without(self, clock: SampleClock, step: SampleSteps, stuck: Tensor) -> SampleSteps:
        """A step in which some samples stay where they are, so that they have no more outputs."""
        old = step.interval
        moves = ~stuck if old.moves is None else old.moves & ~stuck
        interval = self.interval(clock, old.t0, torch.where(moves, old.t1, old.t0))
        interval.fresh, interval.moves = old.fresh, moves
        found = (tuple(x[~stuck[rows[0]]] for x in rows) if rows else () for rows in (step.thetas, step.lands))
        return SampleSteps(interval, *found, spoiled=True)

    def not_finite(self, y: Tensor, record) -> dict[int, SolveFailed]:
        """The samples whose last states are not finite; no output of theirs is known to be."""
        finite = finite_samples(y)
        if not self.check_finite or all(arrived := host_values(finite)):
            return {}
        record.void = ~finite
        return {
            i: NonFiniteDerivative(
                "the state is infinite or not a number at the end",
                t=self.host_times[i, -1].item(),
                sample=i,
                remedy="Take smaller steps if the solve is unstable",
            )
            for i, fine in enumerate(arrived)
            if not fine
        }


def _sent(parts: list[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors (n,) of the host on the device, those of a dtype in one go: the host waits each time it sends."""
    sent = list(parts)
    for dtype in {part.dtype for part in parts}:
        of_it = [i for i, part in enumerate(parts) if part.dtype == dtype]
        whole = torch.cat([parts[i] for i in of_it]).to(device)
        for i, part in zip(of_it, whole.split([len(parts[i]) for i in of_it]), strict=True):
            sent[i] = part
    return sent


def padded(grids: Sequence[Sequence[float]]) -> Tensor:
    """Points of every sample (batch, points), the last of each again and again."""
    longest = max(map(len, grids), default=1)
    rows = [[*grid, *[grid[-1]] * (longest - len(grid))] for grid in grids]
    return torch.tensor(rows, dtype=torch.float64).view(len(rows), longest)


class _GivenWalk(GivenWalk):
    def __init__(self, plan: GivenSamples, problem):
        super().__init__(plan, problem)
        self.clock, self.part, self.unsolved = problem.clock, 1, {}
        self.renews = (plan.perturb or plan.renews) and problem.stepper.renewable
        #: which samples have steps behind them whose equations could not be solved
        self.stuck: Tensor | None = None

    def next(self, y):
        self.stats.count(self.func.evaluations, self.part)
        self.step = next(self.ahead, None)
        if self.step is None:
            if failures := self.plan.not_finite(y, self.record) | self.unsolved:
                raise SamplesFailed.of(dict(sorted(failures.items())), len(y))
            return None
        if self.stuck is not None:
            self.step = self.plan.without(self.clock, self.step, self.stuck)
        self.taken += 1
        self.final, interval = self.taken == self.count, self.step.interval
        self.part = 1 if interval.moves is None else interval.moves
        return interval

    def judge(self, interval, y, carry, step):
        if step.idle is not None:
            self.stats.nfe -= step.idle * self.part
        if step.unsolved is not None:
            self._stick(interval, step.unsolved)
        return super().judge(interval, y, carry, step)

    def _stick(self, interval: Interval, unsolved: Tensor) -> None:
        """From here on, samples stay where they are."""
        for i in host_values(unsolved.nonzero()[:, 0]):
            t0, dt = (x[i].item() for x in (interval.t0, interval.t1 - interval.t0))
            self.unsolved[i] = unsolved_equations(t=t0, dt=dt, sample=i)
        self.stuck = unsolved if self.stuck is None else self.stuck | unsolved
        self.step = self.plan.without(self.clock, self.step, self.stuck)
        interval.moves = self.step.interval.moves
