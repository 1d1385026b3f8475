"""Steps chosen by their errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._choices.tolerance import Tolerance
from .._derivative.parameters import is_recording
from ..errors import MaxStepsReached, NonFiniteDerivative, StepSizeUnderflow
from .clock import Clock, Interval, Outputs
from .control import Controller, Pace, constant, error_norm, first_step
from .failures import (
    STABLE,
    failing_error_test,
    is_noisy,
    not_finite,
    offending_sample,
    spectral_radius,
    too_many_steps,
    unresolved_step,
)
from .loops import Accepted, Callbacks, Plan, Walk
from .numbers import Floats, Number, is_finite
from .stepper import Step, Stepper


@dataclass(frozen=True)
class Chosen(Plan):
    """Steps chosen by the error estimate.

    Attributes:
        tolerance, controller, norm: how errors are judged and turned into step sizes.
        first_step, min_step, max_step, max_num_steps: limits; a step of min_step is accepted whatever its error.
        step_t: times to step to exactly; jump_t: also evaluate the slope anew behind them.
        patience: attempts by which a hundredth of the way must be done; None: as many as there are.
    """

    tolerance: Tolerance
    controller: Controller
    norm: Callable[[Tensor], Tensor]
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    max_num_steps: int = 100_000
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    patience: int | None = None
    callbacks: Callbacks = field(default_factory=Callbacks)

    def walk(self, problem, y, slope):
        """By the errors of the steps tried so far."""
        return _Walk(self, problem, y, slope)

    def allowed(self, clock, t, y):
        """As of a step."""
        return self.tolerance.scale(clock.shown(t), y.abs())

    def excludes(self, t):
        """Jumps."""
        return t in self.jump_t

    def stops(self, start: float, end: float) -> list[float]:
        """Times to land on, the next one last."""
        low, high = sorted((start, end))
        stops = {stop for stop in (*self.step_t, *self.jump_t) if low < stop < high} | {end}
        return sorted(stops, reverse=end > start)

    def next(self, clock, t, pace, sign, stops, jumps=frozenset(), after_jump=False) -> tuple[Interval, bool, Pace]:
        """The next interval, which never steps over a stop, whether it is cut there, and the pace meant."""
        while stops[-1] == t:
            stops.pop()
        t1, cut, pace = self.controller.propose(Floats, pace, t, stops[-1], sign, self.min_step, self.max_step)
        if t1 == t:
            raise unresolved_step(t=t, dt=pace.size)
        return clock.interval(t, t1, open_start=after_jump, open_end=t1 in jumps), cut, pace

    def first_size(self, func, stepper: Stepper, clock: Clock, t: Number, end: Number, y: Tensor, slope: Tensor):
        """A size for the first step, from the slope at the start; one evaluation."""
        scale, order = self.tolerance.scale(clock.shown(t), y.abs()), stepper.error_exponent - 1
        part = stepper.first_part
        recorded = is_recording()

        def evaluated(t: Tensor, y: Tensor) -> Tensor:
            # With a graph where the steps have one: what the function computes here it may keep, and read there.
            with torch.set_grad_enabled(recorded):
                return func(t, y).detach()

        with torch.no_grad():
            return first_step(clock.n, evaluated, clock, t, end, y, slope, order, part, scale, self.norm)

    def error_ratio(self, clock: Clock, step: Step, t1: Number, y: Tensor) -> Number:
        """A step's error in units of what is allowed: of one solve, on the host."""
        with constant():
            return clock.n.of(error_norm(step, self.tolerance.of_step(clock.shown(t1), y, step.y1), self.norm))

    def too_many(self, func, stepper: Stepper, interval: Interval, y: Tensor) -> MaxStepsReached:
        """That the steps allowed were not enough, the next of which would have been over this interval."""
        t, noisy = interval.times[0], is_noisy(func, interval.times[0], y)
        stiff = not (noisy or stepper.implicit) and abs(interval.dt) * spectral_radius(func, t, y) > STABLE
        return too_many_steps(self.max_num_steps, stiff, noisy, t=interval.t0, dt=interval.dt)

    def failure(self, interval: Interval, ratio: float, step: Step) -> StepSizeUnderflow | NonFiniteDerivative:
        """Why no step is small enough."""
        where = {"t": interval.t0, "dt": interval.dt}
        if math.isfinite(ratio):
            return failing_error_test(", or name jumps of the slope in jump_t", step.y1.dtype, **where)
        return not_finite(sample=offending_sample(step.error), **where)


class _Walk(Walk):
    estimates = True

    def __init__(self, plan: Chosen, problem, y: Tensor, slope: Tensor):
        self.plan, self.problem, self.record = plan, problem, problem.record
        times = problem.times
        self.start, self.t, self.end = times[0], times[0], times[-1]
        self.sign, self.stops = math.copysign(1.0, self.end - self.t), plan.stops(self.t, self.end)
        self.outputs, self.jumps, self.attempts = Outputs(times), set(plan.jump_t), 0
        self.behind_jump = self.t in self.jumps
        problem.stepper.prepare(plan.tolerance, plan.norm)
        self.pace = self.record.pace or (plan.first_step and Pace(plan.first_step))
        if self.pace is None:
            size = plan.first_size(problem.func, problem.stepper, problem.clock, self.t, self.end, y, slope)
            self.pace = Pace(size)

    def next(self, y):
        if self.t == self.end:
            return None
        plan, problem, t = self.plan, self.problem, self.t
        interval, self.cut, self.pace = plan.next(
            problem.clock, t, self.pace, self.sign, self.stops, self.jumps, self.behind_jump
        )
        if self.attempts >= plan.max_num_steps:
            raise plan.too_many(problem.func, problem.stepper, interval, y)
        if self.attempts == plan.patience and abs(t - self.start) < 0.01 * abs(self.end - self.start):
            raise MaxStepsReached(
                f"{self.attempts} steps were not a hundredth of the way to {self.end:g}", t=t, dt=interval.dt
            )
        self.attempts += 1
        return interval

    def judge(self, interval, y, carry, step):
        plan, stats = self.plan, self.record.stats
        ratio = plan.error_ratio(self.problem.clock, step, interval.t1, y)
        accepted, failed, self.pace, free = plan.controller.judge(
            Floats, ratio, self.t, abs(interval.dt), self.cut, self.pace, plan.min_step
        )
        if not accepted:
            self._reject(interval, y)
            # From a slope that is not finite no step leads on, however small.
            if failed or not (math.isfinite(ratio) or all(map(is_finite, carry))):
                raise plan.failure(interval, ratio, step)
            return None
        plan.callbacks.call(plan.callbacks.accept, interval, y)
        stats.accepted += 1
        if stats.first_step is None:
            stats.first_step = free
        self.t, self.record.pace = interval.t1, self.pace
        self.behind_jump = self.renews = self.forgets = self.t in self.jumps
        return Accepted(interval, *self.outputs.within(interval))

    def retry(self, interval, y):
        plan = self.plan
        self.pace, failed = plan.controller.retry(Floats, self.t, abs(interval.dt), self.pace, plan.min_step)
        self._reject(interval, y)
        return not failed

    def _reject(self, interval: Interval, y: Tensor) -> None:
        self.record.stats.rejected += 1
        self.plan.callbacks.call(self.plan.callbacks.reject, interval, y)
