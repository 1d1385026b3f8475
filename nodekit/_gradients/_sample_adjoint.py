"""The continuous adjoint of independent samples: each is solved backwards in steps and over times of its own.

The parameters are all samples', and their gradient is one sum. Each sample adds to it the quadrature of its own steps:
a stage's vector–Jacobian product is taken once more, by the parameters alone and with each sample's adjoint times its
step's length and weight, when it is known which samples' steps are accepted; and again for the error of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .._derivative.samples import SoundDerivative, spread
from .._derivative.vjp import vector_jacobian
from .._steps.chosen_samples import ChosenSamples
from .._steps.control import host_values
from .._steps.problem import Problem
from .._steps.sample_steps import SampleSteps
from .._steps.stepper import Weights
from ._backward import failing_as_gradient, zeros_for_own
from ._parameter_integral import ParameterIntegral


class SampleAugmentedDerivative:
    """The derivative of (z, a) of every sample, shape (batch, 2, …): z' = f(t, z), a' = −aᵀ ∂f/∂z.

    f's value with its graph and a ride on the returned tensor as `integrand`, for the parameters' quadrature.
    """

    def __init__(self, problem: Problem):
        self.problem = problem

    @property
    def evaluations(self) -> int:
        """Of f."""
        return self.problem.func.evaluations

    def parts(self, state: Tensor) -> tuple[Tensor, ...]:
        """z and a, which differ in size."""
        return state.unbind(1)

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        z, a = state.unbind(1)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            slope = self.problem.func(t, z)
        (vjp,) = vector_jacobian([slope], [z], [a])
        out = torch.stack([slope.detach(), torch.zeros_like(a) if vjp is None else vjp.detach().neg()], 1)
        out.integrand = slope, a
        return out


@dataclass
class _Backwards:
    """The outputs of a solve in the order in which each sample comes to them on its way back.

    Attributes:
        times: shape (batch, outputs + 1): the times of the outputs that were reached, then the initial one again and
            again.
        outputs, gradients: shape (batch, outputs, …); zeros are the gradients of outputs that were not reached.
    """

    times: Tensor
    outputs: Tensor
    gradients: Tensor

    @classmethod
    def of(cls, problem: Problem, outputs, gradients, y0: Tensor) -> _Backwards:
        """From the outputs of a solve and their gradients; None is a gradient of zeros."""
        times, states = problem.plan.times, torch.stack(list(outputs), 1)
        first, at = times[:, :1], times[:, 1:]
        if problem.watch is not None:
            at = torch.cat([at, problem.watch.t.unsqueeze(1)], 1)
        incoming = torch.stack([torch.zeros_like(y0) if g is None else g for g in gradients], 1)
        missing = states.isnan()
        reached = ~(missing.flatten(2).all(2) if missing.ndim > 2 else missing)
        at, shape = torch.where(reached, at, first), (*at.shape, *[1] * (y0.ndim - 1))
        order = ((at - first).abs()).argsort(dim=1, descending=True)
        incoming = torch.where(reached.view(shape), incoming, 0.0)
        states = torch.where(reached.view(shape), states, y0.unsqueeze(1))
        index = order.view(shape).expand_as(states)
        return cls(torch.cat([at.gather(1, order), first], 1), states.gather(1, index), incoming.gather(1, index))

    def start(self) -> Tensor:
        """(z, a) where each sample's way back begins."""
        here = self.times[:, :-1] == self.times[:, :1]
        a = torch.where(here.view(*here.shape, *[1] * (self.gradients.ndim - 2)), self.gradients, 0.0).sum(1)
        return torch.stack([self.outputs[:, 0], a], 1)

    def landed(self, accepted: SampleSteps) -> Tensor:
        """(z, a) after a step: at an output, z is the output as it was, and a takes up its gradient."""
        state = accepted.step.y1
        if not accepted.lands:
            return state
        rows, columns = accepted.lands
        inside = columns < self.outputs.shape[1]  # the last is the initial time
        rows, columns = rows[inside], columns[inside]
        z, a = (x.clone() for x in state.unbind(1))
        z[rows] = self.outputs[rows, columns]
        return torch.stack([z, a.index_put_((rows,), self.gradients[rows, columns], accumulate=True)], 1)


@failing_as_gradient()
def solve_samples_backwards(problem: Problem, outputs, gradients, y0: Tensor) -> tuple[Tensor | None, ...]:
    """As `solve_backwards`, of every sample from the last output that it reached to its initial time."""
    parameters = problem.record.parameters
    way = _Backwards.of(problem, outputs, gradients, y0)
    derivative, state = SampleAugmentedDerivative(problem), way.start()
    integral = ParameterIntegral(len(parameters), problem.record.random is not None)
    with problem.differentiation():
        backward = problem.backward(problem, derivative, way.times)
        for accepted in backward.steps(state, derivative(backward.start(), state)):
            _integrate(integral, backward, accepted)
            accepted.step.y1 = state = way.landed(accepted)
    return state[:, 1], *zeros_for_own(problem, integral.values)


def _integrate(integral: ParameterIntegral, backward: Problem, accepted: SampleSteps) -> None:
    """Add the parameters' gradient over the steps of the samples that take one, by the steps' own weights."""
    interval, derivative, step, y = accepted.interval, backward.func, accepted.step, accepted.y
    stepper, clock, parameters = backward.stepper, backward.clock, derivative.problem.record.parameters
    judged = isinstance(backward.plan, ChosenSamples)
    if accepted.spoiled:  # a zero times what is not finite of other samples would not be zero
        derivative = SampleAugmentedDerivative(
            replace(derivative.problem, func=SoundDerivative(derivative.problem.func))
        )
        interval = backward.plan.remade(clock, interval)
        carry = stepper.begin(y, derivative(interval.times[0], y))
        step = stepper.step(derivative, interval, y, carry, estimate=False)
    lengths, stages = interval.t0 - interval.t1, len(step.slopes)
    longest = host_values(lengths.abs().max()) if judged else 1.0

    def of(terms: Sequence[tuple[Tensor, float]]) -> tuple[Tensor | None, ...]:
        """The parameters' part of the sum of weighted slopes, each sample's times the length of its step."""
        slopes, seeds = [], []
        for stage, weight in terms:
            slope, a = stage.integrand
            slopes.append(slope)
            seeds.append(a * spread((weight / longest * lengths).to(a.dtype), a))
        return vector_jacobian(slopes, parameters, seeds)

    def own(weights: Weights) -> tuple[Tensor | None, ...]:
        for i, _ in weights:
            if not hasattr(step.slopes[i], "integrand"):  # carried over, of some samples from further back
                step.slopes[i] = derivative(interval.times[0], y)
        return of([(step.slopes[i], weight) for i, weight in weights])

    def at(theta: float) -> tuple[Tensor | None, ...]:
        if len(step.slopes) == stages:
            stepper.extend(derivative, interval, y, accepted.carry or (), step)
        everywhere = torch.arange(len(y), device=y.device), torch.full_like(interval.t0, theta)
        state = stepper.at_fractions(y, step, interval.t1 - interval.t0, *everywhere)
        return of([(derivative(clock.instant(interval.t0 - theta * lengths), state), 1.0)])

    if judged:
        tolerance, t = backward.plan.tolerance, clock.shown(interval.t1)
        integral.add_judged(longest, own(step.weights), own(step.error_weights), tolerance, t, at)
    else:
        integral.add(1.0, own(step.weights))
