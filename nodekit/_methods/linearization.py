"""Jacobians of the derivative: as matrices and as products, by automatic differentiation or by differences."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._derivative.parameters import is_transformed

#: So few rows of a Jacobian are as quick one by one; a first batch would import half of torch.
_ROWS = 8


def jacobian(func, t: Tensor, x: Tensor, lead: int = 0) -> tuple[Tensor, Tensor]:
    """f(t, x) and its Jacobian (n, n).

    Where the derivative records no graph (NumPy, R, an adjoint that differentiates by itself), n differences give it.

    Args:
        lead: first dimensions of x that count systems of which none depends on another: (…, n, n) is every one's own.
    """
    if is_transformed():
        value, pull = torch.func.vjp(lambda x: func(t, x), x)
        return value, _as_matrices(torch.func.vmap(pull)(_unit_vectors(x, lead))[0], lead)
    found = Linearization(func, [t], [x.detach()], lead)
    (value,), (matrix,) = found.values, found.matrices()
    return value.detach() if value.requires_grad else value, matrix


def _unit_vectors(x: Tensor, lead: int) -> Tensor:
    """Shaped like x, as many as each of its systems has unknowns: the same for each."""
    n = math.prod(x.shape[lead:]) if lead else x.numel()
    unit = torch.eye(n, dtype=x.dtype, device=x.device)
    return unit.view(n, *[1] * lead, *x.shape[lead:]).expand(n, *x.shape) if lead else unit.view(n, *x.shape)


def _as_matrices(rows: Tensor, lead: int) -> Tensor:
    """Rows of Jacobians, each shaped like the state, as (…, n, n)."""
    n = len(rows)
    return rows.reshape(n, *rows.shape[1 : 1 + lead], n).movedim(0, lead) if lead else rows.reshape(n, n)


def rows_of_jacobian(value: Tensor, point: Tensor, lead: int = 0) -> Tensor:
    """∂value/∂point (…, n, n) from a recorded graph, many rows in one batch where its operations can be batched."""
    unit = _unit_vectors(point, lead)
    n = len(unit)
    keep = {"retain_graph": True, "allow_unused": True}
    rows = None
    if n > _ROWS:
        with contextlib.suppress(RuntimeError):  # an operation without a batching rule
            (rows,) = torch.autograd.grad(value, point, unit, is_grads_batched=True, **keep)
    if rows is None:
        found = [torch.autograd.grad(value, point, row, **keep)[0] for row in unit]
        rows = torch.zeros_like(unit) if found[0] is None else torch.stack(found)
    return _as_matrices(rows, lead)


def _differences(func, t: Tensor, x: Tensor, value: Tensor, lead: int) -> Tensor:
    # Hairer & Wanner II, section IV.8: half the digits, and a floor for components near zero.
    sizes = torch.sqrt(torch.finfo(x.dtype).eps * x.detach().abs().clamp_min(1e-5))
    columns = torch.stack([func(t, x + move) - value for move in _unit_vectors(x, lead) * sizes])
    return _as_matrices(columns, lead).mT / sizes.reshape(*x.shape[:lead], 1, len(columns))


class Linearization:
    """The derivative and its Jacobians Jᵢ at one point for each stage.

    Args:
        func: the derivative.
        times: of the stages.
        points: their states; the graphs that lead to them are kept.
        lead: as of `jacobian`.
    """

    def __init__(self, func, times: Sequence[Tensor], points: Sequence[Tensor], lead: int = 0):
        self.func, self.times, self.lead = func, times, lead
        with torch.enable_grad():
            self.points = [x if x.requires_grad else x.detach().requires_grad_() for x in points]
            self.values = [func(t, x) for t, x in zip(times, self.points, strict=True)]
        self._forward = None

    def matrices(self) -> list[Tensor]:
        """Every Jᵢ (…, n, n)."""
        return [
            rows_of_jacobian(value, x, self.lead)
            if value.requires_grad
            else _differences(self.func, t, x.detach(), value, self.lead)
            for t, x, value in zip(self.times, self.points, self.values, strict=True)
        ]

    def vjp(self, v: Sequence[Tensor]) -> list[Tensor]:
        """Jᵢᵀ vᵢ of every stage."""
        with torch.enable_grad():
            found = torch.autograd.grad(self.values, self.points, v, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g.detach() for g, x in zip(found, v, strict=True)]

    def jvp(self, v: Sequence[Tensor]) -> list[Tensor]:
        """Jᵢ vᵢ of every stage: the derivative of vjp by its argument, or a difference quotient."""
        if not all(value.requires_grad for value in self.values):
            return self._quotients(v)
        if self._forward is None:
            with torch.enable_grad():
                seeds = [torch.zeros_like(x, requires_grad=True) for x in self.values]
                images = torch.autograd.grad(
                    self.values, self.points, seeds, create_graph=True, allow_unused=True, materialize_grads=True
                )
            self._forward = seeds, images
        seeds, images = self._forward
        pairs = [(image, w) for image, w in zip(images, v, strict=True) if image.requires_grad]
        if not pairs:
            return [torch.zeros_like(x) for x in v]
        images, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(images, seeds, weights, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for g, x in zip(found, v, strict=True)]

    def _quotients(self, v: Sequence[Tensor]) -> list[Tensor]:
        quotients = []
        for t, x, value, w in zip(self.times, self.points, self.values, v, strict=True):
            x, length = x.detach(), torch.linalg.vector_norm(w)
            size = torch.linalg.vector_norm(x).clamp_min(1e-3) * torch.finfo(x.dtype).eps ** 0.5
            step = torch.where(length > 0, size / length, size)
            quotients.append((self.func(t, x + step * w) - value) / step)
        return quotients
