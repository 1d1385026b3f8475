"""The flow over an infinitesimal time: how gradients by times come about, of outputs and of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .._steps.control import host_values
from .context import RandomState
from .parameters import is_transformed
from .samples import sound_slope, spread


def carried_on(func, t: Tensor, y: Tensor, shift: Tensor, slope: Tensor | None = None) -> Tensor:
    """The flow from (t, y) over an infinitesimal time: y's value, and its derivatives by the shift up to the third.

    One step of Kutta's method of order 3, whose length is the shift.

    Args:
        shift: a zero that carries a gradient; of independent samples one for each, shaped like t.
        slope: f(t, y), if known.
    """
    if shift.ndim:
        # Samples that are somewhere not finite, or at no time, stay as they are.
        derivative, slope = func, None

        def func(t, y):
            return sound_slope(derivative, t, y, derivative(t, y), 0.0)

    slope = func(t, y) if slope is None else slope
    flat = spread(shift, y) if shift.ndim else shift
    middle = func(t + shift / 2, y + flat / 2 * slope)
    end = func(t + shift, y + flat * (2 * middle - slope))
    return y + flat / 6 * (slope + 4 * middle + end)


def slope_behind(func, t: Tensor, y: Tensor, time: Tensor) -> Callable:
    """The derivative as the solution leaves (t, y): `slope_on_one_side`, at points shortly behind, by this time."""
    random = RandomState(y.device)
    with torch.no_grad():
        slope = func(t, y)
        for _ in range(2):  # the first may be the slope of the other side
            slope = func(t + time, y + time * slope)
    random.restore(y.device)
    return slope_on_one_side(func, t, y, [(t + k * time, y + k * time * slope) for k in (1, 2)])


def slope_on_one_side(func, t: Tensor, y: Tensor, points: Sequence[tuple[Tensor, Tensor]]) -> Callable:
    """The derivative as it is on one side of (t, y), where its slope jumps right there; else the derivative.

    An event often is where the slope jumps: up to there the solution follows the slope before, and by it the event
    moves. That slope is the one extrapolated from two points on that side.

    Args:
        points: times and states there, the nearer one first. They move with t and y.
    """
    offsets = [(time - t, (state - y).detach()) for time, state in points]

    def extrapolated(t: Tensor, y: Tensor) -> Tensor:
        near, far = (func(t + time, y + state) for time, state in offsets)
        return 2 * near - far

    random = RandomState(y.device)
    with torch.no_grad():
        behind, here = extrapolated(t, y).detach(), func(t, y).detach()
    if RandomState(y.device) != random:  # it draws anew each time: that another slope comes out tells nothing
        random.restore(y.device)
        return func
    sizes, eps = behind.abs() + here.abs(), torch.finfo(y.dtype).eps
    # A slope that does not jump differs by the square of a short time, and by rounding.
    jumps = (here - behind).abs() > eps**0.5 * sizes + 100 * eps * sizes.max()
    if not host_values(jumps.any()):
        return func
    if not t.ndim:
        return extrapolated
    own = spread(jumps.flatten(1).any(1), y)
    return lambda t, y: torch.where(own, extrapolated(t, y), func(t, y))


def shift_of_zero(
    value_at: Callable, func, t: Tensor, y: Tensor, unavailable: Callable
) -> tuple[Tensor | None, Tensor]:
    """The implicit function theorem: where g(t, y(t)) = 0, that time moves by dτ = −dg/ġ.

    Two steps of Newton's iteration on g(t + τ, y(t + τ)) = 0, from the τ = 0 that solves it, give τ the value zero
    and the right derivatives up to the third.

    Args:
        value_at: g, of (t, y): a number, or one for every sample.
        t, y: where it is zero; y's time is held fixed in its gradient.
        unavailable: (which have no speed ġ, a shift, g) → the shift where there is none.

    Returns:
        τ, shaped like t (None where nothing is differentiable), and the state y(t + τ).
    """
    found = _speed(value_at, func, t, y)
    if found is None:
        return None, y
    value, rate, slope = found
    still = rate.detach() == 0.0
    first = -((value - value.detach()) / torch.where(still, 1.0, rate)).view(t.shape)
    moved, rate, _ = _speed(value_at, func, t + first, carried_on(func, t, y, first, slope)) or found
    shift = first - ((moved - moved.detach()) / torch.where(still, 1.0, rate)).view(t.shape)
    if host_values(still.any()):
        shift = unavailable(still.view(t.shape), shift, value)
    return shift, carried_on(func, t, y, shift, slope)


def _speed(value_at: Callable, func, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """g(t, y), how fast it changes along the solution, and y'; None if its time depends on nothing."""
    gradients = _gradients_under_transforms if is_transformed() else _gradients_by_autograd
    found = gradients(value_at, t, y)
    if found is None:
        return None
    value, by_time, by_state = found
    slope = func(t, y)
    return value, by_time.reshape(value.shape) + (by_state * slope).reshape(*value.shape, -1).sum(-1), slope


def _gradients_by_autograd(value_at: Callable, t: Tensor, y: Tensor):
    """A function's value, and its derivatives by t and y; None if its time depends on nothing."""
    time, state = (x if x.requires_grad else x.detach().requires_grad_() for x in (t, y))
    value, moving = value_at(t, y), value_at(time, state)
    if not value.requires_grad:
        if y.requires_grad and not moving.requires_grad:
            return value, torch.zeros_like(time), torch.zeros_like(y)
        return None
    found = torch.autograd.grad(moving.sum(), (time, state), create_graph=True, allow_unused=True)
    by_time, by_state = (torch.zeros_like(x) if g is None else g for g, x in zip(found, (time, state), strict=True))
    return value, by_time, by_state


def _gradients_under_transforms(value_at: Callable, t: Tensor, y: Tensor):
    value, pull = torch.func.vjp(lambda t, y: value_at(t, y).to(y), t, y)
    return value, *pull(torch.ones_like(value))
