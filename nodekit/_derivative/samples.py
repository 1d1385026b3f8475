"""A batch of samples as the solver sees it: the first dimension counts them, and each has its own time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_unflatten

from .._steps.control import host_values
from ..errors import GradientUnavailable, InvalidState
from .state import Derivative, Packing
from .vjp import refuse


class SamplePacking(Packing):
    """Maps a state whose tensors share their first dimension to one real tensor with that first dimension.

    Args:
        y0: the initial state.
        strict: as of `Packing`.

    Raises:
        InvalidState: as for any state, and where the first dimensions differ.
    """

    def __init__(self, y0, strict: bool = True):
        super().__init__(y0, strict)
        if self.single:
            self._insist_on_samples([self.y0])
        self.samples = len(self.y0)
        self.sample_shapes = [shape[1:] for shape in self.real_shapes]
        self.sample_sizes = [math.prod(shape) for shape in self.sample_shapes]
        #: the shape of the times that the derivative sees: they broadcast to the state's largest tensor
        self.time_shape = (self.samples, *[1] * (max(len(shape) for shape in self.shapes) - 1))

    def _insist_on_samples(self, parts: list[Tensor]) -> None:
        sizes = {part.shape[0] if part.ndim else None for part in parts}
        if len(sizes) > 1 or sizes == {None}:
            raise InvalidState(
                f"with batch='independent' all tensors of the state share a first dimension, the samples; theirs are "
                f"{[tuple(part.shape) for part in parts]}",
                remedy="Expand every tensor of y0 to (batch, …)",
            )

    def joined(self, parts: list[Tensor]) -> Tensor:
        self._insist_on_samples(parts)
        return torch.cat([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], dim=1)

    def unpack(self, y: Tensor):
        if self.single:
            return super().unpack(y)
        return self.restored(self.parts(y), y.shape[:-2])

    def parts(self, y: Tensor) -> list[Tensor]:
        return [y] if self.single else list(y.split(self.sample_sizes, dim=-1))

    def sample(self, x: Tensor) -> Any:
        """One sample's state, from its part of a solver's tensor."""
        parts = [x] if self.single else x.split(self.sample_sizes)
        leaves = []
        for part, shape, dtype in zip(parts, self.sample_shapes, self.dtypes, strict=True):
            part = part.reshape(shape)
            leaves.append((torch.complex(*part.unbind(-1)) if dtype.is_complex else part).to(dtype))
        return leaves[0] if self.single else tree_unflatten(leaves, self.structure)


def spread(x: Tensor, y: Tensor) -> Tensor:
    """One number for each sample, such that it broadcasts to a state of the solver."""
    return x.view(len(x), *[1] * (y.ndim - 1))


def finite_samples(y: Tensor) -> Tensor:
    """Which samples of a state or a slope are finite, shape (batch,)."""
    return torch.isfinite(y.detach()).flatten(1).all(1) if y.ndim > 1 else torch.isfinite(y.detach())


def copied(wanted: Tensor) -> Tensor:
    """For every sample, shape (batch,), itself if it is wanted, or the first that is."""
    return torch.where(wanted, torch.arange(len(wanted), device=wanted.device), wanted.long().argmax())


class SoundDerivative(Derivative):
    """The derivative of samples, of which rows that are not finite are zeros that depend on nothing.

    In a backward pass zero times infinity is not a number, which would spoil the gradients of what all samples share
    (test_independent.py).
    """

    def __init__(self, func: Derivative):
        self.__dict__ = func.__dict__  # it is the same function, its count included

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return sound_slope(super().__call__, t, y, super().__call__(t, y), 0.0)


def sound_slope(func, t: Tensor, y: Tensor, slope: Tensor, rest: Tensor | float) -> Tensor:
    """The slope at (t, y) with a constant in the rows that are not finite.

    Recorded, it is evaluated again with copies of a sample that has one in the place of those that have none.
    """
    finite = finite_samples(slope)
    if host_values(finite.all()):
        return slope
    if not slope.requires_grad or not host_values(finite.any()):
        return torch.where(spread(finite, y), slope.detach(), rest)
    source = copied(finite)
    again = func(t[source], torch.where(spread(finite, y), y, y[source].detach()))
    if not host_values((sound := finite_samples(again)).all()):
        error = GradientUnavailable(
            "the derivative is infinite or not a number for one sample whatever its state is, and so would the "
            "gradients be of what all samples share",
            sample=host_values(sound).index(False),
            remedy="Leave the sample out of the batch, or see to it that what the derivative knows of it is finite",
        )
        again = refuse(error, again, again)
    return torch.where(spread(finite, y), again, rest)


def sample_norm(norm: Callable | None, packing: SamplePacking) -> Callable[[Tensor], Tensor]:
    """Every sample's norm: the user's, of a sample's state, or the root mean square, the largest of its tensors'."""
    if callable(norm):
        return torch.func.vmap(lambda x: torch.as_tensor(norm(packing.sample(x))))
    if packing.single:
        return rms
    return lambda x: torch.stack([rms(part) for part in packing.parts(x)]).amax(0)


def rms(x: Tensor) -> Tensor:
    """√(mean x²) of every sample's part, shape (batch,)."""
    rows = x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    return torch.linalg.vector_norm(rows, dim=1) / max(rows.shape[1], 1) ** 0.5
