"""Accepted steps taken again, which the exact gradients share: one at a time, or all as their second derivative."""

from __future__ import annotations

import torch
from torch import Tensor

from .._derivative.vjp import vector_jacobian
from .._methods.stages import differentiable
from .._steps.problem import Problem


class StepGraph:
    """A step's graph, which begins with the step.

    Attributes:
        y, carry: leaves, what the step is taken from.
        step, outputs: its result, and the solution at the output times within it.
    """

    def __init__(self, problem: Problem, accepted, y: Tensor, carry: tuple[Tensor, ...] | None, final: bool):
        self.y = y.detach().requires_grad_()
        self.carry = None if carry is None else tuple(x.detach().requires_grad_() for x in carry)
        with torch.enable_grad(), differentiable(times=1):
            self.step, self.outputs = problem.repeat(accepted, self.y, self.carry, final)

    def pullback(self, parameters, incoming, adjoint, adjoint_carry):
        """The gradients of y, of the carry and of the parameters from those of the outputs, the result and its carry.

        Args:
            incoming: of the outputs.
            adjoint, adjoint_carry: of the result, and of what it carried on.
        """
        inputs = [self.y, *(self.carry or ()), *parameters]
        incoming = [*incoming, adjoint, *adjoint_carry]
        found = vector_jacobian([*self.outputs, self.step.y1, *self.step.carry], inputs, incoming)
        count = 1 + len(self.carry or ())
        return found[0], found[1:count], found[count:]


def differentiable_gradient(problem: Problem, steps, restarts, y: Tensor, carry, gradients):
    """The exact gradient as a differentiable function: all steps again, under autograd, from their beginning.

    Args:
        steps: the accepted steps; restarts: indices of those that began without a carry.
        y, carry: what the first of them is taken from; carry is empty where it began without one.
        gradients: of the outputs.

    Returns:
        The gradients of y, of the carry and of the problem's parameters; and the state at the end.
    """
    # They may also be parameters, or among the derivative's arguments.
    start, start_carry = y.view_as(y), [x.view_as(x) for x in carry]
    y, carry, outputs = start, start_carry, []
    for index, accepted in enumerate(steps):
        final = index == len(steps) - 1
        step, inside = problem.repeat(accepted, y, None if index in restarts else carry, final)
        y, carry = step.y1, step.carry
        outputs += inside
    inputs = [start, *start_carry, *problem.record.parameters]
    return vector_jacobian(outputs, inputs, gradients, create_graph=True), y
