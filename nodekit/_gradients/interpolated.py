"""gradient="interpolated": the continuous adjoint along the stored dense output of the forward solve."""

from __future__ import annotations

import itertools
from dataclasses import replace

from torch import Tensor
from torch.autograd import Function

from .._derivative.vjp import is_nothing, once
from .._steps.clock import Clock
from .._steps.dense import DenseOutput
from .._steps.problem import Problem
from ._unchanged import Watched
from .adjoint import noticing_randomness, reached, slope_and_vjp, solve_backwards


class PairedClock(Clock):
    """A clock whose times are pairs (float, tensor): interpolation needs the number, the derivative the tensor."""

    def instant(self, t):
        return t, super().instant(t)

    def interval(self, t0, t1, *, open_start=False, open_end=False):
        interval = super().interval(t0, t1, open_start=open_start, open_end=open_end)
        numbers = [c * t1 + (1 - c) * t0 for c in self.nodes]
        interval.times = list(zip(numbers, interval.times, strict=True))
        return interval

    def grid(self, points, *, open_ends=False):
        pairs = itertools.pairwise(points)
        return [self.interval(a, b, open_start=open_ends, open_end=open_ends) for a, b in pairs]


class InterpolatedDerivative:
    """a' = −aᵀ ∂f/∂z at z(t) from the dense output; the parameters' integrand rides on the result."""

    def __init__(self, problem: Problem, dense: DenseOutput):
        self.problem, self.dense = problem, dense

    def begin(self, z: Tensor, a: Tensor) -> Tensor:
        """The solver's state."""
        return a

    def adjoint(self, state: Tensor) -> Tensor:
        """a, of the solver's state."""
        return state

    def __call__(self, moment: tuple[float, Tensor], a: Tensor) -> Tensor:
        number, t = moment
        _, vjp, parameters = slope_and_vjp(self.problem, t, self.dense(number), a)
        vjp.parameter_vjp = parameters
        return vjp


class _Interpolated(Function):
    @staticmethod
    def forward(ctx, problem: Problem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        ctx.problem, ctx.dense = problem, DenseOutput(problem)
        ctx.watched = Watched(problem, y0, slope)
        with problem.surroundings.forward(), noticing_randomness(problem):
            outputs = problem.integrate(y0.clone(), slope, ctx.dense.keep)
        ctx.watched.over(problem)
        ctx.reached = reached(problem, outputs)
        ctx.save_for_backward(y0, *parameters)
        # The outputs proper must be other objects than the stored steps, lest they keep each other alive.
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(ctx, *gradients):
        if is_nothing(gradients):
            return (None,) * len(ctx.needs_input_grad)
        problem, derivative = ctx.problem, InterpolatedDerivative(ctx.problem, ctx.dense)
        differentiated = ctx.saved_tensors  # notices parameters changed in place since

        def found(gradients):
            outputs = [ctx.dense(t) for t in problem.reached[1 : 1 + ctx.reached]]
            ctx.watched.insist(problem, outputs)
            return solve_backwards(problem, derivative, outputs, gradients)

        return None, None, *once(found, gradients, differentiated, "interpolated")


def interpolated(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The gradient of the continuous problem, with the solver's error, in cheaper implicit steps than "adjoint".

    The backward solve has a alone as its state, and z from the forward solve (Kim et al. 2021, stiff neural ODEs, call
    it the interpolating adjoint; SciML's InterpolatingAdjoint). Memory grows with the steps.
    """
    problem = replace(problem, dense=True)
    return list(_Interpolated.apply(problem, slope, y0, *problem.record.parameters))
