"""gradient="reversible": the exact gradient at constant memory, each state reconstructed from the one after it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from .._derivative.vjp import GradientSum, is_nothing, vector_jacobian
from .._steps.loops import Accepted
from .._steps.problem import Problem
from ..errors import UnsupportedCombination
from ._replay import StepGraph, differentiable_gradient
from ._unchanged import Comparison


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
            ctx.steps.append(accepted.without_tensors())
            last = accepted.step
            if accepted.outputs:
                reached = len(ctx.steps), len(ctx.carries), last

        with problem.surroundings.forward():
            outputs = problem.integrate(y0, slope, keep)
        ctx.problem, ctx.slope = problem, slope
        if problem.record.failure is not None:  # the steps behind the last output may be too steep to be undone
            steps, carries, last = reached
            del ctx.steps[steps:], ctx.carries[carries:]
        ctx.carries.append(() if last is None else last.carry)
        end = y0 if last is None else last.y1
        ctx.save_for_backward(y0, end, *(x for carry in ctx.carries for x in carry), *parameters)
        ctx.carries = [len(carry) for carry in ctx.carries]
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *gradients):
        if is_nothing(gradients):
            return (None,) * len(ctx.needs_input_grad)
        problem, saved = ctx.problem, ctx.saved_tensors
        with problem.differentiation():
            if torch.is_grad_enabled():
                y0, end, *_ = saved
                found, again = differentiable_gradient(problem, ctx.steps, ctx.restarts, y0, (), gradients)
                same = Comparison(problem.surroundings.autocast_dtype)
                same.add(again, end)
                same.insist()
            else:
                found = _backwards(ctx, saved, gradients)
        return None, None, *found


def _backwards(ctx, saved, gradients):
    """From the end: undo a step and take its vector–Jacobian product, until the start."""
    problem, steps = ctx.problem, ctx.steps
    stepper, func, parameters = problem.stepper, problem.func, problem.record.parameters
    y0, y, *saved = (x.detach() for x in saved)
    lengths = list(ctx.carries)
    carries = [[saved.pop(0) for _ in range(length)] for length in lengths]
    totals, end = GradientSum(len(parameters)), y
    output = sum(step.outputs for step in steps)
    carry, adjoint, adjoint_carry = carries.pop(), None, None
    for index in range(len(steps) - 1, -1, -1):
        accepted = steps[index]
        output -= accepted.outputs
        mine = gradients[output : output + accepted.outputs]
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
            adjoint, found, slope = _through_beginning(problem, accepted, y, adjoint, adjoint_carry)
            totals.add(found)
            carry, adjoint_carry = carries.pop() if carries else (), None
    if steps:
        _insist_on_the_start(ctx, y0, end, y, slope)
    return adjoint, *totals.values


def _insist_on_the_start(ctx, y0: Tensor, end: Tensor, y: Tensor, slope: Tensor) -> None:
    """The way back must have come to where the way there began, and to the same slope.

    Raises:
        DerivativeChanged: it has not: the derivative is another, or the steps cannot be undone in this precision.
    """
    problem = ctx.problem
    # Rounding errors of the way back are those of the largest state on it, also where it began with zeros.
    slack = torch.finfo(y0.dtype).eps ** 0.5 * torch.maximum(y0.abs(), end.abs()).max() if y0.numel() else 0.0
    same = Comparison(problem.surroundings.autocast_dtype)
    same.add(y, y0, slack)
    same.add(slope, ctx.slope, slack / abs(problem.reached[-1] - problem.reached[0]))
    same.insist(
        "the way back does not end where the forward pass began: either the derivative is not what it was, or the "
        f"rounding errors of {problem.record.stats.accepted} undone steps have grown too large in {y0.dtype}",
        remedy="Pass what changes from call to call as args; take fewer steps, or compute in float64; or do "
        "not undo the steps: gradient='checkpoint' or 'backprop'",
    )


def _with_outputs(problem: Problem, accepted, y1, carry, inside, adjoint, adjoint_carry):
    """A step with outputs inside: undone first, then taken again under autograd."""
    y, carry = problem.stepper.reverse(problem.func, accepted.interval, y1, carry)
    graph = StepGraph(problem, accepted, y, carry, final=False)
    incoming = [*inside, *[None] * accepted.lands]  # of an output at the end, the adjoint has it already
    *at_start, found = graph.pullback(problem.record.parameters, incoming, adjoint, adjoint_carry)
    at_y, *at_carry = (
        torch.zeros_like(x) if g is None else g for x, g in zip((y, *carry), (at_start[0], *at_start[1]), strict=True)
    )
    return y.detach(), [x.detach() for x in carry], at_y, at_carry, found


def _through_beginning(problem: Problem, accepted, y, adjoint, adjoint_carry):
    """Through the carry's own beginning: it was made from the state and the slope there."""
    y = y.detach().requires_grad_()
    with torch.enable_grad():
        slope = problem.func(accepted.interval.times[0], y)
        carry = problem.stepper.begin(y, slope)
    found = vector_jacobian(carry, [y, *problem.record.parameters], adjoint_carry)
    return adjoint if found[0] is None else adjoint + found[0], found[1:], slope


def reversible(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """Backprop's gradient to rounding, at a memory that does not grow with the steps (for reversible methods)."""
    if problem.record.random is not None:
        raise UnsupportedCombination(
            "the derivative draws random numbers (dropout?), which cannot be undone in reverse",
            remedy="Use gradient='checkpoint'",
        )
    return list(_Reversible.apply(problem, slope, y0, *problem.record.parameters))
