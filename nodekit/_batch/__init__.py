"""batch="independent": every sample of the first dimension is a solve of its own, all of them taken together."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._context import Surroundings
from .._control import refuse_vmap
from .._differentiate import differentiably, has_time_gradients, time_shifts
from .._methods import Method
from .._methods.runge_kutta import ExplicitRungeKutta
from .._options import Options, callbacks_of, is_fixed, make_plan, tolerance_of
from .._state import Derivative
from ..errors import InvalidTimes, UnsupportedCombination
from .loops import BatchAdaptive, BatchGrid, BatchStats
from .problem import BatchProblem
from .state import BatchClock, BatchPacking, sample_norm

#: the gradients that take accepted steps again, whichever way their sizes were chosen
GRADIENTS = ("checkpoint", "backprop")


def solve_independent(
    func, y0: Any, t: Any, method: Method, options: Options, stepper, tolerances, differentiate, args, named, throw
) -> tuple[Any, BatchStats, Any]:
    """Solve every sample on its own.

    Args:
        func, y0, t, args, throw: as in `nodekit.solve`.
        method, options, stepper: as parsed.
        tolerances: rtol and atol.
        differentiate: the gradient method.
        named: what to differentiate by beyond the state.

    Returns:
        The states at all times, the statistics, and the failure, if any sample failed.
    """
    _check(method, options, stepper)
    packing = BatchPacking(y0)
    refuse_vmap(packing.y0)
    derivative = Derivative(func, packing, args)
    times, norm = sample_times(t, packing.samples), sample_norm(options.norm, packing)
    tolerance = tolerance_of(*tolerances, packing)
    clock = BatchClock(stepper.nodes, packing)
    callbacks = callbacks_of(func, derivative)
    if callbacks.accept or callbacks.reject:
        warnings.warn("callbacks for accepted and rejected steps are not called for independent samples", stacklevel=4)
    if is_fixed(method, options):
        step_size = None if options.step_size is None else float(options.step_size)
        plan = BatchGrid(times, step_size, options.check_finite, callbacks)
    else:
        shared = make_plan(method, options, stepper.error_exponent, times[0].tolist(), tolerance, norm, callbacks)
        plan = BatchAdaptive(shared, times.to(clock.exact).to(packing.device))
    columns = list(times.to(clock.exact).to(packing.device).unbind(1))
    surroundings = Surroundings(func, packing.device)
    problem = BatchProblem(derivative, stepper, plan, clock, columns, (), surroundings, norm=norm)
    problem.stats, problem.throw = BatchStats(packing.samples, packing.device), throw
    problem.states = options.checkpoints
    start = packing.y0
    shifts = _shifts(t, clock, packing) if has_time_gradients(t) else None
    if shifts is not None:
        start = _moved(derivative, clock.instant(columns[0]) + shifts[0], start, -shifts[0])
    if len(columns) == 1:
        y = packing.y0.unsqueeze(0)
    else:
        y = problem.assembled(packing.y0, differentiably(problem, differentiate, start, None, named))
    if shifts is not None:
        moved = [
            _moved(derivative, clock.instant(time), state, shift)
            for time, state, shift in zip(columns[1:], y[1:].unbind(), shifts[1:], strict=True)
        ]
        y = torch.stack([y[0], *moved])
    problem.stats.nfe_forward = derivative.evaluations
    return packing.unpack(y), problem.stats, problem.failure


def _check(method: Method, options: Options, stepper) -> None:
    """Raises: UnsupportedCombination: what independent samples cannot have."""
    if type(stepper) is not ExplicitRungeKutta:
        raise UnsupportedCombination(
            f"method {method.name!r} does not solve samples independently",
            remedy="Use an explicit Runge–Kutta method, or batch='shared'",
        )
    unsupported = [name for name in ("step_t", "jump_t", "grid_constructor") if getattr(options, name) is not None]
    unsupported += ["perturb"] if options.perturb else []
    if unsupported:
        raise UnsupportedCombination(
            f"the options {unsupported} are not available with batch='independent'",
            remedy="Leave them out, or use batch='shared'",
        )


def sample_times(t: Any, samples: int) -> Tensor:
    """The output times of every sample, shape (batch, times), in float64 on the host.

    Raises:
        InvalidTimes: unless one-dimensional or (batch, times), finite, and strictly monotone for every sample.
    """
    times = t.detach().double().cpu() if isinstance(t, Tensor) else torch.as_tensor(np.array(t, dtype=float))
    if times.ndim not in (1, 2) or (times.ndim == 2 and len(times) != samples) or times.shape[-1] == 0:
        raise InvalidTimes(
            f"t must have shape (times,) or (batch, times) = ({samples}, …), it has {tuple(times.shape)}"
        )
    if not torch.isfinite(times).all():
        raise InvalidTimes("t is not finite")
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


def _shifts(t: Tensor, clock: BatchClock, packing: BatchPacking) -> list[Tensor]:
    """For every output time, zeros shaped like the derivative's times that carry the gradients of t."""
    shifts = time_shifts(t, packing.y0).expand(packing.samples, -1)
    return [shift.view(packing.time_shape) for shift in shifts.unbind(1)]


def _moved(func, t: Tensor, y: Tensor, shift: Tensor) -> Tensor:
    """`carried_on` where times and the solver's state may differ in dimensions."""
    flat = shift.view(-1, *[1] * (y.ndim - 1))
    slope = func(t, y)
    return y + flat * func(t + shift / 2, y + flat / 2 * slope)
