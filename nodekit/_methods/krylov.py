"""GMRES: linear systems known by their products only (Saad & Schultz 1986, SIAM J. Sci. Stat. Comput. 7)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def gmres(
    operator: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, restart: int = 30, cycles: int = 10
) -> tuple[Tensor, bool]:
    """The x with ‖b − operator(x)‖ ≤ tolerance ‖b‖, and whether it was found. The host waits once an iteration.

    Args:
        operator: a linear map on tensors shaped like b.
        b: right-hand side, any shape.
        tolerance: relative to b, in the Euclidean norm.
        restart: products between restarts; each keeps one tensor like b.
        cycles: restarts at most.
    """
    x, residual = torch.zeros_like(b), b
    target = size = float(torch.linalg.vector_norm(b))
    target *= tolerance
    if not np.isfinite(size):  # which is never above a target like it
        return torch.full_like(b, torch.nan), False
    for _ in range(cycles):
        if size <= target:
            return x, True
        step, predicted = _cycle(operator, residual, size, target, restart)
        x = x + step
        if predicted <= target:
            return x, True
        residual = b - operator(x)
        previous, size = size, float(torch.linalg.vector_norm(residual))
        if not size < 0.9 * previous:
            break
    return x, size <= target


def _cycle(operator, residual: Tensor, size: float, target: float, restart: int) -> tuple[Tensor, float]:
    """The best correction within the Krylov space of the residual, and what it leaves of the residual."""
    shape = residual.shape
    basis = [residual.reshape(-1) / size]
    hessenberg = np.zeros((restart + 1, restart))
    for j in range(restart):
        image = operator(basis[j].view(shape)).reshape(-1)
        so_far = torch.stack(basis)
        # Orthogonalised twice: once is not enough in floating point.
        first = so_far @ image
        image = image - first @ so_far
        second = so_far @ image
        image = image - second @ so_far
        length = torch.linalg.vector_norm(image)
        *column, length = torch.cat([first + second, length[None]]).tolist()
        hessenberg[: j + 1, j], hessenberg[j + 1, j] = column, length
        right = np.zeros(j + 2)
        right[0] = size
        if not np.isfinite(hessenberg[: j + 2, j]).all():
            return torch.full_like(residual, torch.nan), np.nan
        coefficients = np.linalg.lstsq(hessenberg[: j + 2, : j + 1], right, rcond=None)[0]
        left = float(np.linalg.norm(right - hessenberg[: j + 2, : j + 1] @ coefficients))
        if left <= target or length <= 1e-14 * abs(hessenberg[0, 0]):
            break
        basis.append(image / length)
    weights = torch.tensor(coefficients, dtype=residual.dtype, device=residual.device)
    return (weights @ so_far).view(shape), left
