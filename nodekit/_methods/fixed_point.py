"""Fixed-point iteration for the stages' equations, plain or with Anderson's acceleration; and the automatic choice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._steps.numbers import Floats, host
from ..errors import NewtonDidNotConverge
from .newton import Convergence, DenseNewton, Measure, NewtonKrylov
from .stages import DENSE, StageEquations

#: Systems of up to so many unknowns go to Newton's method at once.
_SMALL = 32
#: Acceleration begins at this rate of convergence; plain iterates, where they do better, do not need it.
_SLOW = 0.3


class FixedPoint:
    """k ← f(k), each iterate combined with those before (Anderson 1965; Walker & Ni 2011, SIAM J. Numer. Anal. 49).

    One evaluation an iteration and no Jacobian. On linear equations it needs as many as GMRES, on stiff ones it fails.

    Args:
        iterations: at most; it gives up sooner when their rate of convergence leaves no hope.
        window: how many earlier iterates are combined; 0: none.
    """

    def __init__(self, iterations: int | None = None, floor: float = 1.0, window: int = 0):
        self.iterations, self.floor, self.window = iterations or 100, floor, window

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        k, convergence = guess, Convergence(Floats, self.floor)
        last, residuals, images = None, [], []
        for iteration in range(self.iterations):
            image = equations.image(k)
            residual = image - k
            size = host(measure(equations.moved(residual)))
            if convergence.converged(size):
                return image
            if not math.isfinite(size) or (iteration > 2 and convergence.hopeless(self.iterations - iteration)):
                break
            if last is not None and self.window:
                residuals, images = (
                    [*kept[-self.window + 1 :], (new - old).reshape(-1)]
                    for kept, new, old in ((residuals, residual, last[0]), (images, image, last[1]))
                )
            last = residual, image
            slow = residuals and convergence.rate > _SLOW
            k = image - _combination(residuals, images, residual) if slow else image
        raise equations.failure("did not converge", size, iteration + 1)

    def damped(self, error: Tensor, dt: float, mass=None) -> Tensor:
        """The error as it is: where fixed points converge there are no stiff components."""
        return error


def _combination(residuals: list[Tensor], images: list[Tensor], residual: Tensor) -> Tensor:
    """Σ γᵢ imagesᵢ with the γ that minimise ‖residual − Σ γᵢ residualsᵢ‖."""
    basis = torch.stack(residuals)
    basis_scale = torch.linalg.vector_norm(basis, dim=1, keepdim=True).clamp_min(torch.finfo(basis.dtype).tiny)
    basis = basis / basis_scale
    gram = basis @ basis.T
    # A little damping in place of a rank decision.
    gram = gram + 10 * torch.finfo(gram.dtype).eps * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve_ex(gram, basis @ residual.reshape(-1))[0] / basis_scale[:, 0]
    return (weights @ torch.stack(images)).view(residual.shape)


class Automatic:
    """Newton with a matrix for small systems; for others accelerated fixed points while they converge, then Newton.

    Args:
        iterations: of whichever solver.
    """

    def __init__(self, iterations: int | None = None, floor: float = 1.0):
        self.iterations, self.floor, self.chosen = iterations, floor, None

    def solve(self, equations: StageEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations."""
        if self.chosen is None and equations.unknowns > _SMALL and equations.mass is None:
            patient = FixedPoint(self.iterations or 30, self.floor, window=3)
            try:
                return patient.solve(equations, guess, measure)
            except NewtonDidNotConverge:
                pass
        if self.chosen is None:
            newton = DenseNewton if equations.unknowns <= DENSE else NewtonKrylov
            self.chosen = newton(self.iterations, self.floor)
        return self.chosen.solve(equations, guess, measure)

    def damped(self, error: Tensor, dt: float, mass=None) -> Tensor:
        """The error without its stiff components, if there were any."""
        return error if self.chosen is None else self.chosen.damped(error, dt, mass)


SOLVERS = {
    "auto": Automatic,
    "newton": DenseNewton,
    "krylov": NewtonKrylov,
    "anderson": lambda iterations, floor: FixedPoint(iterations, floor, window=3),
    "fixed_point": FixedPoint,
}
