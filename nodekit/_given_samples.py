"""Fixed steps of independent samples."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from ._control import host_values
from ._given import Given, GivenWalk
from ._sample_steps import SamplePlan, SampleSteps, within
from ._samples import finite_samples
from .errors import NonFiniteDerivative, SamplesFailed


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenSamples(SamplePlan, Given):
    """Fixed steps of every sample between its own points.

    Attributes:
        points: shape (batch, points), float64 on the host, the last of each sample again and again.
        host_times: the output times on the host.
    """

    points: Tensor
    host_times: Tensor

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
        clock, times = problem.clock, self.host_times
        for start, end in itertools.pairwise(self.points.unbind(1)):
            interval = self.interval(clock, *(x.to(clock.exact).to(clock.device) for x in (start, end)))
            interval.fresh, moves = self.perturb, end != start
            interval.moves = None if moves.all() else moves.to(clock.device)
            inside, at_end = (tuple(x.to(clock.device) for x in found) for found in within(times, start, end))
            yield SampleSteps(interval, inside, at_end)

    def check(self, y, record):
        """Look which samples' last states are finite; of others no output is known to be."""
        finite = finite_samples(y)
        if not self.check_finite or all(arrived := host_values(finite)):
            return
        record.void = ~finite
        failures = {
            i: NonFiniteDerivative(
                "the state is infinite or not a number at the end",
                t=self.host_times[i, -1].item(),
                sample=i,
                remedy="Take smaller steps if the solve is unstable",
            )
            for i, fine in enumerate(arrived)
            if not fine
        }
        raise SamplesFailed.of(failures, len(arrived))


class _GivenWalk(GivenWalk):
    def next(self, y):
        moves = self.step.interval.moves if self.taken else None
        self.record.stats.count(self.func.evaluations, 1 if moves is None else moves)
        return super().next(y)
