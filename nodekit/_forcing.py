"""Data in time as an input of a derivative: piecewise constant, linear or cubic."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .errors import InvalidTimes, UnknownOption


class Forcing(nn.Module):
    """Values given at times, as a function of time; differentiable by the values and by t.

    Before the first time and after the last it stays at the value there. Pass `forcing.breaks` as the option jump_t
    (kind "constant") or step_t, so that no step goes over a jump or a kink unawares.

    Args:
        t: times, strictly increasing, shape (n,).
        values: shape (n, …).
        kind: "constant" (the latest value), "linear", or "cubic" (Hermite, with slopes from the parabola through three
            neighbours; once continuously differentiable).

    Raises:
        InvalidTimes: times that do not increase, or are not as many as the values.
        UnknownOption: another kind.
    """

    def __init__(self, t: Any, values: Any, kind: str = "linear"):
        super().__init__()
        values = torch.as_tensor(values)
        if not (values.is_floating_point() or values.is_complex()):
            values = values.to(torch.get_default_dtype())
        t = torch.as_tensor(t, dtype=torch.float64, device=values.device)
        if t.ndim != 1 or len(t) < 2 or len(t) != len(values) or not bool((t[1:] > t[:-1]).all()):
            raise InvalidTimes(
                f"a forcing needs at least two increasing times and a value for each: {tuple(t.shape)} times, "
                f"values of shape {tuple(values.shape)}"
            )
        if kind not in ("constant", "linear", "cubic"):
            raise UnknownOption(f"no forcing is called {kind!r}", remedy="Known: constant, linear, cubic")
        self.kind = kind
        self.register_buffer("t", t)
        self.register_buffer("values", values)

    @property
    def breaks(self) -> list[float]:
        """Times at which the forcing jumps or has a kink."""
        times = self.t.tolist()
        return {"constant": times[1:], "linear": times, "cubic": [times[0], times[-1]]}[self.kind]

    def forward(self, t: Tensor) -> Tensor:
        """The value at time t; with further dimensions first, if t has them (one for each sample)."""
        t = torch.as_tensor(t, device=self.t.device)
        shape = t.shape + self.values.shape[1:]
        flat = t.reshape(-1).to(self.t.dtype)
        after = torch.searchsorted(self.t, flat.detach(), right=True)
        if self.kind == "constant":
            return self.values.index_select(0, (after - 1).clamp(min=0)).reshape(shape)
        left = (after - 1).clamp(0, len(self.t) - 2)
        t0, t1 = self.t[left], self.t[left + 1]
        x = ((flat - t0) / (t1 - t0)).clamp(0, 1)
        width, x = (part.to(self.values.dtype).view(-1, *[1] * (self.values.ndim - 1)) for part in (t1 - t0, x))
        v0, v1 = self.values.index_select(0, left), self.values.index_select(0, left + 1)
        if self.kind == "linear":
            return torch.lerp(v0, v1, x).reshape(shape)
        s0, s1 = (self._slopes().index_select(0, index) * width for index in (left, left + 1))
        value = v0 + x * (s0 + x * (3 * (v1 - v0) - 2 * s0 - s1 + x * (s0 + s1 - 2 * (v1 - v0))))
        return value.reshape(shape)

    def _slopes(self) -> Tensor:
        """Slopes at all times, of the parabola through a point and its neighbours."""
        widths = self.t.diff().to(self.values.dtype).view(-1, *[1] * (self.values.ndim - 1))
        secants = self.values.diff(dim=0) / widths
        if len(secants) == 1:
            return torch.cat([secants, secants])
        left, right = widths[:-1], widths[1:]
        inner = (right * secants[:-1] + left * secants[1:]) / (left + right)
        return torch.cat([2 * secants[:1] - inner[:1], inner, 2 * secants[-1:] - inner[-1:]])
