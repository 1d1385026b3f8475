"""Newton's method for the stages' equations, with a matrix or with its products only.

One solver object serves the stages of one step: what it learns about the Jacobian from the first, the others reuse.
All converge when the estimated distance to the solution, measured in the units that `measure` defines, is below one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._steps.numbers import Condition, Floats, Number, host
from .krylov import gmres
from .stages import StageEquations, factors

Measure = Callable[[Tensor], Tensor]
#: Iterations that do not halve the least change yet before it counts as stalled.
_STALLED = 4
#: The least positive number: zeros that are divided by are sorted out afterwards.
_LEAST = math.ulp(0.0)


class Convergence:
    """Watches the sizes of the changes that iterations make.

    Args:
        n: the namespace of the numbers, `Floats` or `Tensors`.
        floor: a change of this size that shrinks no more is rounding. A hundred times that is accepted when several
            iterations do not lessen it: kinks of the derivative keep its Jacobian from settling.
        rate: the rate of convergence seen in earlier stages of the step; not a number if none was.
    """

    def __init__(self, n, floor: float, rate: Number = math.nan):
        self.n, self.floor, self.rate = n, floor, rate
        self.size = self.least = n.full(rate, math.inf)
        self.stalled = n.full(rate, 0.0)

    def converged(self, size: Number) -> Condition:
        """Take note of a change; whether what remains to be changed is below one."""
        n = self.n
        seen = n.where(self.size > 0, size / n.larger(self.size, _LEAST), 0.0)
        self.rate = rate = n.where(self.size < math.inf, seen, self.rate)
        self.size = size
        self.stalled = n.where(size > 0.5 * self.least, self.stalled + 1, 0.0)
        self.least = n.smaller(self.least, size)
        rounding = self.floor * n.where(self.stalled >= _STALLED, 100.0, 1.0)
        settled = (rate >= 0.5) & (size <= rounding)
        near = (rate < 1.0) & (size * rate <= 1.0 - rate)
        return n.where(rate != rate, size == 0.0, settled | near)

    def restart(self, some: Condition) -> None:
        """Forget what was seen, of some samples."""
        where = self.n.where
        self.rate, self.stalled = where(some, math.nan, self.rate), where(some, 0.0, self.stalled)
        self.size, self.least = where(some, math.inf, self.size), where(some, math.inf, self.least)

    def hopeless(self, left: int) -> bool:
        """Whether the rate of convergence would take more iterations than are left."""
        if self.size > self.floor * 100:
            return self.rate >= 1.0 or self.size * self.rate**left > 1.0
        return self.stalled > 2 * _STALLED


class DenseNewton:
    """Simplified Newton with the Jacobian of the first stage, full Newton where that converges slowly.

    Hairer & Wanner II, section IV.8: iterations stop when ‖Δk‖ θ/(1 − θ) is small, θ being the rate of convergence.
    """

    def __init__(self, iterations: int | None = None, floor: float = 1.0):
        self.iterations, self.floor = iterations or 20, floor
        self.jacobian, self.rate, self.factors = None, math.nan, {}

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        k, convergence, full = guess, Convergence(Floats, self.floor, max(self.rate, 1e-3) ** 0.8), False
        for iteration in range(self.iterations):
            if full:
                image, linearization = equations.linearize(k)
                jacobians = linearization.matrices()
                self.jacobian, self.factors = jacobians[-1], {}
                lu = self.factored(equations, jacobians)
            elif self.jacobian is None:
                image, self.jacobian = equations.linearize_once(k)
                lu = self.factored(equations, [self.jacobian])
            else:
                image = equations.image(k)
                lu = self.factored(equations, [self.jacobian]) if iteration == 0 else lu
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
                convergence.restart(True)
                continue
            if size > 1e3 * previous:
                break
            k = k + change
        raise equations.failure("did not converge", size, iteration + 1)

    def factored(self, equations: StageEquations, jacobians) -> tuple[Tensor, Tensor]:
        """The factors of the stages' matrix, kept while one Jacobian serves them all."""
        key = None if len(jacobians) > 1 else tuple(map(tuple, equations.A))
        if key is None or key not in self.factors:
            self.factors[key] = factors(equations.matrix(jacobians))
        return self.factors[key]

    def damped(self, error: Tensor, dt: float | Tensor, mass=None) -> Tensor:
        """(M − dt J)⁻¹ M error: an error estimate without its stiff components; of every sample, if dt is."""
        *some, unknowns = self.jacobian.shape[:-1]
        if mass is None:
            matrix = torch.eye(unknowns, dtype=error.dtype, device=error.device)
        else:
            matrix, error = mass.full(unknowns), mass.times(error)
        matrix = matrix - (dt.view(-1, 1, 1) if some else dt) * self.jacobian
        return torch.linalg.lu_solve(*factors(matrix), error.reshape(*some, unknowns, 1)).view(error.shape)


class NewtonKrylov:
    """Newton with GMRES and Jacobian products (Knoll & Keyes 2004, J. Comput. Phys. 193): memory of tens of states."""

    def __init__(self, iterations: int | None = None, floor: float = 1.0, forcing: float = 1e-2):
        self.iterations, self.floor, self.forcing = iterations or 20, floor, forcing
        self.linearization = None

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        k, convergence, iteration = guess, Convergence(Floats, self.floor), 0
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
