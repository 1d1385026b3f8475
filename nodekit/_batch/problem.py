"""One solve of independent samples, as the gradient methods see it: accepted steps that can be taken again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._context import RandomState, replayed_randomness
from .._loops import Accepted
from .._problem import Problem
from .._stepper import Step
from .dense import at_fractions
from .loops import freshened, settle
from .state import BatchInterval


@dataclass
class BatchProblem(Problem):
    """A solve of independent samples without its differentiable inputs.

    Attributes:
        plan: a `BatchGrid` or a `BatchAdaptive`.
        times: output times, each of shape (batch,).
        norm: of every sample.
        absent: which outputs are not a number because their time is none, shape (batch, times).
        positions: for each tensor of outputs but the last, its (samples, output times).
        failed: which samples did not arrive, shape (batch,), or None.
    """

    norm: Callable[[Tensor], Tensor] | None = None
    absent: Tensor | None = None
    positions: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    failed: Tensor | None = None

    def steps(self, y0: Tensor, slope: Tensor) -> Iterator[Accepted]:
        """The accepted steps; recorded ones are taken twice where only the end tells which samples failed."""
        if not torch.is_grad_enabled() or not self.plan.void:
            yield from self._chosen(y0, slope)
            return
        self.plan.random = RandomState(y0.device)
        with torch.no_grad():
            taken = [accepted.without_tensors() for accepted in self._chosen(y0, slope)]
        # The slope of a sample that fails may spoil its neighbours' gradients: it is evaluated again without it.
        y, carry, recorded = y0, self.stepper.begin(y0, slope) if self.failed is None else None, None
        for i, accepted in enumerate(taken):
            accepted.y, accepted.carry = y, recorded
            accepted.step = self._again(accepted, y, carry, final=i == len(taken) - 1)
            yield accepted
            y, carry = accepted.step.y1, accepted.step.carry
            recorded = carry

    def completed(self, outputs: list[Tensor], y0: Tensor) -> list[Tensor]:
        """The outputs of every step (see `positions`), and the last state of every sample."""
        return outputs or [y0.clone()]

    def _chosen(self, y0: Tensor, slope: Tensor) -> Iterator[Accepted]:
        for accepted in self.plan.steps(self.func, self.stepper, self.clock, self.norm, y0, slope, self.stats):
            self.positions += accepted.interval.outputs
            yield accepted
        self._settle_failures(y0)

    def _settle_failures(self, y0: Tensor) -> None:
        self.failure = self.plan.failure
        if self.failure is None:
            return
        if self.throw:
            raise self.failure
        self.failed = torch.zeros(len(y0), dtype=torch.bool, device=y0.device)
        self.failed[list(self.failure.failures)] = True

    def outputs(self, accepted: Accepted, y: Tensor, step: Step) -> list[Tensor]:
        """The outputs within a step, a tensor of some samples each; with the last step, its result."""
        interval, found = accepted.interval, []
        if interval.inside is not None:
            found.append(self._interpolated(interval, y, step))
        if interval.landing is not None:
            found.append(step.y1[interval.landing[0]])
        return [*found, step.y1] if accepted.lands else found

    def _interpolated(self, interval: BatchInterval, y: Tensor, step: Step) -> Tensor:
        rows, _, thetas = interval.inside
        return at_fractions(self.stepper, y, step, interval.t1 - interval.t0, rows, thetas)

    def repeat(self, accepted: Accepted, y: Tensor, carry, final: bool):
        """Take an accepted step again from (y, carry): its result and its outputs."""
        step = self._again(accepted, y, carry, final)
        return step, self.outputs(accepted, y, step)

    def _again(self, accepted: Accepted, y: Tensor, carry, final: bool) -> Step:
        """An accepted step from (y, carry).

        Samples that do not move in it stay where they are; those that have failed take part as copies of one that
        moves, lest a derivative that is not a number there spoils the gradients of parameters that all share.
        """
        kept, start, carried = accepted.interval, y, carry
        interval = self.plan.interval(self.clock, kept.t0, kept.t1)
        if self.failed is not None:
            own = torch.arange(len(y), device=y.device)
            lost = self.failed & self.plan.stuck(kept)
            moves = ~lost if kept.moves is None else kept.moves & ~lost
            source = torch.where(lost, moves.long().argmax(), own)
            start, interval = y[source], interval.of(source)
            carried = None if carry is None else tuple(x[source] for x in carry)
        before_slope, before_step = accepted.random or (None, None)
        if carried is None:
            with replayed_randomness(before_slope, y.device):
                carried = self.stepper.begin(start, self.func(interval.times[0], start))
        elif kept.fresh is not None:
            interval.fresh = kept.fresh
            with replayed_randomness(before_slope, y.device):
                carried = freshened(self.func, interval, start, carried)
        with replayed_randomness(before_step, y.device):
            step = self.stepper.step(self.func, interval, start, carried, estimate=False, final=final)
            if kept.inside is not None or self.plan.dense:
                self.stepper.extend(self.func, interval, start, carried, step)
        settle(step, y, carried, kept)
        return step

    def assembled(self, y0: Tensor, outputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """All outputs in their places, times first, and the states at events; NaN at those a sample did not reach."""
        times, samples = len(self.times), len(y0)
        *parts, last = outputs
        rows = torch.cat([y0, *parts, last, torch.full_like(y0[:1], torch.nan)])
        own = torch.arange(samples, device=y0.device)
        index = torch.full((times + 1, samples), len(rows) - 1, device=y0.device)
        index[0] = own
        count = samples
        for sample, time in self.positions:
            index[time, sample] = torch.arange(count, count + len(sample), device=y0.device)
            count += len(sample)
        at_end, missing = torch.stack(self.times[1:]) == self.times[-1], len(rows) - 1
        last = torch.where(self.plan.arrived(own), own + count, missing)
        index[1:times] = torch.where(at_end, last, index[1:times])
        if self.failed is not None and self.plan.void:
            index[1:, self.failed] = missing
        index[:times].masked_fill_(self.absent.T, missing)
        *found, at_events = rows[index.view(-1)].view(times + 1, *y0.shape).split([times, 1])
        return found[0], at_events[0]
