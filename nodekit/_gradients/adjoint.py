"""gradient="adjoint": the continuous adjoint of Chen et al. 2018, solved backwards together with the state."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._loops import Stats
from .._problem import Problem
from ._sums import GradientSum


class AugmentedDerivative:
    """The derivative of (z, a) stacked: z' = f(t, z), a' = −aᵀ ∂f/∂z.

    The parameters' integrand aᵀ ∂f/∂θ comes out of the same vector–Jacobian product. It rides on the returned tensor
    as `parameter_vjp`; the accepted step's own quadrature sums it, so it is neither state nor part of any error norm.
    """

    def __init__(self, problem: Problem):
        self.func, self.parameters = problem.func, problem.parameters

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        z, a = state.unbind()
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            slope = self.func(t, z)
            inputs = [z, *self.parameters]
            if slope.requires_grad:
                vjp, *parameter_vjp = torch.autograd.grad(slope, inputs, a, allow_unused=True, retain_graph=True)
            else:
                vjp, parameter_vjp = None, [None] * len(self.parameters)
        out = torch.stack([slope.detach(), torch.zeros_like(a) if vjp is None else vjp.neg()])
        out.parameter_vjp = parameter_vjp
        return out


class _Adjoint(Function):
    @staticmethod
    def forward(ctx, problem: Problem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        with problem.surroundings.forward():
            outputs = problem.integrate(y0, slope)
        ctx.problem = problem
        ctx.save_for_backward(*outputs, *parameters)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        problem = ctx.problem
        outputs = ctx.saved_tensors[: len(gradients)]
        before = problem.func.evaluations
        with problem.surroundings.again():
            found = _solve_backwards(problem, outputs, gradients)
        problem.stats.nfe_backward = problem.func.evaluations - before
        return None, None, *found


def _solve_backwards(problem: Problem, outputs, gradients):
    """From the last output time to the first: at each, z is the stored output and a takes up its gradient."""
    backward, times = problem.adjoint, problem.times
    func, totals, stats = AugmentedDerivative(problem), GradientSum(len(problem.parameters)), Stats()
    a = torch.zeros_like(outputs[-1])
    plan = None
    for i in range(len(outputs), 0, -1):
        if gradients[i - 1] is not None:
            a = a + gradients[i - 1]
        span = [times[i], times[i - 1]]
        plan = backward.plan(span, plan)
        state = torch.stack([outputs[i - 1], a])
        slope = func(backward.clock.instant(span[0]), state)
        for accepted in plan.steps(func, backward.stepper, backward.clock, span, state, slope, stats):
            step = accepted.step
            for index, weight in step.weights:
                totals.add(step.slopes[index].parameter_vjp, -accepted.interval.dt * weight)
            state = step.y1
        a = state[1]
    return a, *totals.values


def adjoint(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The gradient of the continuous problem, with the solver's error; memory does not grow with the steps."""
    return list(_Adjoint.apply(problem, slope, y0, *problem.parameters))
