"""torchdiffeq's four functions, with its signatures, on `solve`: unknown options are warnings here, not errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ._dense import DenseSolution
from ._events import solve_until_event
from ._solve import solve
from .errors import GradientUnavailable


def odeint(
    func: Callable,
    y0: Any,
    t: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable | None = None,
    gradient: str = "checkpoint",
    **more: Any,
) -> Any:
    """Solve y' = func(t, y), y(t[0]) = y0: torchdiffeq's signature, with the choice of `gradient`.

    Args:
        func, y0, t, rtol, atol, method, options, gradient: as in `solve`.
        event_fn: function of (t, y), one number or several; the solve ends where one of them is first zero. Of t only
            the start counts, and the direction if it has two entries. The option t_max bounds the search.
        more: other arguments of `solve`; of these strict is false by default.

    Returns:
        The state at the times t, times first. With event_fn: the event's time, and the states at the start and at the
        event; both are differentiable.

    Raises:
        NodekitError: see `nodekit.errors`.
    """
    given = {"rtol": rtol, "atol": atol, "method": method, "options": options, "gradient": gradient, "strict": False}
    if event_fn is not None:
        return solve_until_event(solve, func, y0, t, event_fn, {**given, **more})
    return solve(func, y0, t, **{**given, **more}).y


def odeint_adjoint(
    func: Callable,
    y0: Any,
    t: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    event_fn: Callable | None = None,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: dict[str, Any] | None = None,
    adjoint_params: Iterable[Tensor] | None = None,
) -> Any:
    """`odeint` differentiated by the continuous adjoint, with torchdiffeq's signature.

    Args:
        adjoint_params: tensors to differentiate by, beside those found. Required (it may be empty) unless func is a
            module, as in torchdiffeq.

    Raises:
        NodekitError: see `nodekit.errors`.
    """
    if adjoint_params is None and not isinstance(func, nn.Module):
        raise GradientUnavailable(
            "func is not a torch.nn.Module, so its parameters are not known",
            remedy="Pass adjoint_params (an empty tuple if there are none)",
        )
    return odeint(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, event_fn=event_fn, gradient="adjoint",
        adjoint_rtol=adjoint_rtol, adjoint_atol=adjoint_atol, adjoint_method=adjoint_method,
        adjoint_options=adjoint_options, params=adjoint_params or (),
    )  # fmt: skip


def odeint_dense(
    func: Callable,
    y0: Any,
    t0: Any,
    t1: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
) -> DenseSolution:
    """Solve y' = func(t, y), y(t0) = y0 up to t1 and return the solution as a function of t: torchdiffeq's signature.

    Any method and any state will do. See `solve` for the arguments.
    """
    times = [float(t0), float(t1)]
    given = {"rtol": rtol, "atol": atol, "method": method, "options": options, "strict": False}
    return solve(func, y0, times, dense=True, **given).dense


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
