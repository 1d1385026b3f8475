"""Algebraically reversible methods: the state at a step's start follows from its end, to rounding.

Each provides, beside `step`, the pair (reverse, reverse_vjp): undo a step, and undo it while differentiating it, with
no more evaluations than the step itself takes.
"""

from __future__ import annotations

import torch

from .._derivative.vjp import vector_jacobian
from .._steps.clock import Interval
from .._steps.stepper import Step, Stepper
from .ranges import within
from .runge_kutta import ExplicitRungeKutta
from .tableau import ButcherTableau


def plus(a, b):
    """a + b, where None is zero."""
    return b if a is None else a if b is None else a + b


class AsynchronousLeapfrog(Stepper):
    """ALF (Mutze 2013; Zhuang et al. 2021, MALI): order 2, one evaluation a step, the velocity carried beside y.

    Args:
        damping: η in (0.5, 1]; below one the velocity is pulled to the slope, which damps its oscillation.
    """

    nodes = (0.5,)
    reversible = True

    def __init__(self, damping: float = 1.0):
        self.pull = 2 * within("damping", damping, lambda x: 0.5 < x <= 1, "in (0.5, 1]")

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """Half a step with the old velocity, a slope there, half a step with the velocity reflected in the slope."""
        (v,), dt = carry, interval.dt
        slope = func(interval.times[1], torch.add(y, v, alpha=dt / 2))
        v1 = torch.add(v * (1 - self.pull), slope, alpha=self.pull)
        y1 = torch.add(y, v + v1, alpha=dt / 2)
        return Step(y1, (v1,), slopes=[slope], weights=[(0, 1.0)])

    def reverse(self, func, interval, y1, carry):
        """The state and velocity at the start."""
        middle = torch.sub(y1, carry[0], alpha=interval.dt / 2)
        return self._back(func(interval.times[1], middle), middle, carry[0], interval.dt)

    def _back(self, slope, middle, v1, dt):
        v = 2 * slope - v1 if self.pull == 2 else (v1 - self.pull * slope) / (1 - self.pull)
        return torch.sub(middle, v, alpha=dt / 2), (v,)

    def reverse_vjp(self, func, interval, y1, carry, gradient, carry_gradient, parameters):
        """The state and velocity at the start, and the gradients there: (y, carry, ȳ, carry̅, parameters̅)."""
        dt, pull, (v1,) = interval.dt, self.pull, carry
        middle = torch.sub(y1, v1, alpha=dt / 2).detach().requires_grad_()
        with torch.enable_grad():
            slope = func(interval.times[1], middle)
        y, carry = self._back(slope.detach(), middle.detach(), v1, dt)
        at_v1 = torch.add(carry_gradient[0], gradient, alpha=dt / 2)
        at_middle, *found = vector_jacobian([slope], [middle, *parameters], [pull * at_v1])
        at_y = plus(gradient, at_middle)
        at_v = torch.add((1 - pull) * at_v1, at_y, alpha=dt / 2)
        return y, carry, at_y, (at_v,), found


class ReversibleRungeKutta(Stepper):
    """Any explicit method made reversible by a second state z coupled to y (McCallum & Foster 2024, arXiv:2410.11648).

    y₁ = λ y₀ + (1 − λ) z₀ + Ψ(z₀), z₁ = z₀ − Ψ⁻(y₁), where Ψ is the base method's increment over the step and Ψ⁻ that
    from its end back to its start. The order and the error estimate are the base method's.

    Args:
        tableau: the base method.
        coupling: λ in (0, 1).
        interp: as for the base method.
    """

    reversible = True

    def __init__(self, tableau: ButcherTableau, coupling: float = 0.999, interp: str = "dense"):
        self.base = ExplicitRungeKutta(tableau, interp)
        self.coupling = within("coupling", coupling, lambda x: 0 < x < 1, "in (0, 1)")
        self.error_exponent, self.first_part = self.base.error_exponent, self.base.first_part
        self.nodes = (*self.base.nodes, *(1 - c for c in self.base.nodes))

    def _both_ways(self, interval: Interval) -> tuple[Interval, Interval]:
        count, times = 1 + len(self.base.nodes), interval.times
        there = Interval(interval.t0, interval.t1, [*times[:count], times[-1]])
        back = Interval(interval.t1, interval.t0, [times[-1], *times[count:-1], times[0]])
        return there, back

    def _move(self, func, interval, y, estimate=False):
        return self.base.step(func, interval, y, (), estimate=estimate, final=True)

    def begin(self, y, slope):
        """Both states start as one."""
        return (y,)

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """One step of both states."""
        (z,) = carry
        there, back = self._both_ways(interval)
        base = self._move(func, there, z, estimate)
        y1 = torch.add(base.y1, y - z, alpha=self.coupling)
        z1 = z + y1 - self._move(func, back, y1).y1
        step = Step(y1, (z1,), base.error, base.error_third, base.slopes, base.weights, base.error_weights)
        step.kept = base, z
        return step

    def extend(self, func, interval, y, carry, step):
        """What the base method's dense output needs."""
        base, z = step.kept
        self.base.extend(func, self._both_ways(interval)[0], z, (), base)

    def interpolate(self, interval, y, step, thetas):
        """The base method's dense output from z, moved to join y₀ and y₁."""
        base, z = step.kept
        inside = self.base.interpolate(interval, z, base, thetas)
        apart, slack = y - z, 1 - self.coupling
        return [torch.add(x, apart, alpha=1 - slack * theta) for x, theta in zip(inside, thetas, strict=True)]

    def reverse(self, func, interval, y1, carry):
        """Both states at the start."""
        there, back = self._both_ways(interval)
        z = carry[0] - y1 + self._move(func, back, y1).y1
        return z + (y1 - self._move(func, there, z).y1) / self.coupling, (z,)

    def reverse_vjp(self, func, interval, y1, carry, gradient, carry_gradient, parameters):
        """Both states at the start, and the gradients there: (y, carry, ȳ, carry̅, parameters̅)."""
        there, back = self._both_ways(interval)
        y1 = y1.detach().requires_grad_()
        with torch.enable_grad():
            returned = self._move(func, back, y1).y1
        (at_z1,) = carry_gradient
        through_y1, *first = vector_jacobian([returned], [y1, *parameters], [-at_z1])
        at_y1 = plus(gradient + at_z1, through_y1)
        z = (carry[0] - y1.detach() + returned.detach()).requires_grad_()
        with torch.enable_grad():
            moved = self._move(func, there, z).y1
        through_z, *second = vector_jacobian([moved], [z, *parameters], [at_y1])
        y = z.detach() + (y1.detach() - moved.detach()) / self.coupling
        at_z = plus(torch.sub(at_z1, at_y1, alpha=self.coupling), through_z)
        found = [plus(a, b) for a, b in zip(first, second, strict=True)]
        return y, (z.detach(),), self.coupling * at_y1, (at_z,), found
