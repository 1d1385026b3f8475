"""torchdiffeq's four functions, with its signatures, on `solve`: unknown options are warnings here, not errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ._solve import solve
from ._steps.dense import DenseSolution
from .errors import EventNotReached, GradientUnavailable, InvalidTimes


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
        return _until_event(func, y0, t, event_fn, {**given, **more})
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
    times = torch.stack([torch.as_tensor(t, dtype=torch.float64, device="cpu").reshape(()) for t in (t0, t1)])
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


def _until_event(func: Callable, y0: Any, t: Any, event_fn: Callable, given: dict[str, Any]) -> tuple[Tensor, Any]:
    """The first zero of event_fn, as torchdiffeq asks for it.

    Args:
        t: the start, alone or followed by a time whose direction counts.
        given: further arguments of `solve`; among the options, t_max bounds the search.

    Returns:
        The event's time, and the states at the start and at the event, stacked.
    """
    independent = given.get("batch", "shared") != "shared"
    span = t if isinstance(t, Tensor) else torch.as_tensor(t, dtype=torch.float64)
    span = span if span.is_floating_point() or span.is_complex() else span.double()
    span = span if span.ndim and (independent or span.ndim == 1) else span.reshape(-1)
    if span.shape[-1] not in (1, 2):
        raise InvalidTimes(
            f"with event_fn, t has the start and perhaps a direction, not {span.shape[-1]} entries",
            remedy="For output times on the way to an event use nodekit.solve(…, events=…)",
        )
    options = dict(given["options"] or {})
    start, limit = span[..., :1], options.pop("t_max", None)
    end = torch.full_like(start.detach(), math.inf if limit is None else float(limit))
    if limit is None and span.shape[-1] == 2:
        end = torch.copysign(end, span[..., 1:].detach() - start.detach())
    given = {**given, "options": options}
    solution = solve(func, y0, torch.cat([start, end], dim=-1), events=[event_fn], **given)
    happened = torch.as_tensor(solution.events.terminated)
    if solution.success and not happened.all() and given.get("throw", True):
        raise EventNotReached(
            f"the event function has no zero until t = {float(limit):g}",
            sample=int(happened.long().argmin()) if happened.ndim else None,
            remedy="Raise the option t_max",
        )
    event_t, states = solution.events.t, solution.events.y
    if independent:
        return event_t, tree_map(_stacked, solution.y, states)
    if not len(event_t):
        event_t, states = end * math.nan, tree_map(lambda y: y[:1] * math.nan, solution.y)
    return event_t[-1], tree_map(_joined, solution.y, states)


def _stacked(outputs, end):
    return _joined(outputs, end[None])


def _joined(start, end):
    return (torch.cat if isinstance(start, Tensor) else np.concatenate)([start[:1], end[-1:]])
