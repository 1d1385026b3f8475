"""Tolerances: what error is allowed in a step, from what the user gave."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._derivative.state import Packing
from .._steps.numbers import Number
from ..errors import InvalidTolerance


@dataclass
class Tolerance:
    """atol + rtol·|y|: each a number, a tensor that broadcasts to the state, or a function of t giving either."""

    rtol: float | Tensor | Callable
    atol: float | Tensor | Callable

    def scale(self, t: float, size: Tensor) -> Tensor:
        """The error allowed at time t in every component of a state of this size, a tensor that it may overwrite."""
        rtol = self.rtol(t) if callable(self.rtol) else self.rtol
        atol = self.atol(t) if callable(self.atol) else self.atol
        if isinstance(rtol, float) and isinstance(atol, float):
            return size.mul_(rtol).add_(atol)
        return size * rtol + atol

    def positive_scale(self, t: float, size: Tensor) -> Tensor:
        """The same, but nowhere zero: a component that stays zero has an error of zero, and of that the ratio is 0."""
        scale = self.scale(t, size)
        if isinstance(self.atol, float) and self.atol > 0:
            return scale
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)

    def least(self, t: Number, size: float) -> float:
        """The smallest error allowed at time t in any component of this size."""
        rtol, atol = (value(t) if callable(value) else value for value in (self.rtol, self.atol))
        allowed = size * rtol + atol
        return allowed if isinstance(allowed, float) else allowed.min().item()

    def of_step(self, t: float, y: Tensor, y1: Tensor) -> Tensor:
        """The error allowed in a step from y to y1, which ends at time t."""
        return self.positive_scale(t, torch.maximum(y.abs(), y1.abs()))


def tolerance_of(rtol, atol, packing: Packing) -> Tolerance:
    """Tolerances as numbers, or as tensors that broadcast to the solver's state.

    Raises:
        InvalidTolerance: negative, not finite, differentiable or misshapen ones.
    """
    return Tolerance(*(_tolerance(name, value, packing) for name, value in (("rtol", rtol), ("atol", atol))))


def _tolerance(name: str, value, packing: Packing):
    if callable(value):
        return lambda t: _tolerance(name, value(t), packing)
    try:
        return _checked_tolerance(name, value, packing)
    except InvalidTolerance:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidTolerance(f"{name} must be a number, or numbers shaped like the state, not {value!r}") from error


def _checked_tolerance(name: str, value, packing: Packing):
    if packing.single and isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if isinstance(value, list | tuple):
        if packing.single or len(value) != len(packing.sizes):
            raise InvalidTolerance(f"{name} has {len(value)} entries, the state has {len(packing.sizes)} tensors")
        shapes = zip(packing.shapes, packing.real_shapes, strict=True)
        parts = [torch.as_tensor(v, dtype=packing.dtype, device=packing.device) for v in value]
        value = packing.joined([_expanded(part, *both) for part, both in zip(parts, shapes, strict=True)])
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value.copy())
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise InvalidTolerance(f"{name} requires a gradient, which a tolerance cannot have", remedy="Detach it")
        if value.numel() == 1:
            value = value.item()
    if isinstance(value, Tensor):
        value = value.to(packing.dtype).to(packing.device)
        fine = bool((torch.isfinite(value) & (value >= 0)).all())
        shape, real_shape = packing.shapes[0] if packing.single else packing.y0.shape, packing.y0.shape
        if value.shape != real_shape:  # a tolerance of the forward solve that the backward solve takes over has it
            try:
                value = _expanded(value, shape, real_shape)
            except RuntimeError:
                raise InvalidTolerance(f"{name} has shape {tuple(value.shape)}, the state {tuple(shape)}") from None
    else:
        value = float(value)
        fine = math.isfinite(value) and value >= 0
    if not fine:
        raise InvalidTolerance(f"{name} must be finite and not negative, it is {value}")
    return value


def _expanded(value: Tensor, shape: Sequence[int], real_shape: Sequence[int]) -> Tensor:
    """A tolerance of every number of a tensor: of a complex one, the same for real and imaginary parts."""
    value = value.expand(shape)
    return value if len(shape) == len(real_shape) else value.unsqueeze(-1).expand(real_shape)
