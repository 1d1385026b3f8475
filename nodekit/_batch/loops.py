"""The two loops over all samples at once: over fixed grids, and adaptive with every sample's own steps."""

from __future__ import annotations

import math
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
from .state import BatchClock, BatchInterval, copied, finite_samples, spread

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
    moves = spread(interval.moves, y)
    step.y1 = torch.where(moves, step.y1, y)
    step.carry = tuple(torch.where(moves, *pair) for pair in zip(step.carry, carry, strict=False))


def of_those_that_move(func, stepper: Stepper, interval: BatchInterval, y, carry, extend) -> Step:
    """A step in which the samples that do not move take part as copies of one that does.

    A derivative that is not a number at one of them would spoil the gradients of parameters that all share: in a
    backward pass, zero times infinity is not a number.
    """
    source = copied(interval.moves)
    start, carried, copies = y[source], tuple(x[source] for x in carry), interval.of(source)
    step = stepper.step(func, copies, start, carried)
    if extend:
        stepper.extend(func, copies, start, carried, step)
    return step


def freshened(func, interval: BatchInterval, y: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What is carried on, with the slopes at the start evaluated anew where a jump lies behind it."""
    slope = of_those_that_begin(func, interval.times[0], y, func(interval.times[0], y))
    return torch.where(spread(interval.fresh, y), slope, carry[0]), *carry[1:]


def of_those_that_begin(func, t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
    """The slope at the start, those that are not numbers being constants, evaluated as copies of one that is."""
    finite = finite_samples(slope)
    if not slope.requires_grad or finite.all():
        return slope
    if not finite.any():
        return slope.detach()
    source = copied(finite)
    return torch.where(spread(finite, y), func(t[source], y[source]), slope.detach())


class BatchPlan(Plan):
    """How every sample's steps are chosen. Here: at which times the derivative is asked.

    Attributes:
        origin, end: where every sample starts and ends, shape (batch,).
    """

    origin: Tensor
    end: Tensor

    def moment(self, clock: BatchClock, t: Tensor, towards: Tensor) -> Tensor:
        """Of every sample the time (batch,), or its neighbour where the derivative must not be asked."""
        excluded = self.excludes(t)
        return clock.instant(t if excluded is None else torch.where(excluded, clock.inside(t, towards), t))

    def excludes(self, t: Tensor) -> Tensor | None:
        """Of which samples the derivative must not be asked at these times; None: of none at any time."""
        return None

    def interval(self, clock: BatchClock, t0: Tensor, t1: Tensor) -> BatchInterval:
        """The intervals of steps, whose ends are evaluated beside what is excluded.

        Also of samples that do not move: there on the side of what they have still before them, or, at the end, behind.
        """
        at_start, at_end = self.excludes(t0), self.excludes(t1)
        if at_start is None:
            return clock.interval(t0, t1)
        elsewhere = torch.where(t0 == self.end, self.origin, self.end)
        onward, back = torch.where(t0 == t1, elsewhere, t1), torch.where(t0 == t1, elsewhere, t0)
        start = torch.where(at_start, clock.inside(t0, onward), t0)
        return clock.interval(t0, t1, start, torch.where(at_end, clock.inside(t1, back), t1))


class BatchGrid(BatchPlan):
    """Fixed steps of every sample between its own points.

    Args:
        times: output times, shape (batch, times), padding the last time again.
        step_size: of all steps but each sample's last; None: steps from one output time to the next.
        perturb: evaluate a step's ends at the neighbouring numbers inside it.
        check_finite: look once, at the end, which samples' states are finite.
        callbacks: called before every step, with times and sizes of shape (batch,).
    """

    dense = False
    random = None
    #: a failed sample has no outputs: it is not known when it stopped being finite
    void = True

    def __init__(self, times: Tensor, step_size: float | None, perturb: bool, check_finite: bool, callbacks: Callbacks):
        self.times, self.perturb, self.check_finite, self.callbacks = times, perturb, check_finite, callbacks
        rows = [tuple(row) for row in times.tolist()]
        grids = {row: grid_points(list(dict.fromkeys(row)), step_size, None) for row in set(rows)}
        longest = max((len(grid) for grid in grids.values()), default=0)
        padded = [grids[row] + [row[-1]] * (longest - len(grids[row])) for row in rows]
        self.points = torch.tensor(padded, dtype=torch.float64)

    def steps(self, func, stepper: Stepper, clock: BatchClock, norm, y, slope, stats: BatchStats) -> Iterator[Accepted]:
        """The steps of all samples, each at its own times."""
        carry, recorded = stepper.begin(y, slope), None
        random = Randomness(clock.device, self.random)
        stats.nfe += func.evaluations
        times, points = self.times, self.points
        self.origin, self.end = (x.to(clock.exact).to(clock.device) for x in (points[:, 0], points[:, -1]))
        sign = torch.sign(points[:, -1:] - points[:, :1])
        for i in range(points.shape[1] - 1):
            start, end = points[:, i : i + 1], points[:, i + 1 : i + 2]
            moves = (end != start)[:, 0]
            reached = ((times - start) * sign > 0) & ((times - end) * sign <= 0)
            reached &= times != times[:, -1:]  # which is the last state
            landing = reached & (times == end)
            inside = reached & ~landing
            interval = self.interval(clock, *(x[:, 0].to(clock.exact).to(clock.device) for x in (start, end)))
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

    def excludes(self, t: Tensor) -> Tensor | None:
        """All, with perturb: the ends of steps, and what else is an output time."""
        return torch.ones_like(t, dtype=torch.bool) if self.perturb else None

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
        finite = host_values(finite_samples(self._last))
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


class BatchAdaptive(BatchPlan):
    """Steps of every sample chosen by its own error estimate.

    All samples are evaluated together. One that has arrived, or failed, stays where it is until all have; of its
    neighbours no sample notices anything.

    Args:
        plan: tolerances, controller and limits.
        times: output times, shape (batch, times), padding the last time again.
        step_t, jump_t: times to step to exactly, and of these jumps of the slope, shape (batch, k), NaN for none.
        events: where samples end, or None.

    All times are in float64 on the state's device.
    """

    random = None
    #: a failed sample has the outputs before its failure
    void = False

    def __init__(
        self, plan: Adaptive, times: Tensor, step_t: Tensor, jump_t: Tensor, events: BatchEvents | None = None
    ):
        self.plan, self.times, self.events, self.jumps = plan, times, events, jump_t
        self.dense, self.callbacks = events is not None, plan.callbacks
        self.origin, self.end = times[:, 0], times[:, -1]
        self.sign = torch.where(self.end < self.origin, -1.0, 1.0).to(times)
        between = times[:, 1:-1]
        #: the output times of every sample that are not its last, NaN for padding
        self.between = torch.where(between == self.end.unsqueeze(1), math.nan, between)
        # The stops of every sample, in the order in which it comes to them; the last is its end.
        stops, (first, last) = torch.cat([step_t, jump_t], dim=1), (x.unsqueeze(1) for x in (self.origin, self.end))
        between = (stops > torch.minimum(first, last)) & (stops < torch.maximum(first, last))
        stops = torch.cat([torch.where(between, stops, last), last], dim=1)
        self.stops = (stops * self.sign.unsqueeze(1)).sort(dim=1).values

    def steps(self, func, stepper: Stepper, clock: BatchClock, norm, y, slope, stats: BatchStats) -> Iterator[Accepted]:
        """The steps of all samples; one that takes none in a round does not move in it."""
        self.t = self.origin
        self.active = self.t != self.end
        self.code = torch.zeros_like(self.t, dtype=torch.int8)
        self.last_dt = torch.zeros_like(self.t)
        size, ones = self._first_sizes(func, stepper, clock, norm, y, slope), torch.ones_like(self.t)
        self.pace = Pace(size, ones, ones)
        stats.nfe += func.evaluations
        random, between, jumps = Randomness(clock.device, self.random), self.times.shape[1] > 2, self.jumps.shape[1] > 0
        slope = of_those_that_begin(func, self.moment(clock, self.t, self.end), y, slope)
        carry, recorded, pending, fresh, landed = stepper.begin(y, slope), None, None, None, None
        for _ in range(self.plan.max_num_steps):
            interval, cut = self._propose(clock)
            if landed is not None and carry:
                # Until a step is accepted, and records it.
                fresh = interval.fresh = landed
                random.before_slope()
                carry = freshened(func, interval, y, carry)
                stats.nfe += fresh
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
                if jumps:
                    behind_jump = accepted & self.active & self.excludes(self.t)
                    asked.append(behind_jump.any())
                # The one place in a round where the host waits for the device.
                going_on, every, some, finite, *outputs = host_values(torch.stack(asked))
                landed = behind_jump if jumps and outputs.pop() else None
            if some:
                t1, moves = interval.t1, None
                if not every:
                    t1, moves = torch.where(accepted, interval.t1, interval.t0), accepted
                interval = BatchInterval(interval.t0, t1, interval.times, interval.dt, moves, fresh)
                fresh = None
                if any(outputs):
                    interval.inside = self._located(interval, inside, happening)
                extend = self.dense or any(outputs)
                if not finite and step.y1.requires_grad:
                    step = of_those_that_move(func, stepper, interval, y, carry, extend)
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
        """Every sample's next interval, which never passes its next stop; and which are cut there."""
        plan, t = self.plan, self.t
        t1, cut, self.pace = plan.controller.propose(
            Tensors, self.pace, t, self._next_stop(), self.sign, plan.min_step, plan.max_step
        )
        return self.interval(clock, t, torch.where(self.active, t1, t)), cut

    def _next_stop(self) -> Tensor:
        """The stop that every sample comes to next."""
        if self.stops.shape[1] == 1:
            return self.end
        ahead = torch.searchsorted(self.stops, (self.t * self.sign).unsqueeze(1), right=True)
        return self.stops.gather(1, ahead.clamp(max=self.stops.shape[1] - 1))[:, 0] * self.sign

    def excludes(self, t: Tensor) -> Tensor | None:
        """Jumps."""
        return (self.jumps == t.unsqueeze(1)).any(1) if self.jumps.shape[1] else None

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
        between = self.between
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
