"""The dense output of some samples, each at its own fraction of its own step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def at_fractions(stepper, y: Tensor, step, dt: Tensor, rows: Tensor, thetas: Tensor) -> Tensor:
    """The method's polynomial y + dt Σ bᵢ(θ) kᵢ.

    Only single multiplications and additions: products of matrices, powers and fused operations round differently
    with a sample's place among those wanted, and no sample is to notice its neighbours.

    Args:
        y, step: of all samples; extended.
        dt: their step sizes, shape (batch,) in float64.
        rows: the samples wanted, shape (wanted,).
        thetas: where to have them, shape (wanted,) in float64.
    """
    coefficients = stepper.interpolation
    used = np.flatnonzero(coefficients.any(1))
    columns = torch.tensor(coefficients[used], dtype=thetas.dtype, device=y.device).unsqueeze(1).unbind(2)
    weights = columns[-1]
    for column in reversed(columns[:-1]):
        weights = weights * thetas + column
    weights = (weights * thetas * dt[rows]).to(y.dtype)
    result, shape = y[rows], (-1, *[1] * (y.ndim - 1))
    for i, weight in zip(used, weights.expand(len(used), len(rows)), strict=True):
        result = result + step.slopes[i][rows] * weight.view(shape)
    return result
