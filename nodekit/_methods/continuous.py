"""Dense output from the order conditions: weights bᵢ(θ) for methods whose authors gave none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InvalidTableau
from .tableau import _density, _elementary_weights, _padded, _vertices


def dense_weights(
    A: np.ndarray, b: np.ndarray, order: int, start: int | None = None, end: int | None = None
) -> np.ndarray:
    """The smallest polynomials bᵢ(θ) with Σ bᵢ(θ) Φᵢ(tree) = θʳ/γ(tree) for all trees of r ≤ order vertices.

    They end in bᵢ(1) = bᵢ, and take up the slopes at the step's ends where stages give these, so that consecutive
    steps join smoothly (Hairer, Nørsett & Wanner I, section II.6).

    Args:
        A, b: the method's coefficients, extra stages included: (stages, stages) and (stages,).
        order: of the dense output.
        start, end: the stages that are the slopes at the start and the end of the step.

    Returns:
        The coefficients of θ, θ², …: (stages, degree).

    Raises:
        InvalidTableau: the stages do not admit that order.
    """
    for degree in range(order, order + 3):
        weights = _smallest(A, b, order, degree, start, end)
        if weights is not None:
            return weights
    raise InvalidTableau(f"these stages admit no dense output of order {order}")


def _smallest(A, b, order: int, degree: int, start, end) -> np.ndarray | None:
    stages, powers = len(b), np.arange(1, degree + 1)
    unit = np.eye(stages)
    equations, values = [], []

    def require(stage_weights: np.ndarray, power_weights: np.ndarray, value: float):
        equations.append(np.outer(stage_weights, power_weights).ravel())
        values.append(value)

    for tree, weight in _elementary_weights(A, order).items():
        for power in powers:
            require(weight, powers == power, 1 / _density(tree) if power == _vertices(tree) else 0.0)
    for i in range(stages):
        require(unit[i], np.ones(degree), b[i])
        if start is not None:
            require(unit[i], powers == 1, float(i == start))
        if end is not None:
            require(unit[i], powers, float(i == end))
    equations, values = np.array(equations), np.array(values)
    solution = np.linalg.lstsq(equations, values, rcond=1e-12)[0]
    if np.abs(equations @ solution - values).max() > 1e-10:
        return None
    return solution.reshape(stages, degree)


def extended(A: np.ndarray, rows: Sequence[Sequence[float]]) -> np.ndarray:
    """A with the rows of extra stages below, as a square matrix."""
    return _padded([*A, *rows], len(A) + len(rows))
