"""gradient="reversible": the exact gradient at constant memory, each state reconstructed from the one after it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from .._loops import Accepted
from .._problem import Problem
from .._vjp import GradientSum, vector_jacobian
from ..errors import UnsupportedCombination
from ._replay import differentiable_gradient


class _Reversible(Function):
    @staticmethod
    def forward(ctx, problem: Problem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        ctx.steps, ctx.restarts, ctx.carries = [], set(), []
        last, reached = None, (0, 0, None)

        def keep(accepted: Accepted) -> None:
            nonlocal last, reached
            if accepted.carry is None:
                ctx.restarts.add(len(ctx.steps))
                if last is not None:
                    ctx.carries.append(last.carry)  # a jump forgets it, the way back needs it
            kept = Accepted(accepted.interval, None, None, None, accepted.thetas, accepted.lands)
            ctx.steps.append(kept)
            last = accepted.step
            if accepted.thetas or accepted.lands:
                reached = len(ctx.steps), len(ctx.carries), last

        with problem.surroundings.forward():
            outputs = problem.integrate(y0, slope, keep)
        ctx.problem = problem
        if problem.failure is not None:  # the steps behind the last output may be too steep to be undone
            steps, carries, last = reached
            del ctx.steps[steps:], ctx.carries[carries:]
        ctx.carries.append(() if last is None else last.carry)
        end = y0 if last is None else last.y1
        ctx.save_for_backward(y0, end, *(x for carry in ctx.carries for x in carry), *parameters)
        ctx.carries = [len(carry) for carry in ctx.carries]
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *gradients):
        problem = ctx.problem
        with problem.differentiation():
            if torch.is_grad_enabled():
                found = differentiable_gradient(problem, ctx.steps, ctx.restarts, ctx.saved_tensors[0], gradients)
            else:
                found = _backwards(ctx, gradients)
        return None, None, *found


def _backwards(ctx, gradients):
    """From the end: undo a step and take its vector–Jacobian product, until the start."""
    problem, steps = ctx.problem, ctx.steps
    stepper, func, parameters = problem.stepper, problem.func, problem.parameters
    _, y, *saved = (x.detach() for x in ctx.saved_tensors)
    lengths = list(ctx.carries)
    carries = [[saved.pop(0) for _ in range(length)] for length in lengths]
    totals = GradientSum(len(parameters))
    output = sum(len(step.thetas) + step.lands for step in steps)
    carry, adjoint, adjoint_carry = carries.pop(), None, None
    for index in range(len(steps) - 1, -1, -1):
        accepted = steps[index]
        output -= len(accepted.thetas) + accepted.lands
        mine = gradients[output : output + len(accepted.thetas) + accepted.lands]
        if accepted.lands and mine[-1] is not None:
            adjoint = mine[-1] if adjoint is None else adjoint + mine[-1]
        inside = mine[: len(accepted.thetas)]
        adjoint = torch.zeros_like(y) if adjoint is None else adjoint
        adjoint_carry = [torch.zeros_like(x) for x in carry] if adjoint_carry is None else adjoint_carry
        if any(gradient is not None for gradient in inside):
            y, carry, adjoint, adjoint_carry, found = _with_outputs(
                problem, accepted, y, carry, inside, adjoint, adjoint_carry
            )
        else:
            y, carry, adjoint, adjoint_carry, found = stepper.reverse_vjp(
                func, accepted.interval, y, carry, adjoint, adjoint_carry, parameters
            )
        totals.add(found)
        if index in ctx.restarts:
            adjoint, found = _through_beginning(problem, accepted, y, adjoint, adjoint_carry)
            totals.add(found)
            carry, adjoint_carry = carries.pop() if carries else (), None
    return adjoint, *totals.values


def _with_outputs(problem: Problem, accepted, y1, carry, inside, adjoint, adjoint_carry):
    """A step with outputs inside: undone first, then taken again under autograd."""
    y, carry = problem.stepper.reverse(problem.func, accepted.interval, y1, carry)
    y, carry = y.detach().requires_grad_(), [x.detach().requires_grad_() for x in carry]
    with torch.enable_grad():
        step, outputs = problem.repeat(accepted, y, carry, final=False)
    outputs = outputs[: len(accepted.thetas)]
    incoming = [*inside, adjoint, *adjoint_carry]
    found = vector_jacobian([*outputs, step.y1, *step.carry], [y, *carry, *problem.parameters], incoming)
    adjoint, *rest = found
    adjoint = torch.zeros_like(y) if adjoint is None else adjoint
    count = len(carry)
    at_carry = [torch.zeros_like(x) if g is None else g for x, g in zip(carry, rest[:count], strict=True)]
    return y.detach(), [x.detach() for x in carry], adjoint, at_carry, rest[count:]


def _through_beginning(problem: Problem, accepted, y, adjoint, adjoint_carry):
    """Through the carry's own beginning: it was made from the state and the slope there."""
    y = y.detach().requires_grad_()
    with torch.enable_grad():
        carry = problem.stepper.begin(y, problem.func(accepted.interval.times[0], y))
    found = vector_jacobian(carry, [y, *problem.parameters], adjoint_carry)
    return adjoint if found[0] is None else adjoint + found[0], found[1:]


def reversible(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """Backprop's gradient to rounding, at a memory that does not grow with the steps (for reversible methods)."""
    if not problem.stepper.reversible:
        raise UnsupportedCombination(
            "gradient='reversible' needs a reversible method",
            remedy="Choose 'alf', 'reversible_dopri5' or another whose name begins with reversible_",
        )
    if problem.plan.random is not None:
        raise UnsupportedCombination(
            "the derivative draws random numbers (dropout?), which cannot be undone in reverse",
            remedy="Use gradient='checkpoint'",
        )
    return list(_Reversible.apply(problem, slope, y0, *problem.parameters))
