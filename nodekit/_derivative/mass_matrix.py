"""A mass matrix M: its rank, which equations have no derivative, and whether these determine what M leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._steps.numbers import host, is_finite
from ..errors import InvalidOption, NodekitError

#: So many derivatives has a null space that depends on parameters, as the equations of implicit steps have.
DIFFERENTIATIONS = 2


def _reciprocal(sizes: Tensor) -> Tensor:
    """1/x, and 1 for 0."""
    return 1 / torch.where(sizes > 0, sizes, 1)


class MassMatrix:
    """A constant matrix M on the last dimension of the state.

    Args:
        matrix: shape (n, n), or (n,) for a diagonal one; n is the size of the state's last dimension.
        state: on whose device it is to be, in whose type.
        differences: whether Jacobians come from differences, which have half of the digits.

    Attributes:
        matrix: M, with its graph.
        onto, null: combinations of the equations that have derivatives, (n, r), and a basis of those that have none,
            (n, n − r), with its graph.
        kernel: a basis of what M leaves open, (n, n − r).

    Raises:
        InvalidOption: another shape, or entries that are infinite or not a number.
    """

    def __init__(self, matrix: Any, state: Tensor, differences: bool = False):
        try:
            # A copy, for arrays from R are read-only.
            matrix = matrix if isinstance(matrix, Tensor) else torch.as_tensor(np.array(matrix))
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidOption(f"the option mass_matrix must be a matrix of numbers, not {matrix!r}") from error
        if matrix.is_complex():
            raise InvalidOption("the option mass_matrix must be real")
        matrix = matrix.to(state)
        matrix = torch.diag(matrix) if matrix.ndim == 1 else matrix
        n = state.shape[-1] if state.ndim else 0
        if matrix.shape != (n, n) or not n:
            raise InvalidOption(
                f"the option mass_matrix has shape {tuple(matrix.shape)}, the state {tuple(state.shape)}",
                remedy="It acts on the last dimension of the state, of size n: give shape (n, n), or (n,) if diagonal",
            )
        if not bool(torch.isfinite(matrix).all()):
            raise InvalidOption("the option mass_matrix is infinite or not a number in places")
        entries, eps = matrix.detach(), torch.finfo(matrix.dtype).eps
        self.matrix, self.count, self.precision = matrix, n, eps**0.5 if differences else eps
        # The units of equations and of components say nothing about the rank.
        rows = _reciprocal(entries.abs().amax(1, keepdim=True))
        columns = _reciprocal((rows * entries).abs().amax(0))
        left, sizes, right = torch.linalg.svd(rows * entries * columns)
        rank = int((sizes > n * eps * sizes[0]).sum())
        self.onto, self.null, self.kernel = rows * left[:, :rank], rows * left[:, rank:], (right[rank:] * columns).T
        if self.singular:
            # nᵀ M = 0 for M's graph, too: two steps of Newton's method that move n by zero.
            inverse = (right[:rank] * columns).T / sizes[:rank] @ self.onto.T
            for _ in range(DIFFERENTIATIONS):
                self.null = self.null - inverse.T @ (matrix.T @ self.null)

    @property
    def singular(self) -> bool:
        """Whether some equations have no derivative."""
        return self.null.shape[1] > 0

    def times(self, v: Tensor) -> Tensor:
        """M v."""
        return v @ self.matrix.T

    def transposed_times(self, v: Tensor) -> Tensor:
        """Mᵀ v."""
        return v @ self.matrix

    def insist(self, J: Tensor, error: type[NodekitError], **where: float) -> None:
        """Raise an error where the equations without a derivative do not determine what the others leave open.

        Args:
            J: the Jacobian, of all samples by all samples.
            error, where: its kind; the t and dt that it names.
        """
        if self.singular and is_finite(J) and not self._determined(J):
            raise error(
                "a mass matrix whose equations without a derivative do not determine, at this state, what the others "
                "leave open: a problem of index 2 or higher",
                remedy="Replace these equations by their derivatives in time, until they do; or begin elsewhere, if "
                "they do there",
                **where,
            )

    def _determined(self, J: Tensor) -> bool:
        """Whether nᵀ J v ≠ 0 for all v with M v = 0."""
        null, n, precision = self.null.detach(), self.count, self.precision
        blocks = J.view(len(J) // n, n, -1, n)

        def seen(blocks, null, kernel):
            return torch.einsum("nm,bncv,vk->bmck", null, blocks, kernel).flatten(2).flatten(0, 1)

        found, size = seen(blocks, null, self.kernel), seen(blocks.abs(), null.abs(), self.kernel.abs())
        # What is zero but for rounding is zero; units say nothing here, either.
        found = torch.where(found.abs() > 10 * n * precision * size, found, 0)
        found = found * _reciprocal(found.abs().amax(1, keepdim=True))
        found = found * _reciprocal(found.abs().amax(0))
        sizes = torch.linalg.svdvals(found)
        return host(sizes[-1] - 100 * precision * sizes[0]) > 0

    def full(self, unknowns: int) -> Tensor:
        """M for so many unknowns: the samples of a state, one after the other."""
        matrix = self.matrix.detach()
        count = unknowns // len(matrix)
        return matrix if count == 1 else torch.block_diag(*[matrix] * count)
