"""The backward solve of a continuous adjoint: the forward solve's method, tolerances and options, unless overridden."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .. import _methods
from .._choices.callbacks import callbacks_of
from .._choices.choices import Choices
from .._choices.options import is_fixed, parse
from .._choices.requirements import require
from .._choices.tolerance import Tolerance, tolerance_of
from .._derivative.samples import SamplePacking, sample_norm
from .._derivative.state import Derivative, Packing
from .._steps.clock import SampleClock
from .._steps.control import norm_of
from .._steps.given import Given, grid_points
from .._steps.loops import Stats
from .._steps.plan import make_plan, make_sample_plan
from .._steps.problem import Problem, Record
from .._steps.sample_steps import GivenSamples, SampleStats, padded


def backward_solve(choices: Choices, derivative: Derivative, tolerance: Tolerance) -> Callable[..., Problem]:
    """The backward solve that belongs to a forward one, as `Problem.backward`.

    With fixed steps it goes over the forward grid in reverse. The norm option of the forward solve is not taken over.

    Args:
        derivative, tolerance: of the forward solve.
    """
    packing, own = derivative.packing, choices.adjoint_options is not None
    method, options = choices.adjoint_method or choices.method, choices.given_options
    if method is _methods.SCIPY:
        method, options = _methods.find("dopri5"), None
    given = dict((choices.adjoint_options if own else options) or {})
    norm = given.pop("norm", None)
    norm, patient = norm if own else None, "max_num_steps" in given
    parsed, own_options = parse(method, given, choices.strict)
    require(Choices(method, parsed, batch=choices.batch, own_options=own_options))
    if choices.adjoint_rtol is not None or choices.adjoint_atol is not None:
        chosen = (forward if mine is None else mine for forward, mine in zip(
            (tolerance.rtol, tolerance.atol), (choices.adjoint_rtol, choices.adjoint_atol), strict=True
        ))  # fmt: skip
        tolerance = tolerance_of(*chosen, packing)
    stepper, fixed = method.stepper(**own_options), is_fixed(method, parsed)
    callbacks = callbacks_of(choices.func, derivative, method, parsed, choices.strict, "_adjoint")

    def patience(forward: Problem) -> int | None:
        """Where the state explodes backwards, steps shrink to nothing: that is not to be waited for."""
        done = forward.record.stats
        return None if patient else 200 + int(torch.as_tensor(done.accepted + done.rejected).max())

    def shared(forward: Problem, augmented, span: list[float], previous: Problem | None) -> Problem:
        if not own and fixed and isinstance(forward.plan, Given):
            low, high = sorted(span)
            inside = [point for point in forward.record.points if low < point < high]
            plan = Given([span[0], *reversed(inside), span[1]], parsed.perturb, check_finite=False, callbacks=callbacks)
        elif previous is not None and not fixed:
            return replace(previous, times=span)  # whose pace it takes up
        else:
            error_norm = _norm(norm, state_norm, packing, forward.record.parameters)
            plan = make_plan(method, parsed, stepper.error_exponent, span, tolerance, error_norm, callbacks)
            plan = plan if fixed else replace(plan, patience=patience(forward))
        return Problem(augmented, stepper, plan, clock, span, Record(Stats()))

    def independent(forward: Problem, augmented, times: Tensor) -> Problem:
        """Over times (batch, outputs + 1), with a step to every one, behind which slopes are evaluated anew."""
        host_times = times.double().cpu()
        error_norm = _sample_norm(norm, packing, forward.record.parameters)
        every = host_times, torch.zeros_like(host_times, dtype=torch.bool)
        plan = make_sample_plan(method, parsed, stepper.error_exponent, every, pairs, error_norm, callbacks, clock)
        if fixed:
            same = not own and isinstance(forward.plan, GivenSamples)
            points = forward.plan.points.tolist() if same else [()] * len(times)
            size = None if same else parsed.step_size
            grids = [_grid(row, inside, size) for row, inside in zip(host_times.tolist(), points, strict=True)]
            plan = replace(plan, points=padded(grids), renews=True)
        else:
            jumps = torch.cat([plan.jump_t, plan.times[:, :-1]], 1)
            plan = replace(plan, jump_t=jumps, patience=patience(forward))
        stats = SampleStats(packing.samples, packing.device)
        return Problem(augmented, stepper, plan, clock, list(plan.times.unbind(1)), Record(stats))

    if choices.batch == "independent":
        clock, pairs = SampleClock(stepper.nodes, packing, pairs=True), _of_pairs(tolerance)
        return independent
    clock, state_norm = choices.gradient.clock(stepper.nodes, packing), norm_of(parsed, packing)
    return shared


def _norm(chosen, state_norm: Callable, packing: Packing, parameters) -> Callable[[Tensor], Tensor]:
    """The norm of the backward solve's error: a seminorm (Kidger et al. 2021, Hey, that's not an ODE).

    The larger of the forward solve's norms of z and of a; the parameters' integral has no part in it. Or the user's.
    """

    def norm(x: Tensor) -> Tensor:
        parts = x.unbind() if x.ndim > packing.y0.ndim else (torch.zeros_like(x), x)
        if callable(chosen):
            return _given_norm(chosen, x, map(packing.unpack, parts), parameters)
        return torch.stack([state_norm(part) for part in parts]).max()

    return norm


def _sample_norm(chosen, packing: SamplePacking, parameters) -> Callable[[Tensor], Tensor]:
    """The same of every sample."""
    if callable(chosen):
        return torch.func.vmap(lambda x: _given_norm(chosen, x, map(packing.sample, x.unbind()), parameters))
    state_norm = sample_norm(None, packing)
    return lambda x: torch.stack([state_norm(part) for part in x.unbind(1)]).amax(0)


def _given_norm(chosen: Callable, x: Tensor, parts: Iterable[Any], parameters) -> Tensor:
    """A function as torchdiffeq calls it, with (t, z, a, *parameters); t's and the parameters' errors are zero here."""
    return torch.as_tensor(chosen((x.new_zeros(()), *tree_leaves([*parts]), *map(torch.zeros_like, parameters))))


def _grid(times: list[float], inside: Sequence[float], step_size: float | None) -> list[float]:
    """The points of one sample: its times, and between them the forward grid's or those of a step size."""
    low, high = sorted((times[0], times[-1]))
    within = [point for point in inside if low < point < high]
    stops = sorted({*times, *within}, reverse=times[0] > times[-1])
    spans = (grid_points(span, step_size, None) for span in itertools.pairwise(stops))
    return [stops[0], *(point for span in spans for point in span[1:])]


def _of_pairs(tolerance: Tolerance) -> Tolerance:
    """The tolerance of both states of a pair (batch, 2, …)."""

    def spread(value):
        if callable(value):
            return lambda t: spread(value(t))
        return value.unsqueeze(1) if isinstance(value, Tensor) else value

    return Tolerance(spread(tolerance.rtol), spread(tolerance.atol))
