"""How the steps of a solve are chosen, from its options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ._control import Controller, controller_coefficients
from ._loops import Adaptive, Callbacks, FixedGrid, OpenGrid, grid_points
from ._methods import Method
from ._options import Options, is_fixed
from ._times import as_floats
from ._tolerance import Tolerance
from .errors import InvalidOption


def make_plan(
    method: Method,
    options: Options,
    exponent: int | None,
    times: list[float],
    tolerance: Tolerance,
    norm: Callable,
    callbacks: Callbacks,
    construct: Callable[[Callable], Sequence[float]] | None = None,
) -> FixedGrid | Adaptive:
    """How the steps of a solve are chosen.

    Args:
        exponent: the error estimate's power of dt.
        construct: calls the grid constructor.
    """
    limit, open_end = int(options.max_num_steps), math.isinf(times[-1])
    if is_fixed(method, options) and open_end:
        sized = math.copysign(float(options.step_size), times[-1])
        given = {"check_finite": options.check_finite, "callbacks": callbacks}
        return OpenGrid(times, options.perturb, step_size=sized, max_num_steps=limit, **given)
    if is_fixed(method, options):
        points = construct(options.grid_constructor) if options.grid_constructor is not None else None
        step_size = None if options.step_size is None else float(options.step_size)
        points = grid_points(times, step_size, points)
        return FixedGrid(points, options.perturb, check_finite=options.check_finite, callbacks=callbacks)
    p, i, d = controller_coefficients(options.controller)
    p, i, d = (a if b is None else b for a, b in ((p, options.pcoeff), (i, options.icoeff), (d, options.dcoeff)))
    floats = [float(x) for x in (options.safety, options.ifactor, options.dfactor)]
    return Adaptive(
        tolerance,
        Controller(exponent, *floats, p, i, d),
        norm,
        first_step=None if options.first_step is None else abs(float(options.first_step)),
        min_step=float(options.min_step),
        max_step=float(options.max_step),
        max_num_steps=limit,
        step_t=_times("step_t", options.step_t),
        jump_t=_times("jump_t", options.jump_t),
        callbacks=callbacks,
    )


def _times(name: str, values) -> list[float]:
    try:
        return as_floats(values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidOption(f"the option {name} must be times, not {values!r}") from error
