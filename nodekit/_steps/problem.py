"""One solve: what is asked, besides the tensors it is differentiated by, and what happened."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._derivative.context import RandomState, Surroundings, replayed_randomness
from .._derivative.leaves import UnknownLeaves
from .._derivative.reachable import reachable
from .._derivative.samples import SoundDerivative, sound_slope, spread
from .._derivative.state import Derivative
from ..errors import SolveFailed
from .clock import Clock, Interval
from .control import Pace
from .failures import unsolved_equations
from .loops import Accepted, Plan, Stats
from .progress import Progress
from .stepper import Step, Stepper

if TYPE_CHECKING:
    from .._events.search import Watch
    from .._gradients._graphs import Graphs


@dataclass
class Record:
    """What happened in a solve.

    Attributes:
        stats: filled in while solving and differentiating.
        failure: why outputs were not reached, which are not a number then.
        parameters: tensors the derivative depends on.
        random: the random state before the slope at the start, where the derivative draws random numbers.
        start: a state of y0's value and the slope there with its graph, for gradients that do not record.
        pace: after the last step accepted; a solve that goes on from another begins with it.
        points: the ends of the steps, where these were given.
        places: of independent samples, the (samples, output times) of each tensor of outputs.
        void: those without any output, since it is not known from when on theirs are not finite; None: none.
    """

    stats: Stats
    failure: SolveFailed | None = None
    parameters: tuple[Tensor, ...] = ()
    random: RandomState | None = None
    start: tuple[Tensor, Tensor] | None = None
    pace: Pace | None = None
    points: list[float] = field(default_factory=list)
    places: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    void: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """What is asked of a solve.

    Attributes:
        func: the derivative on the solver's tensors.
        stepper, plan, clock: the method, how its steps are chosen, and their times.
        times: output times, the first being the start.
        record: what happened.
        surroundings: autocast and buffers of the forward pass; None in a backward pass.
        named: tensors that the user named, to be differentiated by.
        throw: whether failures are raised, or recorded.
        dense: whether every step is prepared for interpolation, not only those that contain output times.
        checkpoints: how many states "checkpoint" keeps at most; None: it decides.
        graphs: the memory of the graphs that "checkpoint" keeps, over all segments of the solve.
        backward: of a continuous adjoint, (this problem, a derivative, two times, the problem between the two times
            before) → the problem to solve between these.
        watch: adds the events it finds to the output times, and ends the solve at the first that does.
        keep: called with every accepted step by "backprop".
        progress: shows how far the solve has come.
    """

    func: Derivative
    stepper: Stepper
    plan: Plan
    clock: Clock
    times: list[float]
    record: Record
    surroundings: Surroundings | None = None
    named: Sequence = ()
    throw: bool = True
    dense: bool = False
    checkpoints: int | None = None
    graphs: Graphs | None = None
    backward: Callable[..., Problem] | None = None
    watch: Watch | None = None
    keep: Callable[[Accepted], None] | None = None
    progress: Progress | None = None

    @contextlib.contextmanager
    def differentiation(self):
        """Around a backward pass: the forward's surroundings, a count of evaluations, a look for unknown tensors."""
        func = self.func
        before, func.leaves = func.evaluations, UnknownLeaves(self.record.parameters)
        try:
            with self.surroundings.again():
                yield
                self.record.stats.nfe_backward = func.evaluations - before
                func.leaves.settle(func)
        finally:
            func.leaves = None

    def look(self) -> Iterable[tuple[tuple, Any]]:
        """(place, thing) of everything that the derivative may read now."""
        return reachable(self.func.read)

    @property
    def seen(self) -> Iterable[tuple[tuple, Any]]:
        """What it could read when the solve began; here: what it can now."""
        return self.look()

    def anew(self, **changes) -> Problem:
        """The same solve, with these changes, of the derivative as it is now."""
        return replace(self, **changes)

    @property
    def reached(self) -> list[float]:
        """The output times of a solve that is over, with its events among them."""
        return getattr(self.watch, "times", self.times)  # of samples, each has its own

    def start(self) -> Tensor:
        """The time of the slope that the first step begins with."""
        return self.plan.start(self.clock, self.stepper, self.times)

    def integrate(self, y0: Tensor, slope: Tensor, keep: Callable[[Accepted], None] | None = None) -> list[Tensor]:
        """The solution at every output time after the first, from y0 and the slope f(t0, y0).

        Args:
            keep: called with every accepted step.
        """
        return self.completed(self.collected(self.steps(y0, slope), keep), y0)

    def steps(self, y0: Tensor, slope: Tensor) -> Iterator[Accepted]:
        """The accepted steps of the solve."""
        if getattr(self.func, "mass", None) is not None:  # a continuous adjoint's has none
            self.func.refuse_inconsistent(self.start(), y0, self.plan.allowed(self.clock, self.times[0], y0))
        accepted = self.plan.steps(self, y0, slope)
        return accepted if self.watch is None else self.watch.over(accepted, self)

    def collected(self, steps: Iterable[Accepted], keep: Callable[[Accepted], None] | None = None) -> list[Tensor]:
        """The outputs within some steps, as far as they come."""
        outputs: list[Tensor] = []
        try:
            for accepted in steps:
                if keep is not None:
                    keep(accepted)
                if self.progress is not None:
                    self.progress.update(accepted.until)
                outputs += accepted.states(self.stepper, accepted.y, accepted.step)
                self.record.places += accepted.places
        except SolveFailed as failure:
            if self.throw:
                raise
            # Its frames hold the outputs, whose graph may hold this, in a circle that nothing collects.
            self.record.failure = failure.with_traceback(None)
        return outputs

    def completed(self, outputs: list[Tensor], y0: Tensor) -> list[Tensor]:
        """The outputs of a solve that is over, those it did not reach not a number."""
        self.func.release()
        return self.plan.completed(self, outputs, y0)

    def beginning(
        self, func: Derivative, interval: Interval, y: Tensor, carry: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, ...]:
        """What a step begins with where the slope at its start is evaluated.

        Args:
            carry: what was carried over to it; None: nothing.
        """
        if carry == ():
            return carry  # the step evaluates it in any case
        t, fresh = self.plan.beginning(self.stepper, interval), interval.fresh
        slope = func(t, y)
        if carry is None:
            return self.stepper.begin(y, slope)
        if isinstance(fresh, Tensor):
            slope = torch.where(spread(fresh, y), sound_slope(func, t, y, slope, slope.detach()), carry[0])
        return slope, *carry[1:]

    def again(self, accepted: Accepted, y: Tensor, carry: tuple[Tensor, ...] | None, final: bool) -> Step:
        """The step taken again from (y, carry)."""
        interval = self.plan.remade(self.clock, accepted.interval)
        func = SoundDerivative(self.func) if accepted.spoiled else self.func
        before_slope, before_step = accepted.random
        if carry is None or (interval.fresh is not False and self.stepper.renewable):
            with replayed_randomness(before_slope, y.device):
                carry = self.beginning(func, interval, y, carry)
        with replayed_randomness(before_step, y.device):
            step = self.stepper.step(func, interval, y, carry, estimate=False, final=final)
            if self.dense or accepted.thetas:  # as in the forward pass: what is carried depends on it
                self.stepper.extend(func, interval, y, carry, step)
        if step.unsolved is not None:  # of all that move, they were
            raise unsolved_equations("were solved, and cannot be solved again")
        return step if interval.moves is None else accepted.settle(step, y, carry)

    def repeat(self, accepted: Accepted, y: Tensor, carry: tuple[Tensor, ...] | None, final: bool):
        """Take an accepted step again from (y, carry): its result and its outputs."""
        step = self.again(accepted, y, carry, final)
        return step, accepted.states(self.stepper, y, step)
