"""batch="independent": every sample of the first dimension is a solve of its own, all of them taken together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._callbacks import callbacks_of
from .._clock import has_time_gradients
from .._context import Surroundings
from .._control import norm_of, refuse_vmap
from .._differentiate import differentiably, time_shifts
from .._events import Occurrences
from .._gradients._graphs import Graphs
from .._methods import Method
from .._options import Options, is_fixed
from .._plan import make_plan
from .._state import Derivative
from .._times import warn_of_one_time
from .._tolerance import tolerance_of
from .._warning import warn
from ..errors import InvalidTimes
from .events import BatchEvents
from .loops import BatchAdaptive, BatchGrid, BatchStats
from .problem import BatchProblem
from .state import BatchClock, BatchPacking, sample_norm


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
    times, norm = sample_times(t, packing.samples, bool(events)), sample_norm(options.norm, packing)
    clock, callbacks = BatchClock(stepper.nodes, packing), callbacks_of(func, derivative, method, options)
    if not is_fixed(method, options) and (callbacks.accept or callbacks.reject):
        warn("callbacks for accepted and rejected steps are not called for independent samples")
    on_device = times.to(clock.exact).to(packing.device)
    happening = BatchEvents(events, packing, clock) if events else None
    if is_fixed(method, options):
        step_size = None if options.step_size is None else float(options.step_size)
        plan = BatchGrid(times, step_size, options.check_finite, callbacks)
    else:
        tolerance = tolerance_of(*tolerances, packing)
        furthest = [0.0, times[:, -1].abs().max().item()]
        shared = make_plan(method, options, stepper.error_exponent, furthest, tolerance, norm, callbacks)
        plan = BatchAdaptive(shared, on_device, happening)
    columns, surroundings = list(on_device.unbind(1)), Surroundings(func, packing.device)
    problem = BatchProblem(derivative, stepper, plan, clock, columns, (), surroundings, norm=norm)
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
    if not has_time_gradients(t):
        return problem.assembled(y0, differentiably(problem, differentiate, y0, None, named))
    shifts = _shifts(t, packing)
    start = _moved(func, clock.instant(columns[0]) + shifts[0], y0, -shifts[0])
    y, at_events = problem.assembled(y0, differentiably(problem, differentiate, start, None, named))
    moved = [
        _moved(func, clock.instant(time), state, shift) if bool(torch.isfinite(time).all()) else state
        for time, state, shift in zip(columns[1:], y[1:].unbind(), shifts[1:], strict=True)
    ]
    return torch.stack([y[0], *moved]), at_events


def _occurrences(events: BatchEvents, func: Derivative, packing: BatchPacking, t: Any, y: Tensor) -> Occurrences:
    """When and where every sample ended by an event."""
    shift, y = events.attached(func, _moved, packing.y0, y)
    when = events.t.to(t.dtype) if isinstance(t, Tensor) and t.is_floating_point() else events.t
    if shift is not None:
        when = when + torch.where(events.index >= 0, shift.view(-1), 0.0).to(when.dtype)
    when = when.numpy() if packing.numpy else when
    return Occurrences(when, events.index, packing.unpack(y), events.index >= 0)


def sample_times(t: Any, samples: int, open_end: bool = False) -> Tensor:
    """The output times of every sample, shape (batch, times), in float64 on the host.

    Args:
        open_end: whether the last may be infinite.

    Raises:
        InvalidTimes: unless one-dimensional or (batch, times), finite, and strictly monotone for every sample.
    """
    times = t.detach().double().cpu() if isinstance(t, Tensor) else torch.as_tensor(np.array(t, dtype=float))
    if times.ndim not in (1, 2) or (times.ndim == 2 and len(times) != samples) or times.shape[-1] == 0:
        raise InvalidTimes(
            f"t must have shape (times,) or (batch, times) = ({samples}, …), it has {tuple(times.shape)}"
        )
    finite = torch.isfinite(times)
    if open_end and times.shape[-1] > 1:
        finite[..., -1] = ~times[..., -1].isnan()
    if not finite.all():
        raise InvalidTimes("t is not finite")
    if times.shape[-1] == 1:
        warn_of_one_time()
    times = times.expand(samples, -1)
    steps = times.diff(dim=1)
    wrong = ~((steps > 0).all(1) | (steps < 0).all(1))
    if wrong.any():
        i = int(wrong.nonzero()[0])
        raise InvalidTimes(
            f"t must be strictly increasing or decreasing for every sample; it is {times[i].tolist()}",
            sample=i,
            remedy="Sort t and drop duplicates",
        )
    return times


def _shifts(t: Tensor, packing: BatchPacking) -> list[Tensor]:
    """For every output time, zeros shaped like the derivative's times that carry the gradients of t."""
    shifts = time_shifts(t, packing.y0).expand(packing.samples, -1)
    return [shift.view(packing.time_shape) for shift in shifts.unbind(1)]


def _moved(func, t: Tensor, y: Tensor, shift: Tensor) -> Tensor:
    """`carried_on` where times and the solver's state may differ in dimensions."""
    flat = shift.view(-1, *[1] * (y.ndim - 1))
    slope = func(t, y)
    return y + flat * func(t + shift / 2, y + flat / 2 * slope)
