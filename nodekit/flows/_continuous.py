"""The continuous normalizing flow: data flow along a vector field, and their density with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .._solve import solve
from ..errors import UnknownOption, nearest
from ._base import Flow, StandardNormal
from ._trace import TRACES, Trace


class ContinuousFlow(Flow):
    """The flow of dz/dt = field(t, z) from data at t[0] to the base distribution at t[1].

    The log-density along a path changes by the negative trace of the field's Jacobian (instantaneous change of
    variables, Chen et al. 2018, theorem 1); both are solved as one system. The field need not be invertible itself.

    A conditional flow is one whose field takes a context: what the methods here are given as context becomes the
    field's third argument, and receives its gradient.

    Args:
        field: module (t, z (…, d)) → (…, d), or (t, z, context) → (…, d), that moves every point on its own:
            `HyperPlanarField`, `MLPField`, yours. With a method `with_trace`, of the same arguments, it gives its
            trace in closed form. With an attribute `dimension`, d, the default base can be sampled from.
        base: see `Flow`; by default the standard normal distribution.
        trace: "exact" (closed form where there is one, otherwise by autograd), "autograd", "hutchinson" (random
            signs), or "hutchinson_gaussian"; a probe is drawn from torch's global generator for every solve.
        t: times of data and base: numbers, or tensors, which get their gradients (as a parameter, a learned end time).
        method, rtol, atol, options, gradient: see `nodekit.odeint`.

    Raises:
        UnknownOption: for another trace.
    """

    def __init__(
        self,
        field: nn.Module,
        base: Any = None,
        *,
        trace: str = "exact",
        t: tuple[Any, Any] | Tensor = (0.0, 1.0),
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        options: dict | None = None,
        gradient: str = "checkpoint",
    ):
        if trace not in TRACES:
            raise UnknownOption(f"unknown trace {trace!r}", remedy=nearest(trace, TRACES))
        super().__init__(StandardNormal(getattr(field, "dimension", None)) if base is None else base)
        self.field, self.trace, self.t = field, trace, t
        self.arguments = {"method": method, "rtol": rtol, "atol": atol, "options": options, "gradient": gradient}

    def forward(self, x: Tensor, context: Any = None) -> tuple[Tensor, Tensor]:
        """Points z (…, d) of data x (…, d), and log|det ∂z/∂x| (…) or its estimate."""
        return self._ends(x, self.t, context)

    def inverse(self, z: Tensor, context: Any = None) -> tuple[Tensor, Tensor]:
        """Data x (…, d) of points z (…, d), and log|det ∂x/∂z| (…) or its estimate."""
        return self._ends(z, (self.t[1], self.t[0]), context)

    def log_prob(self, x: Tensor, context: Any = None, *, time: float | None = None) -> Tensor:
        """The log-density (…) at points x (…, d) of what the data have become at a time, by default at t[0].

        Args:
            context: what the field takes beside t and z, such as a tensor (…, c); None: nothing.
        """
        start = self.t[0] if time is None else time
        if start == self.t[1]:
            return self.base.log_prob(x)
        z, logdet = self._ends(x, (start, self.t[1]), context)
        return self.base.log_prob(z) + logdet

    def trajectory(self, x: Tensor, times: Any, context: Any = None) -> tuple[Tensor, Tensor]:
        """The path of points x (…, d) that are at x at times[0].

        Args:
            x: where the paths begin.
            times: strictly monotone (T,); decreasing ones lead from the base back to the data. Tensors are
                differentiated.
            context: as of `log_prob`.

        Returns:
            Points (T, …, d), and the log-determinants (T, …) of the map from x to them.
        """
        trace, draw = TRACES[self.trace]
        dynamics = _Augmented(self.field, trace, None if draw is None else draw(x))
        state = torch.cat((x, x.new_zeros(*x.shape[:-1], 1)), dim=-1)
        if isinstance(times, list | tuple) and any(isinstance(time, Tensor) for time in times):
            # One tensor of them keeps their gradients.
            times = torch.stack([torch.as_tensor(time, dtype=torch.float64, device="cpu") for time in times])
        states = solve(dynamics, state, times, args=() if context is None else (context,), **self.arguments).y
        return states[..., :-1], states[..., -1]

    def _ends(self, x: Tensor, times: tuple[Any, Any] | Tensor, context) -> tuple[Tensor, Tensor]:
        points, logdets = self.trajectory(x, times, context)
        return points[-1], logdets[-1]


class _Augmented(nn.Module):
    """The field with the trace as one more coordinate, its probe fixed."""

    def __init__(self, field: nn.Module, trace: Trace, probe: Tensor | None):
        super().__init__()
        self.field, self.trace, self.probe = field, trace, probe

    def forward(self, t: Tensor, state: Tensor, *context) -> Tensor:
        velocity, trace = self.trace(self.field, t, state[..., :-1], self.probe, *context)
        return torch.cat((velocity, trace[..., None]), dim=-1)
