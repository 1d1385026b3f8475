"""A solve's outputs with the chosen gradient attached: to the state, the parameters, and the times."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor

from .._derivative.context import RandomState
from .._derivative.flow import carried_on
from .._derivative.leaves import UnknownLeaves, lost
from .._derivative.parameters import is_recording, parameters_of
from .._derivative.state import Derivative
from .._derivative.vjp import refuse
from .._steps.clock import has_time_gradients
from .._steps.given import Given
from .._steps.loops import SegmentedStats
from .._steps.problem import Problem, Record
from . import Gradient
from .backprop import backprop


def differentiably(problem: Problem, gradient: Gradient, y0: Tensor, t, named) -> list[Tensor]:
    """The outputs after the first, with the chosen gradient.

    Args:
        t: the output times as the user gave them; None: not to be differentiated by.
        named: what the user named to differentiate by.
    """
    if len(problem.times) == 1:
        return []
    func, record, start = problem.func, problem.record, problem.start()
    if has_time_gradients(t):
        return _with_time_gradients(problem, gradient, y0, t, named)
    y0 = y0.clone()  # a derivative that writes to its argument must not write to the user's state
    if not is_recording():
        return backprop(problem, y0, func(start, y0))
    before, state = RandomState(problem.clock.device), y0
    if not gradient.records:
        state = y0.detach().requires_grad_(y0.requires_grad)
    slope = func(start, state)
    read = list(problem.seen) if problem.stepper.implicit or not gradient.records else []
    if read:
        func.look_for_results_kept(read)
    if RandomState(problem.clock.device) != before:
        record.random = before
    if gradient.records:
        return gradient.function(replace(problem, named=named), y0, slope)
    record.parameters = parameters_of(read, named, slope, [state])
    if not record.parameters and not y0.requires_grad:
        return _on_the_lookout(problem, y0, slope.detach())
    record.start, slope = (state, slope), slope.detach()
    try:
        return gradient.function(problem, y0, slope)
    finally:
        record.start = None


def _on_the_lookout(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The outputs where nothing required a gradient at the start; by what came in later it is refused, not lost."""
    func = problem.func
    func.leaves = leaves = UnknownLeaves((), refuse=False)
    try:
        with torch.no_grad():
            outputs = backprop(replace(problem, func=_WithGraph(func)), y0, slope)
        evaluations = func.evaluations
        leaf = leaves.again if leaves.again is not None else leaves.staying(func)
        func.evaluations = evaluations
    finally:
        func.leaves = None
    return outputs if leaf is None else [refuse(lost(leaf), y, leaf) for y in outputs]


class _WithGraph(Derivative):
    """The derivative evaluated with a graph, which is looked at and let go: where nothing requires one, it has none."""

    def __init__(self, func: Derivative):
        self.__dict__ = func.__dict__  # it is the same function, its count included

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().__call__(t, y)
        with torch.enable_grad():
            slope = super().__call__(t, y)
        return slope.detach()


def _with_time_gradients(problem: Problem, gradient: Gradient, y0: Tensor, t: Tensor, named) -> list[Tensor]:
    """The outputs, with the flow's derivatives ∂y(tᵢ)/∂tᵢ = f(tᵢ, yᵢ) and ∂y/∂t₀ = −∂y/∂y₀ f(t₀, y₀) attached."""
    func, clock, plan, shifts = problem.func, problem.clock, problem.plan, problem.clock.shifts(t)
    if gradient.records and _steps_are_between_outputs(problem):
        return _with_gradients_of_the_steps(problem, gradient, y0, shifts, named)
    first, last = problem.times[0], problem.times[-1]
    y0 = carried_on(func, plan.moment(clock, first, last) + shifts[0], y0, -shifts[0])
    outputs = differentiably(problem, gradient, y0, None, named)
    times = zip(problem.times[1:], shifts[1:], outputs, strict=False)
    carried = [carried_on(func, plan.moment(clock, time, first), y, shift) for time, shift, y in times]
    return carried + outputs[len(carried) :]  # behind those at output times come states at events


def _steps_are_between_outputs(problem: Problem) -> bool:
    """Whether the grid is the output times, and each step depends on where it begins alone."""
    plan = problem.plan
    return (
        problem.func.mass is None
        and problem.stepper.one_step
        and type(plan) is Given
        and plan.points == problem.times
        and not plan.perturb
    )


def _with_gradients_of_the_steps(problem: Problem, gradient: Gradient, y0: Tensor, shifts: Tensor, named):
    """The outputs, each by a solve of one step, with the derivatives of these steps by their ends attached."""
    outputs, stats = [y0], SegmentedStats()
    problem.record.stats = stats
    for i, span in enumerate(itertools.pairwise(problem.times)):
        last = i == len(problem.times) - 2
        plan = replace(problem.plan, points=list(span), check_finite=problem.plan.check_finite and last)
        func = _Stretched(problem.func, span, (shifts[i], shifts[i + 1]))
        record = Record(stats.add_segment())
        part = replace(problem, func=func, times=list(span), plan=plan, record=record, progress=None)
        outputs += differentiably(part, gradient, outputs[-1], None, [named, shifts])
        problem.record.failure = record.failure
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
