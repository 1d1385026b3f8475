"""One solve: everything it needs besides the tensors it is differentiated by."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._clock import Clock
from ._context import Surroundings, replayed_randomness
from ._leaves import UnknownLeaves
from ._loops import Accepted, Adaptive, FixedGrid, Stats
from ._progress import Progress
from ._state import Derivative
from ._stepper import Step, Stepper
from .errors import SolveFailed

if TYPE_CHECKING:
    from ._event_search import Watch
    from ._gradients._graphs import Graphs


@dataclass
class Backward:
    """The backward solve of a continuous adjoint.

    Attributes:
        stepper, clock: its method, and its times.
        plan: (two times, the plan between those before, the parameters) → the plan between the two.
    """

    stepper: Stepper
    clock: Clock
    plan: Callable[..., FixedGrid | Adaptive]


@dataclass
class Problem:
    """A solve without its differentiable inputs.

    Attributes:
        func: the derivative on the solver's tensors.
        stepper, plan, clock: the method, how its steps are chosen, and their times.
        times: output times, the first being the start.
        parameters: tensors the derivative depends on; named: those that the user named.
        surroundings: autocast and buffers of the forward pass.
        stats: filled in while solving and differentiating.
        throw: whether failures are raised; otherwise the outputs not reached are NaN and `failure` says why.
        states: how many states "checkpoint" keeps at most; None: it decides.
        graphs: the memory of the graphs that "checkpoint" keeps, over all segments of the solve.
        adjoint: the continuous adjoint's backward solve.
        progress: shows how far the solve has come.
        keep: called with every accepted step by "backprop".
        start: a state of y0's value and the slope there with its graph, for gradients that do not record.
        watch: adds the events it finds to the output times, and ends the solve at the first that does.
    """

    func: Derivative
    stepper: Stepper
    plan: FixedGrid | Adaptive
    clock: Clock
    times: list[float]
    parameters: tuple[Tensor, ...]
    surroundings: Surroundings
    stats: Stats = field(default_factory=Stats)
    throw: bool = True
    failure: SolveFailed | None = None
    states: int | None = None
    graphs: Graphs | None = None
    named: Sequence = ()
    adjoint: Backward | None = None
    watch: Watch | None = None
    keep: Callable[[Accepted], None] | None = None
    progress: Progress | None = None
    start: tuple[Tensor, Tensor] | None = None

    @contextlib.contextmanager
    def differentiation(self):
        """Around a backward pass: the forward's surroundings, a count of evaluations, a look for unknown tensors."""
        func = self.func
        before, func.leaves = func.evaluations, UnknownLeaves(self.parameters)
        try:
            with self.surroundings.again():
                yield
                self.stats.nfe_backward = func.evaluations - before
                func.leaves.settle(func)
        finally:
            func.leaves = None

    def integrate(self, y0: Tensor, slope: Tensor, keep: Callable[[Accepted], None] | None = None) -> list[Tensor]:
        """The solution at every output time after the first, from y0 and the slope f(t0, y0).

        Args:
            keep: called with every accepted step.
        """
        return self.completed(self.collected(self.steps(y0, slope), keep), y0)

    def steps(self, y0: Tensor, slope: Tensor) -> Iterator[Accepted]:
        """The accepted steps of the solve."""
        steps = self.plan.steps(self.func, self.stepper, self.clock, self.times, y0, slope, self.stats)
        return steps if self.watch is None else self.watch.over(steps, self)

    def collected(self, steps: Iterable[Accepted], keep: Callable[[Accepted], None] | None = None) -> list[Tensor]:
        """The outputs within some steps, as far as they come."""
        outputs: list[Tensor] = []
        try:
            for accepted in steps:
                if keep is not None:
                    keep(accepted)
                if self.progress is not None:
                    self.progress.update(accepted.until)
                outputs += self.within(accepted)
        except SolveFailed as failure:
            if self.throw:
                raise
            self.failure = failure
        return outputs

    def completed(self, outputs: list[Tensor], y0: Tensor) -> list[Tensor]:
        """The outputs of a solve that is over, those it did not reach not a number."""
        self.func.release()
        if self.watch is not None:
            self.times = self.watch.times
        return outputs + [torch.full_like(y0, torch.nan) for _ in range(len(self.times) - 1 - len(outputs))]

    def within(self, accepted: Accepted) -> list[Tensor]:
        """The solution at the output times within one step, as it was taken."""
        return self.outputs(accepted, accepted.y, accepted.step)

    def outputs(self, accepted: Accepted, y: Tensor, step: Step) -> list[Tensor]:
        """The solution at the output times within one step."""
        inside = self.stepper.interpolate(accepted.interval, y, step, accepted.thetas) if accepted.thetas else []
        return [*inside, step.y1] if accepted.lands else list(inside)

    def repeat(self, accepted: Accepted, y: Tensor, carry, final: bool):
        """Take an accepted step again from (y, carry): its result and its outputs."""
        interval = accepted.interval
        before_slope, before_step = accepted.random or (None, None)
        if carry is None:
            with replayed_randomness(before_slope, y.device):
                carry = self.stepper.begin(y, self.func(self.plan.beginning(self.stepper, interval), y))
        with replayed_randomness(before_step, y.device):
            step = self.stepper.step(self.func, interval, y, carry, estimate=False, final=final)
            if accepted.thetas or self.plan.dense:  # as in the forward pass: what is carried depends on it
                self.stepper.extend(self.func, interval, y, carry, step)
        return step, self.outputs(accepted, y, step)
