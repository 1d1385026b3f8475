"""Data in time as an input of a derivative: piecewise constant, linear or cubic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ._choices.times import increases, without_padding
from .errors import InvalidTimes, UnknownOption


class Forcing(nn.Module):
    """Values given at times, as a function of time; differentiable by the values and by t.

    Before the first time and after the last it stays at the value there. Pass `forcing.breaks` as the option jump_t
    (kind "constant") or step_t, so that no step goes over a jump or a kink unawares.

    Args:
        t: times, strictly increasing, shape (n,); or (batch, n) for samples that have times of their own, where rows of
            fewer times end in NaN or the last time again.
        values: shape (n, …), or (batch, n, …), of which those at padding are not read.
        kind: "constant" (the latest value), "linear", or "cubic" (Hermite, with slopes from the parabola through three
            neighbours; once continuously differentiable).

    Raises:
        InvalidTimes: times that do not increase, are less than two, or are not as many as the values; those of jumps
            that require a gradient.
        UnknownOption: another kind.
    """

    def __init__(self, t: Any, values: Any, kind: str = "linear"):
        super().__init__()
        values = torch.as_tensor(values)
        if not (values.is_floating_point() or values.is_complex()):
            values = values.to(torch.get_default_dtype())
        t = torch.as_tensor(t, dtype=torch.float64, device=values.device)
        if t.ndim not in (1, 2) or t.shape != values.shape[: t.ndim]:
            raise InvalidTimes(
                f"a forcing needs a value for each of its times, (n,) or (batch, n): {tuple(t.shape)} times, values of "
                f"shape {tuple(values.shape)}"
            )
        self.own = t.ndim == 2
        rows, given = without_padding(t) if self.own else (t[None], torch.ones_like(t[None], dtype=torch.bool))
        fine = increases(rows, given) & torch.isfinite(rows).all(1) & (given.sum(1) >= 2)
        if not fine.all():
            i = int(fine.long().argmin())
            raise InvalidTimes(
                f"a forcing needs at least two increasing times, not {t[i].tolist() if self.own else t.tolist()}",
                sample=i if self.own else None,
                remedy="Only NaN, or the last time again, may end the rows of samples that have fewer" * self.own,
            )
        if kind not in ("constant", "linear", "cubic"):
            raise UnknownOption(f"no forcing is called {kind!r}", remedy="Known: constant, linear, cubic")
        if kind == "constant" and t.requires_grad:
            raise InvalidTimes(
                "the times of a constant forcing require a gradient, but when it jumps is taken as constant",
                remedy="Detach them, or let the solve restart at such a time, by an Event whose change returns y",
            )
        self.kind = kind
        self.register_buffer("t", rows if self.own else t)
        self.register_buffer("values", values)

    def _apply(self, fn, recurse=True):
        # Of another dtype, as by bfloat16(), are the values alone: rounded times would be others.
        t = self.t
        super()._apply(fn, recurse)
        self.t = t.to(self.t.device)
        return self

    @property
    def breaks(self) -> list[float] | Tensor:
        """Times at which the forcing jumps or has a kink; of samples with own times (batch, k), NaN for none.

        Where they require a gradient a tensor that does, too, as step_t expects it.
        """
        t, ends = self.t, self.t[..., :: self.t.shape[-1] - 1]
        times = {"constant": t[..., 1:], "linear": t, "cubic": t if t.requires_grad else ends}[self.kind]
        if not self.own:
            return times if times.requires_grad else times.tolist()
        return times.where(times.diff(dim=1, prepend=times[:, :1] - 1) > 0, torch.nan)

    def forward(self, t: Tensor) -> Tensor:
        """The value at time t.

        Args:
            t: a number, or a tensor of any shape; for samples with own times a number, or with the batch first.

        Returns:
            Shape (*t.shape, …), where trailing dimensions of length one that t has beside its first, as the times of
            independent samples have, make room for those of a value: (batch, 1) and (n, d) give (batch, d). Of samples
            with own times and a number: (batch, …).

        Raises:
            InvalidTimes: times of another number of samples.
        """
        t = torch.as_tensor(t, device=self.t.device)
        value = self.values.shape[1 + self.own :]
        if self.own:
            t = t.expand(len(self.t)) if t.ndim == 0 else t
            if len(t) != len(self.t):
                raise InvalidTimes(f"the forcing has times for {len(self.t)} samples, it is asked at {tuple(t.shape)}")
        flat = t.reshape((len(t), t.shape[1:].numel()) if self.own else (1, t.numel()))
        return self._at(flat.to(self.t.dtype)).reshape((*_with_room(t.shape, len(value)), *value))

    def _at(self, t: Tensor) -> Tensor:
        """The values at times (rows, k), flattened to (rows · k, …)."""
        rows = self.t if self.own else self.t[None]
        count = self._count(rows)
        after = torch.searchsorted(rows, t.detach().contiguous(), right=True)
        first = torch.arange(len(rows), device=t.device)[:, None] * rows.shape[1]
        values = self.values.flatten(0, 1) if self.own else self.values
        if self.kind == "constant":
            return values.index_select(0, (first + (after.clamp(max=count) - 1).clamp(min=0)).reshape(-1))
        left = (after - 1).clamp(max=count - 2).clamp(min=0)
        t0, t1 = rows.gather(1, left), rows.gather(1, left + 1)
        x = (t - t0) / (t1 - t0)
        # No clamp, which has no derivative at its bounds, where the given times are.
        x = torch.where(x < 0, 0.0, torch.where(x > 1, 1.0, x))
        left = (first + left).reshape(-1)
        width, x = (part.to(values.dtype).view(-1, *[1] * (values.ndim - 1)) for part in (t1 - t0, x))
        v0, v1 = values.index_select(0, left), values.index_select(0, left + 1)
        if self.kind == "linear":
            return torch.lerp(v0, v1, x)
        slopes = self._slopes()
        s0, s1 = (slopes.index_select(0, index) * width for index in (left, left + 1))
        return v0 + x * (s0 + x * (3 * (v1 - v0) - 2 * s0 - s1 + x * (s0 + s1 - 2 * (v1 - v0))))

    def _slopes(self) -> Tensor:
        """Slopes at all times, of the parabola through a point and its neighbours, rows one after the other."""
        rows, values = (self.t, self.values) if self.own else (self.t[None], self.values[None])
        places = (..., *[None] * (values.ndim - 2))
        widths = rows.diff(dim=1)
        widths = widths.where(widths > 0, 1.0).to(values.dtype)[places]  # any width where padding is
        secants = values.diff(dim=1) / widths
        left, right = widths[:, :-1], widths[:, 1:]
        inner = (right * secants[:, :-1] + left * secants[:, 1:]) / (left + right)
        # A row of two times has the same slope at both.
        last = self._count(rows) - 1
        few = (last == 1)[places]
        padded = torch.cat([secants[:, :1], inner, secants[:, -1:]], dim=1)
        each = torch.arange(len(rows), device=rows.device)[:, None]
        at_start = torch.where(few, secants[:, :1], 2 * secants[:, :1] - padded[:, 1:2])
        before_end = secants[each, last - 1]
        at_end = torch.where(few, before_end, 2 * before_end - padded[each, last - 1])
        is_end = (torch.arange(rows.shape[1], device=rows.device) == last)[places]
        return torch.where(is_end, at_end, torch.cat([at_start, padded[:, 1:]], dim=1)).flatten(0, 1)

    @staticmethod
    def _count(rows: Tensor) -> Tensor:
        """How many times each row has, shape (rows, 1)."""
        return 1 + (rows.diff(dim=1) > 0).sum(1, keepdim=True)


def _with_room(shape: torch.Size, dimensions: int) -> torch.Size:
    """The shape of times without as many of its trailing ones, beside the first, as a value has dimensions."""
    kept = len(shape)
    while kept > 1 and len(shape) - kept < dimensions and shape[kept - 1] == 1:
        kept -= 1
    return shape[:kept]
