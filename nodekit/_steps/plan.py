"""How the steps of a solve are chosen, from its options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._choices.options import Options, is_fixed
from .._choices.times import as_floats, sample_stops
from .._choices.tolerance import Tolerance
from .._methods import Method
from ..errors import InvalidOption, look_up
from .chosen import Chosen
from .chosen_samples import ChosenSamples
from .clock import SampleClock, has_time_gradients
from .control import CONTROLLERS, Controller
from .given import Endless, Given, grid_points
from .loops import Callbacks
from .sample_steps import GivenSamples, padded


def make_plan(
    method: Method,
    options: Options,
    exponent: int | None,
    times: list[float],
    tolerance: Tolerance,
    norm: Callable,
    callbacks: Callbacks,
    construct: Callable[[Callable], Sequence[float]] | None = None,
) -> Given | Chosen:
    """How the steps of a solve are chosen.

    Args:
        exponent: the error estimate's power of dt.
        construct: calls the grid constructor.
    """
    given = {"check_finite": options.check_finite, "callbacks": callbacks}
    if is_fixed(method, options) and math.isinf(times[-1]):
        sized, limit = math.copysign(options.step_size, times[-1]), int(options.max_num_steps)
        return Endless(times, options.perturb, step_size=sized, max_num_steps=limit, **given)
    if is_fixed(method, options):
        points = construct(options.grid_constructor) if options.grid_constructor is not None else None
        return Given(grid_points(times, options.step_size, points), options.perturb, **given)
    step_t, jump_t = (_times(name, getattr(options, name)) for name in ("step_t", "jump_t"))
    if _has_gradient(options.step_t):
        step_t, jump_t = [], step_t + jump_t
    return Chosen(step_t=step_t, jump_t=jump_t, **_limits(options, exponent, tolerance, norm, callbacks))


def make_sample_plan(
    method: Method,
    options: Options,
    exponent: int | None,
    times: tuple[Tensor, Tensor],
    tolerance: Tolerance,
    norm: Callable,
    callbacks: Callbacks,
    clock: SampleClock,
) -> GivenSamples | ChosenSamples:
    """How the steps of independent samples are chosen.

    Args:
        times: the output times (batch, times) on the host, and which of them are none.
    """
    host_times, absent = times[0], times[1].to(clock.device)
    on_device = host_times.to(clock.exact).to(clock.device)
    if is_fixed(method, options):
        rows = [tuple(row) for row in host_times.tolist()]
        grids = {row: grid_points(list(dict.fromkeys(row)), options.step_size, None) for row in set(rows)}
        points = padded([grids[row] for row in rows])
        given = {"perturb": options.perturb, "check_finite": options.check_finite, "callbacks": callbacks}
        return GivenSamples(times=on_device, absent=absent, points=points, host_times=host_times, **given)
    step_t, jump_t = (
        sample_stops(name, getattr(options, name), len(host_times)).to(on_device) for name in ("step_t", "jump_t")
    )
    if _has_gradient(options.step_t):
        step_t, jump_t = step_t[:, :0], torch.cat([step_t, jump_t], dim=1)
    limits = _limits(options, exponent, tolerance, norm, callbacks)
    return ChosenSamples(times=on_device, absent=absent, step_t=step_t, jump_t=jump_t, **limits)


def _limits(
    options: Options, exponent: int | None, tolerance: Tolerance, norm: Callable, callbacks: Callbacks
) -> dict[str, Any]:
    """What every plan of chosen steps has."""
    p, i, d = look_up(options.controller, CONTROLLERS, "controller")
    p, i, d = (a if b is None else b for a, b in ((p, options.pcoeff), (i, options.icoeff), (d, options.dcoeff)))
    return {
        "tolerance": tolerance,
        "controller": Controller(exponent, options.safety, options.ifactor, options.dfactor, p, i, d),
        "norm": norm,
        "first_step": options.first_step,
        "min_step": options.min_step,
        "max_step": options.max_step,
        "max_num_steps": int(options.max_num_steps),
        "callbacks": callbacks,
    }


def _has_gradient(step_t: Any) -> bool:
    """Whether kinks are differentiated by their place; of backward solves, too, which record nothing themselves."""
    return has_time_gradients(step_t) or (isinstance(step_t, Tensor) and step_t.requires_grad)


def _times(name: str, values) -> list[float]:
    try:
        return as_floats(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidOption(f"the option {name} must be times, not {values!r}") from error
