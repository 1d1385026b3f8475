"""A solve's outputs with the chosen gradient attached: to the state, the parameters, and the times."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from ._clock import has_time_gradients
from ._context import RandomState
from ._gradients import Gradient
from ._gradients.backprop import backprop
from ._loops import FixedGrid
from ._parameters import is_transformed, parameters_of
from ._problem import Problem
from ._state import Derivative


def differentiably(problem: Problem, gradient: Gradient, y0: Tensor, t, named) -> list[Tensor]:
    """The outputs after the first, with the chosen gradient.

    Args:
        t: the output times as the user gave them; None: not to be differentiated by.
        named: what the user named to differentiate by.
    """
    if len(problem.times) == 1:
        return []
    func, start = problem.func, problem.plan.start(problem.clock, problem.stepper, problem.times)
    if has_time_gradients(t):
        return _with_time_gradients(problem, gradient, y0, t, named)
    y0 = y0.clone()  # a derivative that writes to its argument must not write to the user's state
    if not torch.is_grad_enabled() or is_transformed():
        return backprop(problem, y0, func(start, y0))
    before, state = RandomState(problem.clock.device), y0
    if not gradient.records:
        state = y0.detach().requires_grad_(y0.requires_grad)
    slope = func(start, state)
    if RandomState(problem.clock.device) != before:
        problem.plan.random = before
    if gradient.records:
        problem.named = named
        return gradient.function(problem, y0, slope)
    problem.parameters = parameters_of(func.func, named, slope, [state])
    if not problem.parameters and not y0.requires_grad:
        with torch.no_grad():
            return backprop(problem, y0, slope.detach())
    problem.start, slope = (state, slope), slope.detach()
    try:
        return gradient.function(problem, y0, slope)
    finally:
        problem.start = None


def _with_time_gradients(problem: Problem, gradient: Gradient, y0: Tensor, t: Tensor, named) -> list[Tensor]:
    """The outputs, with the flow's derivatives ∂y(tᵢ)/∂tᵢ = f(tᵢ, yᵢ) and ∂y/∂t₀ = −∂y/∂y₀ f(t₀, y₀) attached."""
    func, clock, plan, shifts = problem.func, problem.clock, problem.plan, time_shifts(t, y0)
    if gradient.records and _steps_are_between_outputs(problem):
        return _with_gradients_of_the_steps(problem, gradient, y0, shifts, named)
    first, last = problem.times[0], problem.times[-1]
    y0 = carried_on(func, plan.moment(clock, first, last) + shifts[0], y0, -shifts[0])
    outputs = differentiably(problem, gradient, y0, None, named)
    times = zip(problem.times[1:], shifts[1:], outputs, strict=True)
    return [carried_on(func, plan.moment(clock, time, first), y, shift) for time, shift, y in times]


def _steps_are_between_outputs(problem: Problem) -> bool:
    """Whether the grid is the output times, and each step depends on where it begins alone."""
    return problem.stepper.one_step and isinstance(problem.plan, FixedGrid) and problem.plan.points == problem.times


def _with_gradients_of_the_steps(problem: Problem, gradient: Gradient, y0: Tensor, shifts: Tensor, named):
    """The outputs, each by a solve of one step, with the derivatives of these steps by their ends attached."""
    from ._events import SegmentedStats  # which differentiates by this module

    problem.stats, outputs = SegmentedStats(), [y0]
    for i, span in enumerate(itertools.pairwise(problem.times)):
        last = i == len(problem.times) - 2
        plan = replace(problem.plan, points=list(span), check_finite=problem.plan.check_finite and last)
        func = _Stretched(problem.func, span, (shifts[i], shifts[i + 1]))
        stats = problem.stats.add_segment()
        part = replace(problem, func=func, times=list(span), plan=plan, stats=stats, progress=None)
        outputs += differentiably(part, gradient, outputs[-1], None, [named, shifts])
        problem.failure = part.failure
    return outputs[1:]


class _Stretched(Derivative):
    """The derivative on a span of time as if its ends moved by zeros that carry gradients: (1 + σ′) f(t + σ, y).

    σ is linear from the one to the other. A Runge–Kutta step of it over the span is one of f over the moved span.
    """

    def __init__(self, func: Derivative, span: tuple[float, float], shifts: tuple[Tensor, Tensor]):
        super().__init__(func.func, func.packing, func.args)
        self.original, self.span, self.shifts = func, span, shifts

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        (start, end), (at_start, at_end) = self.span, self.shifts
        stretch = (at_end - at_start) / (end - start)
        slope = self.original(t + at_start + (t - start) * stretch, y)
        return slope + stretch * slope


def time_shifts(t: Tensor, y: Tensor) -> Tensor:
    """Zeros, one for each time, that carry the gradients of the times."""
    # t may end in infinity, whose difference from itself is not zero.
    return torch.where(torch.isfinite(t), t - t.detach().nan_to_num(posinf=0.0, neginf=0.0), 0.0).to(y)


def carried_on(func: Derivative, t: Tensor, y: Tensor, shift: Tensor, slope: Tensor | None = None) -> Tensor:
    """The flow from (t, y) over an infinitesimal time: y's value, and its derivatives by the shift up to the second.

    Args:
        shift: a zero that carries a gradient.
        slope: f(t, y), if known.
    """
    slope = func(t, y) if slope is None else slope
    half = shift / 2
    return y + shift * func(t + half, y + half * slope)
