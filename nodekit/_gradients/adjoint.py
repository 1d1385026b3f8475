"""gradient="adjoint": the continuous adjoint of Chen et al. 2018, solved backwards together with the state."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .._context import RandomState, without_none
from .._loops import Stats
from .._problem import Problem
from .._vjp import GradientSum, vector_jacobian
from .._warning import warn

#: Gauss–Legendre points and weights on [0, 1], for methods whose steps are no weighted sum of slopes
_GAUSS = ((0.5 - 0.15**0.5, 5 / 18), (0.5, 8 / 18), (0.5 + 0.15**0.5, 5 / 18))


def slope_and_vjp(problem: Problem, t: Tensor, z: Tensor, a: Tensor) -> tuple[Tensor, Tensor, list]:
    """f(t, z), −aᵀ ∂f/∂z and the parameters' integrand aᵀ ∂f/∂θ, from one vector–Jacobian product."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        slope = problem.func(t, z)
        if not slope.requires_grad:
            return slope, torch.zeros_like(a), [None] * len(problem.parameters)
        vjp, *parameters = vector_jacobian([slope], [z, *problem.parameters], [a])
    return slope.detach(), torch.zeros_like(a) if vjp is None else vjp.neg(), parameters


class AugmentedDerivative:
    """The derivative of (z, a) stacked: z' = f(t, z), a' = −aᵀ ∂f/∂z.

    The parameters' integrand rides on the returned tensor as `parameter_vjp`; the accepted step's own quadrature sums
    it, so it is neither part of the state nor of any error norm.
    """

    def __init__(self, problem: Problem):
        self.problem = problem

    def begin(self, z: Tensor, a: Tensor) -> Tensor:
        """The solver's state."""
        return torch.stack([z, a])

    def adjoint(self, state: Tensor) -> Tensor:
        """a, of the solver's state."""
        return state[1]

    def parts(self, state: Tensor) -> tuple[Tensor, ...]:
        """z and a, which differ in size."""
        return state.unbind()

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        slope, vjp, parameters = slope_and_vjp(self.problem, t, *state.unbind())
        out = torch.stack([slope, vjp])
        out.parameter_vjp = parameters
        return out


class _Adjoint(Function):
    @staticmethod
    def forward(ctx, problem: Problem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        with problem.surroundings.forward(), noticing_randomness(problem):
            outputs = problem.integrate(y0, slope)
        ctx.problem, ctx.reached = problem, reached(problem, outputs)
        ctx.save_for_backward(*outputs, *parameters)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        outputs = ctx.saved_tensors[: ctx.reached]
        found = solve_backwards(ctx.problem, AugmentedDerivative(ctx.problem), outputs, gradients)
        return None, None, *found


def reached(problem: Problem, outputs) -> int:
    """How many of the outputs come before the failure of a solve, from where there is no way back."""
    count = len(outputs)
    while problem.failure is not None and count and outputs[count - 1].isnan().all():
        count -= 1
    return count


def solve_backwards(problem: Problem, derivative, outputs, gradients) -> tuple[Tensor | None, ...]:
    """From the last output reached to the first: at each, z is the stored output and a takes up its gradient.

    The step size is carried across the output times.
    """
    if not outputs:
        return (None,) * (1 + len(problem.parameters))
    backward, times = problem.adjoint, problem.times
    totals = GradientSum(len(problem.parameters))
    a, plan = torch.zeros_like(outputs[-1]), None
    with problem.differentiation():
        for i in range(len(outputs), 0, -1):
            if gradients[i - 1] is not None:
                a = a + gradients[i - 1]
            span = [times[i], times[i - 1]]
            plan = backward.plan(span, plan, problem.parameters)
            state = derivative.begin(outputs[i - 1], a)
            slope = derivative(backward.clock.instant(span[0]), state)
            steps = plan.steps(derivative, backward.stepper, backward.clock, span, state, slope, Stats())
            for accepted in steps:
                for parameters, weight in _quadrature(derivative, backward, accepted):
                    totals.add(parameters, -accepted.interval.dt * weight)
                state = accepted.step.y1
            a = derivative.adjoint(state)
    return a, *without_none(totals.values, problem.parameters)  # zeros for unused ones, as in torchdiffeq


def _quadrature(derivative, backward, accepted):
    """(integrand, weight) pairs of the parameters' gradient over a step: the step's own, at no further evaluation."""
    step = accepted.step
    if step.weights is not None and all(hasattr(step.slopes[i], "parameter_vjp") for i, _ in step.weights):
        return [(step.slopes[i].parameter_vjp, weight) for i, weight in step.weights]
    interval = accepted.interval
    backward.stepper.extend(derivative, interval, accepted.y, accepted.carry or (), step)
    states = backward.stepper.interpolate(interval, accepted.y, step, [theta for theta, _ in _GAUSS])
    moments = [backward.clock.instant(interval.t0 + theta * interval.dt) for theta, _ in _GAUSS]
    values = (derivative(moment, state).parameter_vjp for moment, state in zip(moments, states, strict=True))
    return zip(values, (weight for _, weight in _GAUSS), strict=True)


@contextlib.contextmanager
def noticing_randomness(problem: Problem):
    """Around the solve: warns of a derivative that draws in it, for then its adjoint is not that of what was solved.

    What is drawn at the start alone, before the solve proper, is kept by the derivative, as FFJORD keeps its noise.
    """
    before = RandomState(problem.clock.device)
    yield
    if RandomState(problem.clock.device) != before:
        warn(
            "the derivative draws random numbers (dropout?) anew at each evaluation: a continuous adjoint "
            "differentiates other draws than the solve's; gradient='checkpoint' replays them"
        )


def adjoint(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The gradient of the continuous problem, with the solver's error; memory does not grow with the steps."""
    return list(_Adjoint.apply(problem, slope, y0, *problem.parameters))
