"""Newton's method for the stages' equations, with a matrix or with its products only.

One solver object serves the stages of one step: what it learns about the Jacobian from the first, the others reuse.
All converge when the estimated distance to the solution, measured in the units that `measure` defines, is below one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._numbers import host
from .krylov import gmres
from .stages import StageEquations, factors

Measure = Callable[[Tensor], Tensor]
#: Iterations that do not halve the least change yet before it counts as stalled.
STALLED = 4


class Convergence:
    """Watches the sizes of the changes that iterations make.

    Args:
        floor: a change of this size that shrinks no more is rounding. A hundred times that is accepted when several
            iterations do not lessen it: kinks of the derivative keep its Jacobian from settling.
        rate: the rate of convergence seen in earlier stages of the step, if any.
    """

    def __init__(self, floor: float, rate: float | None = None):
        self.floor, self.rate, self.size = floor, rate, math.inf
        self.least, self.stalled = math.inf, 0

    def converged(self, size: float) -> bool:
        """Take note of a change; whether what remains to be changed is below one."""
        if self.size < math.inf:
            self.rate = size / self.size if self.size > 0 else 0.0
        self.size = size
        self.stalled = self.stalled + 1 if size > 0.5 * self.least else 0
        self.least = min(self.least, size)
        if self.rate is None:
            return size == 0.0
        if self.rate >= 0.5 and size <= self.floor * (100 if self.stalled >= STALLED else 1):
            return True
        return self.rate < 1.0 and size * self.rate <= 1.0 - self.rate

    def hopeless(self, left: int) -> bool:
        """Whether the rate of convergence would take more iterations than are left."""
        if self.size > self.floor * 100:
            return self.rate >= 1.0 or self.size * self.rate**left > 1.0
        return self.stalled > 2 * STALLED


class DenseNewton:
    """Simplified Newton with the Jacobian of the first stage, full Newton where that converges slowly.

    Hairer & Wanner II, section IV.8: iterations stop when ‖Δk‖ θ/(1 − θ) is small, θ being the rate of convergence.
    """

    def __init__(self, iterations: int | None = None, floor: float = 1.0):
        self.iterations, self.floor = iterations or 20, floor
        self.jacobian, self.rate, self.factors = None, None, {}

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        rate = None if self.rate is None else max(self.rate, 1e-3) ** 0.8
        k, convergence, full = guess, Convergence(self.floor, rate), False
        for iteration in range(self.iterations):
            if full:
                image, linearization = equations.linearize(k)
                jacobians = linearization.matrices()
                self.jacobian, self.factors = jacobians[-1], {}
                lu = self._factor(equations, jacobians)
            elif self.jacobian is None:
                image, self.jacobian = equations.linearize_once(k)
                lu = self._factor(equations, [self.jacobian])
            else:
                image = equations.image(k)
                lu = self._factor(equations, [self.jacobian]) if iteration == 0 else lu
            change = equations.solved(lu, equations.residual(image, k))
            size = host(measure(equations.moved(change)))
            previous = convergence.size
            if convergence.converged(size):
                self.rate = convergence.rate
                return k + change
            if not math.isfinite(size):
                break
            if size > 0.5 * previous and not full:
                # The Jacobian held constant does not do: start again with a new one in every iteration.
                full, k = True, guess if size > previous else k + change
                convergence = Convergence(self.floor)
                continue
            if size > 1e3 * previous:
                break
            k = k + change
        raise equations.failure("did not converge", size, iteration + 1)

    def _factor(self, equations: StageEquations, jacobians):
        key = None if len(jacobians) > 1 else tuple(map(tuple, equations.A))
        if key is None or key not in self.factors:
            self.factors[key] = factors(equations.matrix(jacobians))
        return self.factors[key]

    def damped(self, error: Tensor, dt: float, mass=None) -> Tensor:
        """(M − dt J)⁻¹ M error: an error estimate without its stiff components."""
        if mass is None:
            matrix = torch.eye(error.numel(), dtype=error.dtype, device=error.device)
        else:
            matrix, error = mass.full(error.numel()), mass.times(error)
        matrix = matrix - dt * self.jacobian
        return torch.linalg.lu_solve(*factors(matrix), error.reshape(-1, 1)).view(error.shape)


class NewtonKrylov:
    """Newton with GMRES and Jacobian products (Knoll & Keyes 2004, J. Comput. Phys. 193): memory of tens of states."""

    def __init__(self, iterations: int | None = None, floor: float = 1.0, forcing: float = 1e-2):
        self.iterations, self.floor, self.forcing = iterations or 20, floor, forcing
        self.linearization = None

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        k, convergence, iteration = guess, Convergence(self.floor), 0
        while iteration < self.iterations:
            iteration += 1
            image, self.linearization = equations.linearize(k)

            def product(v, linearization=self.linearization):
                return equations.times_matrix(linearization, v)

            residual = equations.residual(image.detach(), k)
            change, found = gmres(product, residual, self.forcing)
            size = host(measure(equations.moved(change)))
            previous = convergence.size
            k = k + change
            # A change that is small because it is a part of what was sought says nothing; the residual does.
            if convergence.converged(size) and (found or host(measure(equations.moved(residual))) <= self.floor):
                return k
            if not math.isfinite(size) or size > 1e3 * previous:
                break
        raise equations.failure("did not converge", size, iteration)

    def damped(self, error: Tensor, dt: float, mass=None) -> Tensor:
        """(M − dt J)⁻¹ M error: an error estimate without its stiff components."""

        def weighted(v):
            return v if mass is None else mass.times(v)

        def product(v):
            earlier = [torch.zeros_like(v)] * (len(self.linearization.points) - 1)
            return weighted(v) - dt * self.linearization.jvp([*earlier, v])[-1]

        return gmres(product, weighted(error), self.forcing)[0]
