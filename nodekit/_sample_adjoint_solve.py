"""The backward solve of the continuous adjoint of independent samples, beside that of shared ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ._clock import PairedSampleClock
from ._given import grid_points
from ._loops import Callbacks
from ._methods import Method
from ._options import Options, is_fixed
from ._plan import make_sample_plan
from ._problem import Problem, Record
from ._sample_steps import GivenSamples, SampleStats, padded
from ._samples import SamplePacking, sample_norm
from ._stepper import Stepper
from ._tolerance import Tolerance


def sample_backward_solve(
    method: Method,
    options: Options,
    stepper: Stepper,
    packing: SamplePacking,
    tolerance: Tolerance,
    own: bool,
    norm: Callable | str | None,
    patient: bool,
    callbacks: Callbacks,
) -> Callable[..., Problem]:
    """(forward problem, derivative of the pairs, times (batch, outputs + 1)) → the problem to solve backwards.

    Its steps land on every output time, behind which slopes are evaluated anew.

    Args:
        tolerance: of the states.
        own: whether it has options of its own; else, with fixed steps, it goes over the forward grid.
        norm: the option.
        patient: whether max_num_steps was given.
    """
    clock, pairs = PairedSampleClock(stepper.nodes, packing), _of_pairs(tolerance)

    def backward(forward: Problem, derivative, times: Tensor) -> Problem:
        host_times = times.double().cpu()
        error_norm = _norm(norm, packing, forward.record.parameters)
        given = host_times, torch.zeros_like(host_times, dtype=torch.bool)
        plan = make_sample_plan(method, options, stepper.error_exponent, given, pairs, error_norm, callbacks, clock)
        if is_fixed(method, options):
            same = not own and isinstance(forward.plan, GivenSamples)
            points = forward.plan.points.tolist() if same else [()] * len(times)
            size = None if same else options.step_size
            grids = [_grid(row, inside, size) for row, inside in zip(host_times.tolist(), points, strict=True)]
            plan = replace(plan, points=padded(grids), renews=True)
        else:
            plan = replace(plan, jump_t=torch.cat([plan.jump_t, plan.times[:, :-1]], 1))
            if not patient:
                done = forward.record.stats
                plan = replace(plan, patience=200 + int((done.accepted + done.rejected).max()))
        stats = SampleStats(packing.samples, packing.device)
        return Problem(derivative, stepper, plan, clock, list(plan.times.unbind(1)), Record(stats))

    return backward


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


def _norm(chosen, packing: SamplePacking, parameters) -> Callable[[Tensor], Tensor]:
    """Every sample's norm of the backward solve's error, as for shared samples."""
    state_norm = sample_norm(None, packing)
    if not callable(chosen):
        return lambda x: torch.stack([state_norm(part) for part in x.unbind(1)]).amax(0)

    def of_one(x: Tensor) -> Tensor:
        z, a = map(packing.sample, x.unbind())
        states = tree_leaves([z, a])
        return torch.as_tensor(chosen((x.new_zeros(()), *states, *map(torch.zeros_like, parameters))))

    return torch.func.vmap(of_one)
