"""The two loops over all samples at once: over fixed grids, and adaptive with every sample's own steps."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .._control import Pace, error_norm, first_step, host_values
from .._failures import failing_error_test, not_finite, too_many_steps, unresolved_step
from .._loops import Accepted, Adaptive, Callbacks, Plan, Randomness, Stats, grid_points
from .._numbers import Tensors
from .._stepper import Step, Stepper
from ..errors import EventNotReached, NonFiniteDerivative, SamplesFailed, SolveFailed
from .events import BatchEvents
from .state import BatchClock, BatchInterval

_RUNNING, _UNDERFLOW, _NOT_FINITE, _TOO_MANY = range(4)


class BatchStats(Stats):
    """What a solve did for every sample.

    Attributes:
        nfe_forward, nfe_backward: evaluations of the derivative, on the whole batch.
        nfe: those of the forward pass that a sample had a part in, shape (batch,).
        accepted, rejected: steps of every sample, shape (batch,).
    """

    def __init__(self, samples: int, device: torch.device):
        self.nfe_forward = self.nfe_backward = 0
        self.nfe, self.accepted, self.rejected = torch.zeros(3, samples, dtype=torch.int64, device=device)


def settle(step: Step, y: Tensor, carry, interval: BatchInterval) -> None:
    """Let the samples that do not move stay where they are, with the slope that they have."""
    if interval.moves is None:
        return
    moves = interval.moves.view(-1, *[1] * (y.ndim - 1))
    step.y1 = torch.where(moves, step.y1, y)
    step.carry = tuple(torch.where(moves, *pair) for pair in zip(step.carry, carry, strict=False))


def of_those_that_move(func, stepper: Stepper, clock: BatchClock, interval: BatchInterval, y, carry, extend) -> Step:
    """A step in which the samples that do not move take part as copies of one that does.

    A derivative that is not a number at one of them would spoil the gradients of parameters that all share: in a
    backward pass, zero times infinity is not a number.
    """
    source = torch.where(interval.moves, torch.arange(len(y), device=y.device), interval.moves.long().argmax())
    start, carried = y[source], tuple(x[source] for x in carry)
    copies = clock.interval(interval.t0[source], interval.t1[source])
    step = stepper.step(func, copies, start, carried)
    if extend:
        stepper.extend(func, copies, start, carried, step)
    return step


def of_those_that_begin(func, t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
    """The slope at the start, those that are not numbers being constants, evaluated as copies of one that is."""
    finite = torch.isfinite(slope).reshape(len(y), -1).all(1)
    if not slope.requires_grad or not finite.any() or finite.all():
        return slope
    source = torch.where(finite, torch.arange(len(y), device=y.device), finite.long().argmax())
    rows = finite.view(-1, *[1] * (y.ndim - 1))
    return torch.where(rows, func(t[source], y[source]), slope.detach())


class BatchGrid(Plan):
    """Fixed steps of every sample between its own points.

    Args:
        times: output times, shape (batch, times).
        step_size: of all steps but each sample's last; None: steps from one output time to the next.
        check_finite: look once, at the end, which samples' states are finite.
        callbacks: called before every step, with times and sizes of shape (batch,).
    """

    dense = False
    random = None
    #: a failed sample has no outputs: it is not known when it stopped being finite
    void = True

    def __init__(self, times: Tensor, step_size: float | None, check_finite: bool, callbacks: Callbacks):
        self.times, self.check_finite, self.callbacks = times, check_finite, callbacks
        rows = times.tolist()
        grids = {row: grid_points(list(row), step_size, None) for row in {tuple(row) for row in rows}}
        longest = max(len(grid) for grid in grids.values())
        padded = [grids[tuple(row)] + [row[-1]] * (longest - len(grids[tuple(row)])) for row in rows]
        self.points = torch.tensor(padded, dtype=torch.float64)

    def steps(self, func, stepper: Stepper, clock: BatchClock, norm, y, slope, stats: BatchStats) -> Iterator[Accepted]:
        """The steps of all samples, each at its own times."""
        carry, recorded = stepper.begin(y, slope), None
        random = Randomness(clock.device, self.random)
        stats.nfe += func.evaluations
        times, points = self.times.cpu(), self.points
        sign = torch.sign(points[:, -1:] - points[:, :1])
        for i in range(points.shape[1] - 1):
            start, end = points[:, i : i + 1], points[:, i + 1 : i + 2]
            moves = (end != start)[:, 0]
            reached = ((times - start) * sign > 0) & ((times - end) * sign <= 0)
            reached[:, -1] = False  # the last output is the last state
            landing = reached & (times == end)
            inside = reached & ~landing
            interval = clock.interval(*(side[:, 0].to(clock.exact).to(clock.device) for side in (start, end)))
            if not moves.all():
                interval.moves = moves.to(clock.device)
            if landing.any():
                interval.landing = tuple(landing.to(clock.device).nonzero().unbind(1))
            if inside.any():
                rows, columns = inside.nonzero().unbind(1)
                thetas = ((times - start) / (end - start))[rows, columns]
                interval.inside = tuple(x.to(clock.device) for x in (rows, columns, thetas))
            if self.callbacks.step is not None:
                self.callbacks.step(interval.t0, y, interval.t1 - interval.t0)
            random.before_step()
            before, final = func.evaluations, i == points.shape[1] - 2
            step = stepper.step(func, interval, y, carry, estimate=False, final=final)
            if interval.inside is not None:
                stepper.extend(func, interval, y, carry, step)
            settle(step, y, carry, interval)
            moved = moves.to(clock.device).long()
            stats.accepted += moved
            stats.nfe += moved * (func.evaluations - before)
            yield Accepted(interval, y, recorded, step, [None] * len(interval.outputs), final, random.recorded())
            y, carry = step.y1, step.carry
            recorded = carry
        self._last = y

    def arrived(self, samples: Tensor) -> Tensor:
        """Which samples have come to their last output time."""
        return torch.ones_like(samples, dtype=torch.bool)

    def stuck(self, interval: BatchInterval) -> Tensor:
        """Which samples, should they fail, have no part in a step."""
        return torch.ones_like(interval.t0, dtype=torch.bool)

    @property
    def failure(self) -> SamplesFailed | None:
        """Which samples' last states are not finite."""
        if not self.check_finite:
            return None
        finite = host_values(torch.isfinite(self._last).reshape(len(self._last), -1).all(1))
        self._last = None
        failures = {
            i: NonFiniteDerivative(
                "the state is infinite or not a number at the end",
                t=self.times[i, -1].item(),
                sample=i,
                remedy="Take smaller steps if the solve is unstable",
            )
            for i, fine in enumerate(finite)
            if not fine
        }
        return SamplesFailed.of(failures, len(finite)) if failures else None


class BatchAdaptive(Plan):
    """Steps of every sample chosen by its own error estimate.

    All samples are evaluated together. One that has arrived, or failed, stays where it is until all have; of its
    neighbours no sample notices anything.

    Args:
        plan: tolerances, controller and limits.
        times: output times, shape (batch, times), in float64 on the state's device.
        events: where samples end, or None.
    """

    random = None
    #: a failed sample has the outputs before its failure
    void = False

    def __init__(self, plan: Adaptive, times: Tensor, events: BatchEvents | None = None):
        self.plan, self.times, self.events = plan, times, events
        self.dense, self.callbacks = events is not None, plan.callbacks

    def steps(self, func, stepper: Stepper, clock: BatchClock, norm, y, slope, stats: BatchStats) -> Iterator[Accepted]:
        """The steps of all samples; one that takes none in a round does not move in it."""
        self.t, self.end = self.times[:, 0], self.times[:, -1]
        self.sign = torch.sign(self.end - self.t)
        self.active = torch.ones_like(self.t, dtype=torch.bool)
        self.code = torch.zeros_like(self.t, dtype=torch.int8)
        self.last_dt = torch.zeros_like(self.t)
        size, ones = self._first_sizes(func, stepper, clock, norm, y, slope), torch.ones_like(self.t)
        self.pace = Pace(size, ones, ones)
        stats.nfe += func.evaluations
        random, between = Randomness(clock.device, self.random), self.times.shape[1] > 2
        slope = of_those_that_begin(func, clock.instant(self.t), y, slope)
        carry, recorded, pending = stepper.begin(y, slope), None, None
        for _ in range(self.plan.max_num_steps):
            interval, cut = self._propose(clock)
            if self.callbacks.step is not None:
                self.callbacks.step(interval.t0, y, interval.t1 - interval.t0)
            random.before_step()
            before, active = func.evaluations, self.active
            step = stepper.step(func, interval, y, carry)
            if self.events is not None:
                stepper.extend(func, interval, y, carry, step)
            with torch.no_grad():
                scale = self.plan.tolerance.of_step(clock.instant(interval.t1), y, step.y1)
                ratio = Tensors.of(error_norm(step, scale, norm))
                accepted = self._judge(ratio, interval, cut)
                happening = self._happening(stepper, interval, y, step, accepted)
                stats.accepted += accepted
                stats.rejected += active & ~accepted
                asked = [self.active.any(), accepted.all(), accepted.any(), torch.isfinite(ratio).all()]
                if between or self.events:
                    inside = self._inside(interval, accepted, happening)
                    asked.append(inside.any())
                # The one place in a round where the host waits for the device.
                going_on, every, some, finite, *outputs = host_values(torch.stack(asked))
            if some:
                if not every:
                    t1 = torch.where(accepted, interval.t1, interval.t0)
                    interval = BatchInterval(interval.t0, t1, interval.times, interval.dt, moves=accepted)
                if any(outputs):
                    interval.inside = self._located(interval, inside, happening)
                extend = self.dense or any(outputs)
                if not finite and step.y1.requires_grad:
                    step = of_those_that_move(func, stepper, clock, interval, y, carry, extend)
                elif extend and not self.dense:
                    stepper.extend(func, interval, y, carry, step)
                settle(step, y, carry, interval)
                if pending is not None:
                    yield pending
                pending = Accepted(
                    interval, y, recorded, step, [None] * len(interval.outputs), False, random.recorded()
                )
                y, carry = step.y1, step.carry
                recorded = carry
            stats.nfe += active * (func.evaluations - before)
            if not going_on:
                break
        else:
            self.code = torch.where(self.active, _TOO_MANY, self.code)
        if pending is not None:
            pending.lands = True
            yield pending

    def _first_sizes(self, func, stepper, clock, norm, y, slope) -> Tensor:
        if self.plan.first_step is not None:
            return torch.full_like(self.t, self.plan.first_step)
        with torch.no_grad():
            scale, order = self.plan.tolerance.scale(clock.instant(self.t), y.abs()), stepper.error_exponent - 1
            return first_step(Tensors, func, clock, self.t, self.end, y, slope, order, scale, norm)

    def _propose(self, clock: BatchClock) -> tuple[BatchInterval, Tensor]:
        """Every sample's next interval, which never passes the end; and which are cut there."""
        plan, t = self.plan, self.t
        t1, cut, self.pace = plan.controller.propose(
            Tensors, self.pace, t, self.end, self.sign, plan.min_step, plan.max_step
        )
        return clock.interval(t, torch.where(self.active, t1, t)), cut

    def _judge(self, ratio: Tensor, interval: BatchInterval, cut: Tensor) -> Tensor:
        """Which samples' steps are accepted; moves them in time, and paces all next steps."""
        dt, plan = interval.t1 - interval.t0, self.plan
        # A sample that has arrived, or failed, takes a step of no length, which is never accepted.
        accepted, failed, self.pace, _ = plan.controller.judge(
            Tensors, ratio, self.t, dt.abs(), cut, self.pace, plan.min_step
        )
        failed = failed & self.active
        why = torch.where(torch.isfinite(ratio) | (dt == 0), _UNDERFLOW, _NOT_FINITE)
        self.code = torch.where(failed, why, self.code)
        self.last_dt = torch.where(self.active, dt, self.last_dt)
        self.t = torch.where(accepted, interval.t1, self.t)
        self.active = self.active & ~failed & (self.t != self.end)
        return accepted

    def _happening(self, stepper, interval: BatchInterval, y, step, accepted: Tensor) -> Tensor | None:
        """The fractions of their steps at which samples end by an event, infinite elsewhere."""
        if self.events is None:
            return None
        happening = self.events.within(stepper, interval, y, step, accepted)
        self.active = self.active & torch.isinf(happening)
        return happening

    def _inside(self, interval: BatchInterval, accepted: Tensor, happening: Tensor | None) -> Tensor:
        """Which output times (without the first and last) lie in which samples' accepted steps; then their events."""
        between = self.times[:, 1:-1]
        t0, t1, sign = (x.unsqueeze(1) for x in (interval.t0, interval.t1, self.sign))
        inside = accepted.unsqueeze(1) & ((between - t0) * sign > 0) & ((between - t1) * sign <= 0)
        if happening is None:
            return inside
        inside = inside & ((between - t0) / (t1 - t0) <= happening.unsqueeze(1))
        return torch.cat([inside, torch.isfinite(happening).unsqueeze(1)], dim=1)

    def _located(self, interval: BatchInterval, inside: Tensor, happening: Tensor | None) -> tuple[Tensor, ...]:
        """(samples, output times, fractions); an event counts as the output after the last."""
        rows, columns = inside.nonzero().unbind(1)
        columns = columns + 1
        t0, t1 = interval.t0[rows], interval.t1[rows]
        if happening is None:
            return rows, columns, (self.times[rows, columns] - t0) / (t1 - t0)
        last = self.times.shape[1] - 1
        thetas = torch.where(columns == last, happening[rows], (self.times[rows, columns] - t0) / (t1 - t0))
        return rows, torch.where(columns == last, last + 1, columns), thetas

    def arrived(self, samples: Tensor) -> Tensor:
        """Which samples have come to their last output time."""
        return self.t == self.end if self.events is None else (self.t == self.end) & (self.events.index < 0)

    def stuck(self, interval: BatchInterval) -> Tensor:
        """Which samples, should they fail, have no part in a step nor in later ones."""
        return (interval.t0 == interval.t1) & (interval.t0 == self.t)

    @property
    def failure(self) -> SamplesFailed | None:
        """What happened to the samples that did not arrive."""
        codes = host_values(self.code)
        if not any(codes):
            return None
        t, dt = host_values(self.t), host_values(self.last_dt)
        seeking = torch.isinf(self.end).tolist()
        failures = {
            i: _failure(code, t[i], dt[i], i, seeking[i], self.plan.max_num_steps)
            for i, code in enumerate(codes)
            if code
        }
        return SamplesFailed.of(failures, len(codes))


def _failure(code: int, t: float, dt: float, sample: int, seeking: bool, steps: int) -> SolveFailed:
    where = {"t": t, "dt": dt, "sample": sample}
    if code == _UNDERFLOW and dt == 0:
        return unresolved_step(**where)
    if code == _UNDERFLOW:
        return failing_error_test("or use a float64 state", **where)
    if code == _NOT_FINITE:
        return not_finite(**where)
    if seeking:
        return EventNotReached(
            "no event was found",
            remedy="Check that the event function changes sign; bound the search with the option t_max, or raise "
            "max_num_steps",
            **where,
        )
    return too_many_steps(steps, **where)
