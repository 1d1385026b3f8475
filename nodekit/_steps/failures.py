"""How the failures of a solve's steps are worded, once for all loops, and what is looked up to word them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import EventNotReached, MaxStepsReached, NewtonDidNotConverge, NonFiniteDerivative, StepSizeUnderflow
from .numbers import host

#: Steps longer than this over the spectral radius are as long as the stability of most explicit methods allows.
STABLE = 1.5


def too_many_steps(steps: int, stiff: bool = False, noisy: bool = False, **where) -> MaxStepsReached:
    """The failure of a solve that did not reach its end; where: its t and dt, and its sample if there are several."""
    remedy = "Loosen rtol and atol, raise the option max_num_steps, or use an implicit method if the problem is stiff"
    if stiff:
        remedy = "The steps are as long as the stability of an explicit method allows: use an implicit one"
    remedy += " (method='kvaerno5', or 'auto')"
    if noisy:
        remedy = "The derivative differs from call to call at the same time and state (dropout, noise): "
        remedy += "call eval(), draw once for the whole solve, or take fixed steps"
    return MaxStepsReached(f"{steps} steps did not reach the end", remedy=remedy, **where)


def too_slow(steps: int, **where) -> MaxStepsReached:
    """The failure of a solve that made so little way that its steps seem to shrink to nothing."""
    return MaxStepsReached(f"{steps} steps were not a hundredth of the way", **where)


def no_event(what: str, **where) -> EventNotReached:
    """The failure of a solve that only an event can end."""
    remedy = (
        "Check that the event function changes sign; bound the search with the option t_max, or raise max_num_steps"
    )
    return EventNotReached(what, remedy=remedy, **where)


def failing_error_test(others: str, dtype: torch.dtype, **where) -> StepSizeUnderflow:
    """The failure of a solve whose steps are all too inaccurate.

    Args:
        others: what to try beside the tolerances.
        dtype: of the state.
    """
    exact = "" if dtype in (torch.float64, torch.complex128) else ", use a float64 state"
    return StepSizeUnderflow(
        "the error test fails at every step size that float64 time resolves",
        remedy=f"Loosen rtol and atol{exact}{others}",
        **where,
    )


def not_finite(**where) -> NonFiniteDerivative:
    """The failure of a solve whose steps lead to what is infinite or not a number, however small they are."""
    return NonFiniteDerivative(
        "the derivative is infinite or not a number",
        remedy="The solution may grow without bound before the end, or the derivative may not be defined there",
        **where,
    )


def unsolved_equations(why: str = "could not be solved", **where) -> NewtonDidNotConverge:
    """The failure of one of several samples' implicit steps."""
    return NewtonDidNotConverge(
        f"the equations of an implicit step {why}",
        remedy="Take smaller steps (step_size, max_step), raise max_newton_iterations or loosen newton_tol",
        **where,
    )


def is_noisy(func, t: Tensor, y: Tensor) -> bool:
    """Whether two evaluations of the derivative at the same place differ."""
    with torch.no_grad():
        return not torch.equal(func(t, y), func(t, y))


def spectral_radius(func, t: Tensor, y: Tensor) -> float:
    """About the largest absolute eigenvalue of the derivative's Jacobian, by the nonlinear power method.

    Sommeijer, Shampine & Verwer 1998, J. Comput. Appl. Math. 88. Of several samples the largest; NaN if unknown.
    """
    with torch.no_grad():
        slope = func(t, y)
        direction, radius = slope + torch.finfo(y.dtype).eps, math.nan
        distance = math.sqrt(torch.finfo(y.dtype).eps) * (1 + torch.linalg.vector_norm(y))
        for _ in range(20):
            direction = direction * (distance / torch.linalg.vector_norm(direction))
            direction = func(t, y + direction) - slope
            radius = host(torch.linalg.vector_norm(direction) / distance)
    return radius


def offending_sample(y: Tensor) -> int | None:
    """Index of the first sample (along the first dimension) that is not finite, if the state has samples."""
    if y.ndim < 2:
        return None
    bad = (~torch.isfinite(y).flatten(1).all(1)).nonzero()
    return int(bad[0]) if len(bad) else None


def unresolved_step(**where) -> StepSizeUnderflow:
    """The failure of a step that would not move in time; where: its t and dt, and its sample if there are several."""
    return StepSizeUnderflow(
        "a step is smaller than float64 resolves at this time",
        remedy="Measure time from a nearer origin, or allow larger steps (first_step, max_step)",
        **where,
    )
