"""gradient="backprop": automatic differentiation through every operation of the solve."""

from __future__ import annotations

from torch import Tensor

from .._steps.problem import Problem


def backprop(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The exact gradient of the discrete solve, step sizes taken as constants; memory grows with every operation."""
    return problem.integrate(y0, slope, problem.keep)
