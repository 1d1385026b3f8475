"""The public function odeint_event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._solve import odeint


def odeint_event(
    func: Callable,
    y0: Any,
    t0: Any,
    *,
    event_fn: Callable,
    reverse_time: bool = False,
    odeint_interface: Callable = odeint,
    **more: Any,
) -> tuple[Tensor, Any]:
    """Solve until event_fn is zero: torchdiffeq's signature.

    Args:
        func, y0: as in `odeint`.
        t0: the start, a number or a tensor; differentiable.
        event_fn: g(t, y) → a number, or several, of which the first zero counts.
        reverse_time: solve backwards in time.
        odeint_interface: `odeint` or `odeint_adjoint`.
        more: their other arguments.

    Returns:
        The event's time, and the states at the start and at the event, stacked. Gradients go through both, by the
        implicit function theorem (Chen, Amos & Nickel 2021, Learning neural event functions).

    Raises:
        EventNotReached: none until the option t_max, or within 100,000 steps (the option max_num_steps).
    """
    start = t0 if isinstance(t0, Tensor) and t0.is_floating_point() else torch.as_tensor(t0, dtype=torch.float64)
    start = start.reshape(1)
    t = torch.cat([start, start.detach() + (-1.0 if reverse_time else 1.0)])
    return odeint_interface(func, y0, t, event_fn=event_fn, **more)
