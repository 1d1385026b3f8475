"""batch="independent": every sample of the first dimension is a solve of its own, all of them taken together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .._callbacks import callbacks_of
from .._clock import has_time_gradients
from .._context import Surroundings
from .._control import host_values, norm_of, refuse_vmap
from .._differentiate import differentiably, time_shifts
from .._events import Occurrences
from .._gradients._graphs import Graphs
from .._methods import Method
from .._options import Options, is_fixed
from .._plan import make_plan
from .._state import Derivative
from .._stepper import with_fresh_slopes
from .._tolerance import tolerance_of
from .._warning import warn
from .events import BatchEvents
from .loops import BatchAdaptive, BatchGrid, BatchStats
from .problem import BatchProblem
from .state import BatchClock, BatchPacking, copied, finite_samples, sample_norm, spread
from .times import sample_stops, sample_times


def solve_independent(
    func,
    y0: Any,
    t: Any,
    method: Method,
    options: Options,
    stepper,
    tolerances,
    differentiate,
    args,
    named,
    events,
    throw,
    strict,
) -> tuple[Any, BatchStats, Any, Occurrences | None]:
    """Solve every sample on its own.

    Args:
        func, y0, t, args, events, throw, strict: as in `nodekit.solve`.
        method, options, stepper: as parsed.
        tolerances: rtol and atol.
        differentiate: the gradient method.
        named: what to differentiate by beyond the state.

    Returns:
        The states at all times, the statistics, the failure, if any sample failed, and what happened.
    """
    packing = BatchPacking(y0, strict)
    refuse_vmap(packing.y0)
    derivative = Derivative(func, packing, args)
    norm_of(options, packing)  # refuses what is no function
    times, absent = sample_times(t, packing.samples, bool(events))
    norm = sample_norm(options.norm, packing)
    clock, callbacks = BatchClock(stepper.nodes, packing), callbacks_of(func, derivative, method, options)
    if not is_fixed(method, options) and (callbacks.accept or callbacks.reject):
        warn("callbacks for accepted and rejected steps are not called for independent samples")
    on_device, absent = times.to(clock.exact).to(packing.device), absent.to(packing.device)
    happening = BatchEvents(events, packing, clock) if events else None
    if is_fixed(method, options):
        step_size = None if options.step_size is None else float(options.step_size)
        plan = BatchGrid(times, step_size, options.perturb, options.check_finite, callbacks)
        stepper = with_fresh_slopes(stepper) if options.perturb else stepper
    else:
        tolerance = tolerance_of(*tolerances, packing)
        stops = [
            sample_stops(name, getattr(options, name), packing.samples).to(on_device) for name in ("step_t", "jump_t")
        ]
        options = replace(options, step_t=None, jump_t=None)
        shared = make_plan(method, options, stepper.error_exponent, [0.0], tolerance, norm, callbacks)
        plan = BatchAdaptive(shared, on_device, *stops, happening)
    columns, surroundings = list(on_device.unbind(1)), Surroundings(func, packing.device)
    problem = BatchProblem(derivative, stepper, plan, clock, columns, (), surroundings, norm=norm, absent=absent)
    problem.stats, problem.throw = BatchStats(packing.samples, packing.device), throw
    problem.states, problem.graphs = options.checkpoints, Graphs(options.graphs())
    y, at_events = _solved(problem, differentiate, packing, t, named)
    occurred = None
    if happening is not None:
        occurred = _occurrences(happening, derivative, packing, t, at_events)
    problem.stats.nfe_forward = derivative.evaluations
    return packing.unpack(y), problem.stats, problem.failure, occurred


def _solved(problem: BatchProblem, differentiate, packing: BatchPacking, t: Any, named) -> tuple[Tensor, Tensor]:
    """The states at all times and at the events, differentiable by the times as well."""
    func, clock, columns, y0 = problem.func, problem.clock, problem.times, packing.y0
    if len(columns) == 1:
        return y0.unsqueeze(0), torch.full_like(y0, torch.nan)
    if not packing.samples:  # no numbers, but what they would depend on, so that gradients are zeros, not missing
        y = y0 + func(clock.instant(columns[0]), y0)
        shifts = _shifts(t, packing) if has_time_gradients(t) else [y0.new_zeros(packing.time_shape)] * len(columns)
        return torch.stack([y + spread(shift, y) for shift in shifts]), y
    if not has_time_gradients(t):
        return problem.assembled(y0, differentiably(problem, differentiate, y0, None, named))
    shifts, moment = _shifts(t, packing), problem.plan.moment
    start = _moved(func, moment(clock, columns[0], columns[-1]) + shifts[0], y0, -shifts[0])
    y, at_events = problem.assembled(y0, differentiably(problem, differentiate, start, None, named))
    later = zip(columns[1:], y[1:].unbind(), shifts[1:], strict=True)
    moved = [_moved(func, moment(clock, time, columns[0]), state, shift) for time, state, shift in later]
    return torch.stack([y[0], *moved]), at_events


def _occurrences(events: BatchEvents, func: Derivative, packing: BatchPacking, t: Any, y: Tensor) -> Occurrences:
    """When and where every sample ended by an event."""
    shift, y = events.attached(func, _moved, y)
    when = events.t.to(t.dtype) if isinstance(t, Tensor) and t.is_floating_point() else events.t
    if shift is not None:
        when = when + torch.where(events.index >= 0, shift.view(-1), 0.0).to(when.dtype)
    when = when.numpy() if packing.numpy else when
    return Occurrences(when, events.index, packing.unpack(y), events.index >= 0)


def _shifts(t: Tensor, packing: BatchPacking) -> list[Tensor]:
    """For every output time, zeros shaped like the derivative's times that carry the gradients of t."""
    shifts = time_shifts(t, packing.y0).expand(packing.samples, -1)
    return [shift.view(packing.time_shape) for shift in shifts.unbind(1)]


def _moved(func, t: Tensor, y: Tensor, shift: Tensor) -> Tensor:
    """`carried_on` where times and the solver's state may differ in dimensions.

    Samples that are somewhere not finite, or at no time, stay as they are: in a backward pass their slopes would spoil
    the gradients of what all share.
    """
    there = finite_samples(y) & torch.isfinite(t.detach()).view(-1)
    if host_values(there.all()):
        slope = func(t, y)
    else:
        with torch.no_grad():
            slope = func(t[copied(there)], y[copied(there)])
    there = there & finite_samples(slope)
    if host_values(there.all()):
        return _carried_on(func, t, y, shift, slope)
    if not host_values(there.any()):
        return y
    t, copies, shift = (x[copied(there)] for x in (t, y, shift))
    return torch.where(spread(there, y), _carried_on(func, t, copies, shift, func(t, copies)), y)


def _carried_on(func, t: Tensor, y: Tensor, shift: Tensor, slope: Tensor) -> Tensor:
    flat = spread(shift, y)
    return y + flat * func(t + shift / 2, y + flat / 2 * slope)
