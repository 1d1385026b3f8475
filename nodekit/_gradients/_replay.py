"""The solve taken again whole, which the exact gradients share as their second derivative."""

from __future__ import annotations

from torch import Tensor

from .._methods.stages import differentiable
from .._problem import Problem
from .._vjp import vector_jacobian


def differentiable_gradient(problem: Problem, steps, restarts, y0: Tensor, gradients) -> tuple[Tensor | None, ...]:
    """The exact gradient as a differentiable function: all steps again, under autograd, from the initial state.

    Args:
        steps: the accepted steps; restarts: indices of those that began without a carry.
        gradients: of the outputs.

    Returns:
        The gradients of y0 and of the problem's parameters.
    """
    start = y0.view_as(y0)  # y0 may also be a parameter, or among the derivative's arguments
    y, carry, outputs = start, None, []
    for index, accepted in enumerate(steps):
        final = index == len(steps) - 1
        with differentiable(times=2):
            step, inside = problem.repeat(accepted, y, None if index in restarts else carry, final)
        y, carry = step.y1, step.carry
        outputs += inside
    return vector_jacobian(outputs, [start, *problem.parameters], gradients, create_graph=True)
