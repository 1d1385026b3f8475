"""batch="independent": every sample of the first dimension is a solve of its own, all of them taken together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ._derivative.context import RandomState
from ._derivative.samples import SamplePacking, SoundDerivative, spread
from ._events.events import Occurrences
from ._events.samples import SampleWatch
from ._gradients import Gradient
from ._gradients.differentiate import differentiably
from ._steps.clock import has_time_gradients
from ._steps.control import host_values
from ._steps.problem import Problem, Record
from ._steps.sample_steps import SampleStats
from .errors import InvalidDerivative


def solve_samples(
    problem: Problem, gradient: Gradient, y0: Tensor, t: Any, named
) -> tuple[list[Tensor], Occurrences | None]:
    """Solve every sample on its own.

    Args:
        problem, gradient, y0, t, named: as in `differentiably`.

    Returns:
        The outputs after the first, and what happened to every sample, if events were looked for.
    """
    packing, watch, later = problem.func.packing, problem.watch, len(problem.times) - 1
    if packing.samples > 1 and (problem.stepper.implicit or gradient.solves_backwards):
        _insist_on_separate_samples(problem, y0)
    if not packing.samples:
        outputs = _of_none(problem, y0, t)
    elif not later:
        outputs = [torch.full_like(y0, torch.nan)]  # at events
    else:
        outputs = differentiably(problem, gradient, y0, t, named)
        if gradient.records and problem.record.void is not None and torch.is_grad_enabled():
            outputs = _without_the_failed(problem, gradient, y0, t, named)
    return outputs[:later], None if watch is None else _occurrences(watch, problem, packing, t, outputs[-1])


def _insist_on_separate_samples(problem: Problem, y0: Tensor) -> None:
    """Look at the start whether a sample's slope changes as others' states do.

    The blocks of Jacobians that are solved with, and backward solves at each sample's own times, would be wrong then.

    Raises:
        InvalidDerivative: one does.
    """
    func, t, start = problem.func, problem.start(), RandomState(y0.device)
    evaluations, eps = func.evaluations, torch.finfo(y0.dtype).eps
    with torch.no_grad(), problem.surroundings.again():
        y, even = y0.detach(), torch.arange(len(y0), device=y0.device) % 2 == 0
        slope, first = func(t, y), RandomState(y0.device)
        for moves in (even, ~even):
            # To another sample's state, which is one that the function is made for, and a little beside it.
            other = y.roll(1, 0)
            again = func(t, torch.where(spread(moves, y), other + eps**0.5 * (1 + other.abs()), y))
            near = (again - slope).abs() <= 64 * eps * (1 + slope.abs())
            apart = (near | ~torch.isfinite(slope)) | spread(moves, y)
            if RandomState(y0.device) != first:  # it draws anew each time: that other slopes come out tells nothing
                start.restore(y0.device)
                break
            if not host_values(apart.all()):
                raise InvalidDerivative(
                    "the slope of a sample depends on other samples' states",
                    sample=host_values(apart.view(len(y), -1).all(1)).index(False),
                    remedy="Solve them as one system, batch='shared'; independent samples that touch each other "
                    "(batch normalisation?) have no implicit methods and no continuous adjoint",
                )
    func.evaluations = evaluations


def _without_the_failed(problem: Problem, gradient: Gradient, y0: Tensor, t: Any, named) -> list[Tensor]:
    """The outputs of a solve with fixed steps, of which some samples failed, solved again for its gradients.

    That they failed is known at the end only, when the graphs of the steps hold what is not finite of them.
    """
    again = Record(SampleStats(len(y0), y0.device), void=problem.record.void)
    again.stats.count(problem.func.evaluations, 0)
    problem.record.stats = again.stats
    plan = replace(problem.plan, check_finite=False)
    sound = replace(problem, func=SoundDerivative(problem.func), plan=plan, record=again)
    return differentiably(sound, gradient, torch.where(spread(again.void, y0), y0.detach(), y0), t, named)


def _of_none(problem: Problem, y0: Tensor, t: Any) -> list[Tensor]:
    """No numbers, but what they would depend on, so that gradients are zeros, not missing."""
    clock, later = problem.clock, len(problem.times) - 1
    y = y0 + problem.func(clock.instant(problem.times[0]), y0)
    if not has_time_gradients(t):
        return [y] * (later + 1)
    return [*(y + spread(shift, y) for shift in clock.shifts(t)[1:]), y]


def _occurrences(watch: SampleWatch, problem: Problem, packing: SamplePacking, t: Any, y: Tensor) -> Occurrences:
    """When and where every sample ended by an event."""
    shift, y = watch.attached(problem.func, problem.surroundings, y)
    when = watch.t.to(t.dtype) if isinstance(t, Tensor) and t.is_floating_point() else watch.t
    if shift is not None:
        when = when + torch.where(watch.index >= 0, shift.view(-1), 0.0).to(when.dtype)
    when = when.numpy() if packing.numpy else when
    return Occurrences(when, watch.index, packing.unpack(y), watch.index >= 0)
