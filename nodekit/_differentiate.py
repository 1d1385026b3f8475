"""A solve's outputs with the chosen gradient attached: to the state, the parameters, and the times."""

from __future__ import annotations

import torch
from torch import Tensor

from ._context import RandomState
from ._gradients.backprop import backprop
from ._parameters import is_transformed, parameters_of
from ._problem import Problem


def differentiably(problem: Problem, differentiate, y0: Tensor, t, named) -> list[Tensor]:
    """The outputs after the first, with the chosen gradient."""
    func, start = problem.func, problem.clock.instant(problem.times[0])
    if len(problem.times) == 1:
        return []
    if isinstance(t, Tensor) and t.requires_grad and torch.is_grad_enabled():
        return _with_time_gradients(problem, differentiate, y0, t, named)
    if not torch.is_grad_enabled() or differentiate is backprop or is_transformed():
        return backprop(problem, y0, func(start, y0))
    before = RandomState(problem.clock.device)
    slope = func(start, y0.detach())
    if RandomState(problem.clock.device) != before:
        problem.plan.random = before
    problem.parameters = parameters_of(func.func, named, slope)
    slope = slope.detach()
    if not problem.parameters and not y0.requires_grad:
        with torch.no_grad():
            return backprop(problem, y0, slope)
    return differentiate(problem, y0, slope)


def _with_time_gradients(problem: Problem, differentiate, y0: Tensor, t: Tensor, named) -> list[Tensor]:
    """The outputs, with the flow's derivatives ∂y(tᵢ)/∂tᵢ = f(tᵢ, yᵢ) and ∂y/∂t₀ = −∂y/∂y₀ f(t₀, y₀) attached."""
    func, clock = problem.func, problem.clock

    def attach(y: Tensor, i: int, sign: float) -> Tensor:
        shift = (t[i] - t[i].detach()).to(y)
        return y + sign * shift * func(clock.instant(problem.times[i]), y)

    outputs = differentiably(problem, differentiate, attach(y0, 0, -1.0), t.detach(), named)
    return [attach(y, i, 1.0) for i, y in enumerate(outputs, start=1)]
