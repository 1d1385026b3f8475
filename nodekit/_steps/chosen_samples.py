"""Steps of independent samples, each chosen by its own errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._derivative.samples import finite_samples, sound_slope
from ..errors import SamplesFailed, SolveFailed
from .chosen import Chosen
from .clock import Interval
from .control import Pace, host_values
from .failures import (
    failing_error_test,
    no_event,
    not_finite,
    too_many_steps,
    too_slow,
    unresolved_step,
    unsolved_equations,
)
from .loops import Accepted, Walk
from .numbers import Tensors
from .sample_steps import SamplePlan, SampleSteps, within

if TYPE_CHECKING:
    from .problem import Problem

_RUNNING, _UNDERFLOW, _NOT_FINITE, _TOO_MANY, _UNSOLVED, _SLOW = range(6)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChosenSamples(SamplePlan, Chosen):
    """Steps of every sample chosen by its own error estimate.

    Attributes:
        step_t, jump_t: shape (batch, k), NaN for none.
    """

    step_t: Tensor
    jump_t: Tensor

    def steps(self, problem: Problem, y: Tensor, slope: Tensor) -> Iterator[Accepted]:
        """The accepted steps."""
        return super().steps(problem, y, sound_slope(problem.func, problem.start(), y, slope, slope.detach()))

    def walk(self, problem, y, slope):
        """By the errors of the steps tried so far."""
        return _ChosenWalk(self, problem, y, slope)

    def excludes(self, t):
        """Jumps."""
        return (self.jump_t == t.unsqueeze(1)).any(1) if self.jump_t.shape[1] else False

    def stops(self, sign: Tensor) -> Tensor:
        """Times to step to exactly, in the order in which each sample comes to them; the last is its end.

        Args:
            sign: of the direction of time; the stops are times it.
        """
        first, last = self.times[:, :1], self.times[:, -1:]
        stops = torch.cat([self.step_t, self.jump_t], dim=1)
        between = (stops > torch.minimum(first, last)) & (stops < torch.maximum(first, last))
        stops = torch.cat([torch.where(between, stops, last), last], dim=1)
        return (stops * sign.unsqueeze(1)).sort(dim=1).values


class _ChosenWalk(Walk):
    estimates = True

    def __init__(self, plan: ChosenSamples, problem, y: Tensor, slope: Tensor):
        self.plan, self.problem, self.stats = plan, problem, problem.record.stats
        self.t, self.end = plan.times[:, 0], plan.times[:, -1]
        self.sign = torch.where(self.end < self.t, -1.0, 1.0).to(self.t)
        self.stops, self.active, self.going, self.attempts = plan.stops(self.sign), self.t != self.end, True, 0
        self.between = plan.times[:, 1:-1] if plan.times.shape[1] > 2 else None
        self.code = torch.zeros_like(self.t, dtype=torch.int8)
        self.last_dt, self.fresh, self.accepted = torch.zeros_like(self.t), False, None
        ones = torch.ones_like(self.t)
        if plan.first_step is None:
            size = plan.first_size(problem.func, problem.stepper, problem.clock, self.t, self.end, y, slope)
        else:
            size = ones * plan.first_step
        self.pace = Pace(size, ones, ones)
        self.part: Tensor | int = 1
        problem.stepper.prepare(plan.tolerance, plan.norm)

    def next(self, y):
        func, plan = self.problem.func, self.plan
        self.stats.count(func.evaluations, self.part)
        self.part = self.active
        if self.accepted is not None and self.accepted.ended is not None:
            self.active = self.part = self.active & ~self.accepted.ended
            self.fresh = self.fresh if self.fresh is False else self.fresh & self.active
            self.going = host_values(self.active.any())
        if self.attempts == plan.patience:
            start = plan.times[:, 0]
            slow = self.active & ((self.t - start).abs() < 0.01 * (self.end - start).abs())
            self.code, self.active = torch.where(slow, _SLOW, self.code), self.active & ~slow
            self.going = host_values(self.active.any())
        if not self.going or self.attempts == plan.max_num_steps:
            self.code = torch.where(self.active, _TOO_MANY, self.code)
            self._raise_failures(y.dtype)
            return None
        self.attempts += 1
        t1, self.cut, self.pace = plan.controller.propose(
            Tensors, self.pace, self.t, self._next_stop(), self.sign, plan.min_step, plan.max_step
        )
        interval = plan.interval(self.problem.clock, self.t, torch.where(self.active, t1, self.t))
        interval.fresh = self.fresh
        if self.renews and self.accepted.step.carry:  # the slope behind a jump: a part of these samples' solves only
            self.stats.count(func.evaluations + 1, self.fresh)
        return interval

    def judge(self, interval, y, carry, step):
        plan, jumps = self.plan, self.plan.jump_t.shape[1] > 0
        self.renews = False
        if step.idle is not None:
            self.stats.nfe -= step.idle * self.part
        with torch.no_grad():
            ratio = plan.error_ratio(self.problem.clock, step, interval.t1, y)
            before, accepted = self.active, self._judged(ratio, interval, step.unsolved)
            self.stats.accepted += accepted
            self.stats.rejected += before & ~accepted
            stopped = before != self.active
            asked = [self.active.any(), accepted.all(), accepted.any(), torch.isfinite(ratio).all(), stopped.any()]
            if self.between is not None:
                asked.append((accepted & self._has_outputs(interval)).any())
            if jumps:
                behind_jump = accepted & self.active & plan.excludes(self.t)
                asked.append(behind_jump.any())
            # The one place in a round where the host waits for the device.
            self.going, every, some, finite, arrive, *more = host_values(torch.stack(asked))
            inside = self.between is not None and more.pop(0)
            self.accepted = None
            if not finite:
                self._end_where_no_step_leads_on(accepted, carry)
            if not some:
                return None
            kept = Interval(interval.t0, interval.t1, interval.times, interval.dt, self.fresh)
            kept.method, self.fresh = interval.method, False
            if any(more):
                self.fresh, self.renews = behind_jump, True  # until a step is accepted, and records it
            if not every:
                kept.t1, kept.moves = torch.where(accepted, interval.t1, interval.t0), accepted
                interval.moves = accepted
            found = within(plan.times, kept.t0, kept.t1, inside) if inside or arrive else ((), ())
            self.accepted = SampleSteps(kept, *found, spoiled=not finite)
        return self.accepted

    def _has_outputs(self, interval: Interval) -> Tensor:
        """Which samples' steps contain output times besides the last, should they be accepted."""
        t0, t1, sign = (x.unsqueeze(1) for x in (interval.t0, interval.t1, self.sign))
        return (((self.between - t0) * sign > 0) & ((self.between - t1) * sign <= 0)).any(1)

    def _end_where_no_step_leads_on(self, accepted: Tensor, carry: tuple[Tensor, ...]) -> None:
        """From a slope that is not finite none does, however small."""
        if carry and not host_values((sound := accepted | finite_samples(carry[0])).all()):
            self.code = torch.where(self.active & ~sound, _NOT_FINITE, self.code)
            self.active = self.active & sound
            self.going = host_values(self.active.any())

    def _judged(self, ratio: Tensor, interval: Interval, unsolved: Tensor | None) -> Tensor:
        """Which samples' steps are accepted; moves them in time, and paces all next steps."""
        dt, plan, pace = interval.t1 - interval.t0, self.plan, self.pace
        # A sample that has arrived, or failed, takes a step of no length, which is never accepted.
        accepted, failed, self.pace, _ = plan.controller.judge(
            Tensors, ratio, self.t, dt.abs(), self.cut, pace, plan.min_step
        )
        why = torch.where(torch.isfinite(ratio) | (dt == 0), _UNDERFLOW, _NOT_FINITE)
        if unsolved is not None:
            without, hopeless = plan.controller.retry(Tensors, self.t, dt.abs(), pace, plan.min_step)
            self.pace = Pace(*(torch.where(unsolved, *both) for both in zip(without, self.pace, strict=True)))
            failed, why = torch.where(unsolved, hopeless, failed), torch.where(unsolved, _UNSOLVED, why)
        failed = failed & self.active
        self.code = torch.where(failed, why, self.code)
        self.last_dt = torch.where(self.active, dt, self.last_dt)
        self.t = torch.where(accepted, interval.t1, self.t)
        self.active = self.active & ~failed & (self.t != self.end)
        return accepted

    def _next_stop(self) -> Tensor:
        """The stop that every sample comes to next."""
        stops, sign = self.stops, self.sign
        if stops.shape[1] == 1:
            return self.end
        ahead = torch.searchsorted(stops, (self.t * sign).unsqueeze(1), right=True)
        return stops.gather(1, ahead.clamp(max=stops.shape[1] - 1))[:, 0] * sign

    def _raise_failures(self, dtype: torch.dtype) -> None:
        """What happened to the samples that did not arrive, whose states have this type."""
        codes = host_values(self.code)
        if not any(codes):
            return
        t, dt, seeking = (host_values(x) for x in (self.t, self.last_dt, torch.isinf(self.end)))
        failed = (i for i, code in enumerate(codes) if code)
        found = {i: _failure(codes[i], t[i], dt[i], i, seeking[i], self.plan, dtype) for i in failed}
        raise SamplesFailed.of(found, len(codes))


def _failure(code: int, t: float, dt: float, sample: int, seeking: bool, plan: ChosenSamples, dtype) -> SolveFailed:
    where = {"t": t, "dt": dt, "sample": sample}
    if code == _UNDERFLOW and dt == 0:
        return unresolved_step(**where)
    if code == _UNDERFLOW:
        return failing_error_test("", dtype, **where)
    if code == _NOT_FINITE:
        return not_finite(**where)
    if code == _UNSOLVED:
        return unsolved_equations(**where)
    if seeking:
        return no_event("no event was found", **where)
    if code == _SLOW:
        return too_slow(plan.patience, **where)
    return too_many_steps(plan.max_num_steps, **where)
