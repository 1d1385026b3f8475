"""gradient="adjoint": the continuous adjoint of Chen et al. 2018, solved backwards together with the state."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function

from .._derivative.context import RandomState
from .._derivative.vjp import is_nothing, once, vector_jacobian
from .._steps.chosen import Chosen
from .._steps.clock import SampleClock
from .._steps.loops import Accepted
from .._steps.problem import Problem
from .._steps.stepper import Weights
from .._warning import warn
from ._backward import failing_as_gradient, zeros_for_own
from ._parameter_integral import ParameterIntegral, weighted
from ._sample_adjoint import solve_samples_backwards
from ._unchanged import Watched

#: Gauss–Legendre points and weights on [0, 1], for methods whose steps are no weighted sum of slopes
_GAUSS = ((0.5 - 0.15**0.5, 5 / 18), (0.5, 8 / 18), (0.5 + 0.15**0.5, 5 / 18))


def slope_and_vjp(problem: Problem, t: Tensor, z: Tensor, a: Tensor) -> tuple[Tensor, Tensor, list]:
    """f(t, z), −aᵀ ∂f/∂z and the parameters' integrand aᵀ ∂f/∂θ, from one vector–Jacobian product."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        slope = problem.func(t, z)
        if not slope.requires_grad:
            return slope, torch.zeros_like(a), [None] * len(problem.record.parameters)
        vjp, *parameters = vector_jacobian([slope], [z, *problem.record.parameters], [a])
    # Of y' = y + … the product is a itself, which may have a graph of its own (while an implicit step is linearised).
    return slope.detach(), torch.zeros_like(a) if vjp is None else vjp.detach().neg(), parameters


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
        ctx.watched = Watched(problem, y0, slope)
        with problem.surroundings.forward(), noticing_randomness(problem):
            outputs = problem.integrate(y0, slope)
        ctx.watched.over(problem)
        ctx.problem, ctx.reached = problem, reached(problem, outputs)
        ctx.save_for_backward(*outputs, y0, *parameters)
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *gradients):
        if is_nothing(gradients):
            return (None,) * len(ctx.needs_input_grad)
        saved = ctx.saved_tensors
        outputs, differentiated = saved[: len(gradients)], saved[len(gradients) :]

        def found(gradients):
            ctx.watched.insist(ctx.problem, outputs)
            if isinstance(ctx.problem.clock, SampleClock):
                return solve_samples_backwards(ctx.problem, outputs, gradients, differentiated[0])
            return solve_backwards(ctx.problem, AugmentedDerivative(ctx.problem), outputs[: ctx.reached], gradients)

        return None, None, *once(found, gradients, differentiated, "adjoint")


def reached(problem: Problem, outputs) -> int:
    """How many of the outputs come before the failure of a solve, from where there is no way back."""
    count = len(outputs)
    while problem.record.failure is not None and count and outputs[count - 1].isnan().all():
        count -= 1
    return count


@failing_as_gradient()
def solve_backwards(problem: Problem, derivative, outputs, gradients) -> tuple[Tensor | None, ...]:
    """From the last output reached to the first: at each, z is the stored output and a takes up its gradient.

    The step size is carried across the output times.
    """
    if not outputs:
        return (None,) * (1 + len(problem.record.parameters))
    times, count = problem.reached, len(problem.record.parameters)
    integral = ParameterIntegral(count, problem.record.random is not None)
    a, part = torch.zeros_like(outputs[-1]), None
    with problem.differentiation():
        for i in range(len(outputs), 0, -1):
            if gradients[i - 1] is not None:
                a = a + gradients[i - 1]
            part = problem.backward(problem, derivative, [times[i], times[i - 1]], part)
            state = derivative.begin(outputs[i - 1], a)
            for accepted in part.steps(state, derivative(part.start(), state)):
                _integrate(integral, part, accepted)
                state = accepted.step.y1
            a = derivative.adjoint(state)
    return a, *zeros_for_own(problem, integral.values)


def _integrate(integral: ParameterIntegral, backward: Problem, accepted: Accepted) -> None:
    """Add the parameters' gradient over a step: by the step's own weights, at no further evaluation, where they do."""
    derivative, stepper, clock, step = backward.func, backward.stepper, backward.clock, accepted.step
    interval, extended = accepted.interval, False
    judged = isinstance(backward.plan, Chosen) and step.error_weights is not None

    def at(theta: float) -> list[Tensor | None]:
        nonlocal extended
        if not extended:
            stepper.extend(derivative, interval, accepted.y, accepted.carry or (), step)
            extended = True
        (state,) = stepper.interpolate(interval, accepted.y, step, [theta])
        return derivative(clock.instant(interval.t0 + theta * interval.dt), state).parameter_vjp

    def of(weights: Weights) -> Sequence[Tensor | None]:
        return weighted(integral.count, ((step.slopes[i].parameter_vjp, weight) for i, weight in weights))

    # A node beyond the step lies beyond a jump at its end, where a fixed step's own weights would be wrong unnoticed.
    own = step.weights is not None and (judged or max(stepper.nodes, default=0.0) <= 1.0)
    if not (own and all(hasattr(step.slopes[i], "parameter_vjp") for i, _ in step.weights)):
        integral.add(-interval.dt, weighted(integral.count, ((at(theta), weight) for theta, weight in _GAUSS)))
    elif not judged:
        integral.add(-interval.dt, of(step.weights))
    else:
        error, tolerance = of(step.error_weights), backward.plan.tolerance
        integral.add_judged(-interval.dt, of(step.weights), error, tolerance, interval.t1, at)


@contextlib.contextmanager
def noticing_randomness(problem: Problem):
    """Around the solve: warns of a derivative that draws in it, for then its adjoint is not that of what was solved.

    What is drawn at the start alone, before the solve proper, is kept by the derivative, as FFJORD keeps its noise.
    """
    before = RandomState(problem.clock.device)
    yield
    if RandomState(problem.clock.device) == before:
        problem.record.random = None
    else:
        warn(
            "the derivative draws random numbers (dropout?) anew at each evaluation: a continuous adjoint "
            "differentiates other draws than the solve's; gradient='checkpoint' replays them"
        )


def adjoint(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The gradient of the continuous problem, with the solver's error; memory does not grow with the steps."""
    return list(_Adjoint.apply(problem, slope, y0, *problem.record.parameters))
