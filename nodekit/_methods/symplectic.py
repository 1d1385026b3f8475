"""Explicit symplectic steps of separable systems: the energy of a Hamiltonian system does not drift, however long."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from .._derivative.vjp import vector_jacobian
from .._steps.clock import Interval
from .._steps.numbers import host
from .._steps.stepper import Step, Stepper
from ..errors import UnsupportedCombination

_CUBE_ROOT = 2 ** (1 / 3)


class Leapfrog(Stepper):
    """q' = f(t, p), p' = g(t, q) by velocity Verlet (Störmer, Verlet, leapfrog), the state being the pair (q, p).

    Half a step of p, a step of q with the velocity in the middle, half a step of p: symplectic, symmetric and of order
    2 (Hairer, Lubich & Wanner, Geometric Numerical Integration, section VI.3). The derivative gives both halves of the
    slope, of which a stage uses one, so a step takes two evaluations. The carry is g at the step's start; of a first
    step also f, and there two more evaluations look whether the system is separable.

    A step is undone by one with the time reversed.
    """

    #: lengths of the steps of order 2 that make a step, from its start to its end the same as back
    weights: tuple[float, ...] = (1.0,)
    reversible = pairs = True

    def __init__(self):
        ends = (0.0, *itertools.accumulate(self.weights[:-1]), 1.0)
        middles = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
        self.nodes = tuple(x for pair in zip(middles, ends[1:], strict=True) for x in pair)

    def begin(self, y, slope):
        """Both halves of the slope."""
        velocity, force = slope.chunk(2)
        return force, velocity

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """The steps of order 2, one after the other."""
        force, *velocity = carry
        if velocity:
            self._look(func, interval, y, force, *velocity)
        y1, force = self._moved(func, interval.times[1:-1], y, force, interval.dt)
        return Step(y1, (force,))

    def reverse(self, func, interval, y1, carry):
        """The state and the force at the start."""
        y, force = self._moved(func, interval.times[-3::-1], y1, carry[0], -interval.dt)
        return y, (force,)

    def reverse_vjp(self, func, interval, y1, carry, gradient, carry_gradient, parameters):
        """The state and the force at the start, and the gradients there: (y, carry, ȳ, carry̅, parameters̅)."""
        y, (force,) = self.reverse(func, interval, y1, carry)
        y, force = y.detach().requires_grad_(), force.detach().requires_grad_()
        with torch.enable_grad():
            results = self._moved(func, interval.times[1:-1], y, force, interval.dt)
        found = vector_jacobian(results, [y, force, *parameters], [gradient, *carry_gradient])
        at_y, at_force = (torch.zeros_like(x) if g is None else g for x, g in zip((y, force), found, strict=False))
        return y.detach(), (force.detach(),), at_y, (at_force,), found[2:]

    def _moved(self, func, times, y: Tensor, force: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        """The state, and g there, after steps of order 2, each with a time in its middle and one at its end."""
        q, p = y.chunk(2)
        for i, weight in enumerate(self.weights):
            p = torch.add(p, force, alpha=weight * dt / 2)
            velocity = func(times[2 * i], torch.cat([q, p])).chunk(2)[0]
            q = torch.add(q, velocity, alpha=weight * dt)
            force = func(times[2 * i + 1], torch.cat([q, p])).chunk(2)[1]
            p = torch.add(p, force, alpha=weight * dt / 2)
        return torch.cat([q, p]), force

    def _look(self, func, interval: Interval, y: Tensor, force: Tensor, velocity: Tensor) -> None:
        """Raises: UnsupportedCombination: the velocity changes with q or the force with p, as far as a step shows."""
        with torch.no_grad():
            time, dt, (q, p) = interval.times[0], interval.dt, y.chunk(2)
            moved = func(time, torch.cat([torch.add(q, velocity, alpha=dt), p])).chunk(2)[0]
            pushed = func(time, torch.cat([q, torch.add(p, force, alpha=dt)])).chunk(2)[1]
            wrong = [
                words
                for words, again, before in (("dq/dt depends on q", moved, velocity), ("dp/dt on p", pushed, force))
                if host((again - before).abs().max()) > torch.finfo(y.dtype).eps ** 0.75 * host(before.abs().max())
            ]
        if wrong:
            raise UnsupportedCombination(
                f"explicit symplectic steps need dq/dt = f(t, p) and dp/dt = g(t, q), but {' and '.join(wrong)}",
                remedy="Take another method: implicit_midpoint, gl4 and gl6 are symplectic for every Hamiltonian",
                t=interval.t0,
            )


class Yoshida4(Leapfrog):
    """The same of order 4, from three steps of order 2, of which the middle one goes back (Yoshida 1990).

    Six evaluations a step, some of them at times up to 0.36 steps before its start and after its end.
    """

    weights = (1 / (2 - _CUBE_ROOT), -_CUBE_ROOT / (2 - _CUBE_ROOT), 1 / (2 - _CUBE_ROOT))
    dense_order = 3
