"""Events: zeros of functions of the solution, the restarts they cause, and the gradients of when they happen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .._derivative.flow import carried_on, shift_of_zero, slope_behind, slope_on_one_side
from .._derivative.parameters import is_transformed
from .._derivative.vjp import refuse
from .._gradients.differentiate import differentiably
from .._steps.clock import has_time_gradients
from .._steps.given import Given
from .._steps.loops import Plan, SegmentedStats
from .._steps.problem import Problem, Record
from ..errors import GradientUnavailable, InvalidEvent
from .search import EventFunctions, Watch

#: How often an event may happen again without time having gone on.
_REPEATS = 100

#: How often in a row an event may happen right behind a restart, sooner each time. It would pass unseen then: a ball
#: that bounces without end falls through the floor.
_HURRIES = 2


@dataclass
class Event:
    """Something that happens where a function of the solution is zero.

    Signs are compared at the ends of every step and at three times within it; a zero is refined on the step's dense
    output until float64 time resolves no more.

    Args:
        fn: g(t, y) → a number or a tensor of them, each of which is an event of its own. Differentiable functions
            pass gradients, to the tensors they use as well. One that stays zero (a mask, relu) has its event where it
            first is zero; the gradient of that time is refused when it is asked for.
        terminal: whether the solve ends there; a change, or a max_count, makes it go on all the same.
        direction: 1: only where g grows with the progress of the solve; −1: only where it falls; 0: both.
        change: (t, y) → the state to restart with.
        max_count: how many may happen: the last of them ends the solve (no change is made). Give one to a bouncing
            ball: infinitely many bounces in finite time are never got over, and end the solve with `InvalidEvent`.

    Raises:
        InvalidEvent: a direction that is not −1, 0 or 1, or a count below one.
    """

    fn: Callable
    terminal: bool = True
    direction: int = 0
    change: Callable | None = None
    max_count: int | None = None

    def __post_init__(self):
        if not callable(self.fn):
            raise InvalidEvent(f"an event's function must be callable, not {type(self.fn).__name__}")
        if self.direction not in (-1, 0, 1):
            raise InvalidEvent(f"an event's direction must be −1, 0 or 1, not {self.direction!r}")
        if self.max_count is not None and self.max_count < 1:
            raise InvalidEvent(f"an event's max_count must be at least 1, not {self.max_count!r}")

    def is_last(self, count: int) -> bool:
        """Whether its occurrence of this number ends the solve."""
        if self.max_count is not None:
            return count == self.max_count
        return self.terminal and self.change is None

    def ends(self, count: int) -> bool:
        """Whether its occurrence of this number ends a segment of the solve."""
        return self.change is not None or self.is_last(count)


@dataclass
class Occurrences:
    """The events that happened, in the order of the solve; of independent samples, each one's own.

    Attributes:
        t: when, shape (n,), or (batch,) with NaN where none happened; differentiable.
        index: which of the events, n integers; or a tensor (batch,) with −1 where none happened.
        y: the states there, before any change: like y0 with n as a new first dimension, or like y0; differentiable.
        terminated: whether the solve ended with the last one; or a tensor (batch,).
    """

    t: Any
    index: list[int] | Tensor
    y: Any
    terminated: bool | Tensor = False


def solve_with_events(
    problem: Problem, differentiate, y0: Tensor, t: Any, named, events: Sequence[Event]
) -> tuple[list[Tensor], Occurrences]:
    """Solve from restart to restart.

    Args:
        problem, differentiate, y0, t, named: as in `differentiably`.
        events: to look for.

    Returns:
        The outputs after the first, at the output times reached, and the events.
    """
    func, clock, packing = problem.func, problem.clock, problem.func.packing
    functions, counts = EventFunctions(events, packing), [0] * len(events)
    stats, failure, pace = SegmentedStats(), None, None
    shifts = clock.shifts(t) if has_time_gradients(t) else None
    times, y = problem.times, y0
    if shifts is not None:
        y = carried_on(func, problem.plan.moment(clock, times[0], times[-1]) + shifts[0], y, -shifts[0])
    outputs: list[Tensor] = []
    when: list[Tensor] = []
    states: list[Tensor] = []
    record = Occurrences(None, [], None)
    near, repeats, gap, hurries = None, 0, math.inf, 0
    while True:
        watch = Watch(functions, counts, near)
        plan, segment = _plan_from(problem.plan, times), Record(stats.add_segment(), pace=pace)
        part = replace(problem, times=times, plan=plan, watch=watch, dense=True, record=segment)
        results = differentiably(part, differentiate, y, None, named)
        failure, pace = segment.failure, segment.pace
        for i, (time, state) in enumerate(zip(watch.times[1:], results, strict=True)):
            component = watch.found.get(i)
            if component is None:
                outputs.append(state)
                if shifts is not None:
                    moment = problem.plan.moment(clock, time, problem.times[0])
                    outputs[-1] = carried_on(func, moment, state, shifts[len(outputs)])
                continue
            before = watch.before.get(i)
            shift, state = _at_event(functions, component, problem, time, state, before)
            when.append(_instant(time, shift, t, y0))
            states.append(state)
            if component in watch.stop:
                # Others at the same time, outputs and events that change nothing, may come behind it.
                instant, moved, here, earlier = when[-1], shift, state, before
            record.index.append(functions.owners[component])
        if failure is not None or not watch.stop:
            break
        stopping = [functions.owners[component] for component in watch.stop]
        record.terminated = any(events[i].is_last(counts[i]) for i in stopping)
        # The last found is where the segment ended.
        if record.terminated or time == problem.times[-1]:
            break
        for i in stopping:
            if events[i].change is not None:
                now = instant.detach().numpy() if packing.numpy else instant
                # A clone: one that is changed in place is not what the event recorded.
                changed = events[i].change(now, packing.unpack(here.clone()))
                here = packing.pack(changed, "the state after an event")
                if func.mass is not None:
                    start = clock.instant(time)
                    here = func.projected(start if moved is None else start + moved, here)
        y = here if moved is None else _restarted(problem, time, moved, here, earlier)
        repeats = repeats + 1 if time == times[0] else 0
        if repeats > _REPEATS:
            raise InvalidEvent(
                f"event {stopping[0]} happens again and again without time going on",
                t=time,
                remedy="Let its change move the state off the event's surface, or give a direction or a max_count",
            )
        gap, before = abs(time - times[0]), gap
        hurries = hurries + 1 if watch.soon and 0 < gap < before else 0
        if hurries == _HURRIES:
            raise InvalidEvent(
                f"event {stopping[0]} happens faster and faster: infinitely often, as far as can be seen, from here on",
                t=time,
                remedy="Give it a max_count, or let its change end it where it is small",
            )
        near = {c: (2 * size, is_rounding) for c in watch.stop for size, is_rounding in [watch.residuals[c]]}
        times = [time, *problem.times[1 + len(outputs) :]]
    problem.record.stats, problem.record.failure = stats, failure
    record.t = torch.stack(when) if when else y0.new_zeros(0, dtype=torch.float64)
    record.y = packing.unpack(torch.stack(states) if states else y0.new_zeros(0, *y0.shape))
    if packing.numpy:
        record.t = record.t.numpy()
    return outputs, record


def _plan_from(plan: Plan, times: list[float]) -> Plan:
    """The plan of the segment that starts at times[0]."""
    if not isinstance(plan, Given):
        return plan
    start, end = times[0], times[-1]
    sign = 1 if end > start else -1
    ahead = [end] if math.isinf(end) else [point for point in plan.points if (point - start) * sign > 0]
    return replace(plan, points=[start, *(ahead or [end])])


def _instant(time: float, shift: Tensor | None, t: Any, y: Tensor) -> Tensor:
    """A time as a tensor of t's dtype that carries the shift's gradient."""
    dtype = t.dtype if isinstance(t, Tensor) and t.is_floating_point() else torch.float64
    instant = torch.full((), time, dtype=dtype, device=y.device)
    return instant if shift is None else instant + shift.to(dtype)


def _at_event(
    functions: EventFunctions, component: int, problem: Problem, time: float, y: Tensor, before
) -> tuple[Tensor | None, Tensor]:
    """How an event's time moves, and the state there.

    Args:
        y: the state at the event's time, which is held fixed in its gradient.
        before: as of `Watch`.

    Returns:
        The shift τ (None where nothing is differentiable) and the state y(t + τ).
    """
    if not functions.differentiated:
        return None, y
    func, t, event = problem.func, problem.clock.instant(time), functions.owners[component]
    with problem.surroundings.again():
        func = slope_on_one_side(func, t, y, before)

    def value_at(t: Tensor, y: Tensor) -> Tensor:
        return functions(t, y)[component].to(y.dtype)

    def none(still: Tensor, shift: Tensor, value: Tensor) -> Tensor:
        return unavailable(event, time, shift, y, value)

    return shift_of_zero(value_at, func, t, y, none)


def _restarted(problem: Problem, time: float, shift: Tensor, y: Tensor, before) -> Tensor:
    """The state at the time of a restart, of the state y at the event, which moves by the shift."""
    t = problem.clock.instant(time)
    with problem.surroundings.again():
        func = slope_behind(problem.func, t, y, t - before[0][0])
    return carried_on(func, t + shift, y, -shift)


def unavailable(event: int | None, time: float | None, like: Tensor, *depend: Tensor) -> Tensor:
    """The shift of an event's time that has no derivative: zero, and an error as soon as its gradient is asked for.

    Args:
        event, time: which and when, for the message.
        like: what the shift is shaped like.
        depend: the tensors that it would depend on.

    Raises:
        GradientUnavailable: at once under torch.func's transforms, which ask for gradients at once.
    """
    error = GradientUnavailable(
        f"{'an event' if event is None else f'event {event}'}: its function is zero without passing through it at any "
        "speed (as masks, relu and detached ones are), so its time has no derivative",
        t=time,
        remedy="Give a function of t and y that passes through zero, or detach the event's time and state",
    )
    if is_transformed():
        raise error
    anchors = [x for x in depend if x.requires_grad]
    return refuse(error, torch.zeros_like(like), anchors[0]) if anchors else torch.zeros_like(like)
