"""Implicit Runge–Kutta steps whose stages are solved one after the other, and their tableaus."""

from __future__ import annotations

import torch

from .._stepper import Step, Stepper, combine
from .._tableau import ButcherTableau
from ..errors import NewtonDidNotConverge
from .runge_kutta import nonzero

IMPLICIT_EULER = ButcherTableau(c=[1], A=[[1]], b=[1], order=1)

IMPLICIT_MIDPOINT = ButcherTableau(c=[1 / 2], A=[[1 / 2]], b=[1], order=2)

TRAPEZOID = ButcherTableau(c=[0, 1], A=[[0, 0], [1 / 2, 1 / 2]], b=[1 / 2, 1 / 2], order=2)


class DiagonallyImplicitRungeKutta(Stepper):
    """Steps of a lower triangular tableau, each implicit stage solved by fixed-point iteration.

    The derivative of a stage is that of the equation it solves (implicit function theorem), not of the iterations.

    Args:
        tableau: the method.
        tolerance: of the stage equations, relative to the slope; None: 100 units of rounding.
        max_iterations: of each stage before `NewtonDidNotConverge`.
    """

    def __init__(self, tableau: ButcherTableau, tolerance: float | None = None, max_iterations: int = 100):
        self.tableau, self.order, self.nodes = tableau, tableau.order, tuple(tableau.c)
        self.tolerance, self.max_iterations = tolerance, max_iterations
        self.rows = [nonzero(row[:i]) for i, row in enumerate(tableau.A)]
        self.weights = nonzero(tableau.b)

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """One step: every stage, then the result. The known slope at the start is the first stage's guess."""
        guess = carry[0].detach() if carry else None
        slopes = []
        for i, row in enumerate(self.rows):
            known = combine(y, interval.dt, row, slopes) if row else y
            time, a = interval.times[i + 1], interval.dt * float(self.tableau.A[i, i])
            if a == 0.0:
                slopes.append(carry[0] if carry and i == 0 else func(time, known))
            else:
                guess = func(time, known).detach() if guess is None else guess
                slopes.append(self._stage(func, time, known, a, guess, interval))
            guess = slopes[-1].detach()
        return Step(combine(y, interval.dt, self.weights, slopes), (), slopes=slopes, weights=self.weights)

    def _stage(self, func, time, known, a, guess, interval):
        """The slope k that solves k = f(time, known + a k)."""
        with torch.no_grad():
            slope = self._fixed_point(lambda k: func(time, known + a * k), guess, interval)
        if not torch.is_grad_enabled():
            return slope
        here = slope.detach().requires_grad_()
        value = func(time, known + a * here)
        if value.requires_grad:
            again = value.view_as(value)

            def solve_transposed(gradient):
                def image(v):
                    (product,) = torch.autograd.grad(value, here, v, retain_graph=True, allow_unused=True)
                    return gradient if product is None else gradient + product

                return self._fixed_point(image, gradient, interval)

            again.register_hook(solve_transposed)
            return again
        return value

    def _fixed_point(self, image, guess, interval):
        tolerance = self.tolerance or 100 * torch.finfo(guess.dtype).eps
        previous = guess
        for _ in range(self.max_iterations):
            current = image(previous)
            change, size = (current - previous).abs().max(), current.abs().max()
            if change <= tolerance * size + torch.finfo(guess.dtype).tiny:
                return current
            previous = current
        raise NewtonDidNotConverge(
            f"a stage of an implicit step did not converge in {self.max_iterations} iterations",
            t=interval.t0,
            dt=interval.dt,
            remedy="Take smaller steps",
        )
