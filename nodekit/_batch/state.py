"""A batch of samples as the solver sees it: the first dimension counts them, and each has its own time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_unflatten

from .._state import Packing
from ..errors import InvalidState


class BatchPacking(Packing):
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
            self._batch([self.y0])
        self.samples = len(self.y0)
        self.sample_shapes = [shape[1:] for shape in self.real_shapes]
        self.sample_sizes = [math.prod(shape) for shape in self.sample_shapes]
        #: the shape of the times that the derivative sees: they broadcast to the state's largest tensor
        self.time_shape = (self.samples, *[1] * (max(len(shape) for shape in self.shapes) - 1))

    def _batch(self, parts: list[Tensor]) -> None:
        sizes = {part.shape[0] if part.ndim else None for part in parts}
        if len(sizes) > 1 or sizes == {None}:
            raise InvalidState(
                f"with batch='independent' all tensors of the state share a first dimension, the samples; theirs are "
                f"{[tuple(part.shape) for part in parts]}",
                remedy="Expand every tensor of y0 to (batch, …)",
            )

    def joined(self, parts: list[Tensor]) -> Tensor:
        self._batch(parts)
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
    return x.view(-1, *[1] * (y.ndim - 1))


def finite_samples(y: Tensor) -> Tensor:
    """Which samples of a state or a slope are finite, shape (batch,)."""
    return torch.isfinite(y.detach()).flatten(1).all(1) if y.ndim > 1 else torch.isfinite(y.detach())


def copied(wanted: Tensor) -> Tensor:
    """For every sample, shape (batch,), itself if it is wanted, or the first that is."""
    return torch.where(wanted, torch.arange(len(wanted), device=wanted.device), wanted.long().argmax())


def sample_norm(norm: Callable | None, packing: BatchPacking) -> Callable[[Tensor], Tensor]:
    """Every sample's norm: the user's, of a sample's state, or the root mean square, the largest of its tensors'."""
    if callable(norm):
        return torch.func.vmap(lambda x: torch.as_tensor(norm(packing.sample(x))))
    if packing.single:
        return lambda x: _rms(x)
    return lambda x: torch.stack([_rms(part) for part in packing.parts(x)]).amax(0)


def _rms(x: Tensor) -> Tensor:
    rows = x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    return torch.linalg.vector_norm(rows, dim=1) / max(rows.shape[1], 1) ** 0.5


class BatchInterval:
    """One piece of every sample's time axis.

    Attributes:
        t0, t1: its ends, shape (batch,) in float64; equal where a sample does not move.
        times: the start, the method's nodes and the end, as the derivative sees them; None where not made yet.
        dt: their difference, shaped to broadcast to the state.
        moves: which samples move, shape (batch,); None for all of them.
        fresh: samples whose slope at its start is evaluated anew, behind a jump, shape (batch,); None for none.
        inside: (samples, output times, fractions) of the outputs within it, or None.
        landing: (samples, output times) of those at its end, or None.
    """

    __slots__ = ("dt", "fresh", "inside", "landing", "moves", "t0", "t1", "times")

    def __init__(self, t0: Tensor, t1: Tensor, times=None, dt=None, moves=None, fresh=None):
        self.t0, self.t1, self.times, self.dt = t0, t1, times, dt
        self.moves, self.fresh, self.inside, self.landing = moves, fresh, None, None

    def of(self, source: Tensor) -> BatchInterval:
        """With every sample in the place of another, shape (batch,)."""
        return BatchInterval(self.t0[source], self.t1[source], [t[source] for t in self.times], self.dt[source])

    @property
    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """(samples, output times) of each tensor of outputs."""
        return [rows[:2] for rows in (self.inside, self.landing) if rows is not None]


class BatchClock:
    """Makes the time tensors of every sample's interval.

    Args:
        nodes: the method's.
        packing: of the state.
    """

    def __init__(self, nodes: Sequence[float], packing: BatchPacking):
        self.packing, self.dtype, self.device = packing, packing.dtype, packing.device
        self.exact = torch.float32 if packing.device.type == "mps" else torch.float64
        self._from_end = torch.tensor((0.0, *nodes, 1.0), dtype=self.exact, device=self.device).unsqueeze(1)
        self._from_start = 1 - self._from_end
        self._dt_shape = (-1, *[1] * (packing.y0.ndim - 1))

    def instant(self, t: Tensor) -> Tensor:
        """The times (batch,) as the derivative sees them."""
        return t.to(self.dtype).view(self.packing.time_shape)

    def length(self, dt: Tensor) -> Tensor:
        """Differences of times (batch,), such that they broadcast to the state."""
        return dt.to(self.dtype).view(self._dt_shape)

    def inside(self, t: Tensor, towards: Tensor) -> Tensor:
        """The neighbours of times (batch,) in the derivative's own precision."""
        return torch.nextafter(t.to(self.dtype), towards.to(self.dtype)).to(self.exact)

    def interval(self, t0: Tensor, t1: Tensor, start: Tensor | None = None, end: Tensor | None = None) -> BatchInterval:
        """The intervals from t0 to t1.

        Args:
            start, end: for the derivative to be evaluated at in place of the ends.
        """
        first, last = t0 if start is None else start, t1 if end is None else end
        times = torch.addcmul(self._from_end * last, self._from_start, first)
        if start is not None:  # which no rounding leads out of
            times = torch.where(first == last, first, times)
        times = times.to(self.dtype).view(-1, *self.packing.time_shape).unbind()
        return BatchInterval(t0, t1, times, self.length(t1 - t0))
