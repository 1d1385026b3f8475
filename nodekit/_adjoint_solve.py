"""The backward solve of a continuous adjoint: the forward solve's method, tolerances and options, unless overridden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _methods
from ._loops import Adaptive, FixedGrid
from ._methods import Method
from ._options import callbacks_of, clock_of, is_fixed, make_plan, norm_of, parse, tolerance_of
from ._problem import Backward, Problem
from ._state import Packing
from .errors import UnsupportedCombination


@dataclass
class AdjointChoices:
    """What `odeint_adjoint` lets one choose for the backward solve; None: as in the forward solve.

    Attributes:
        rtol, atol, method, options: as of `solve`.
        strict: whether unknown options are errors.
    """

    rtol: Any = None
    atol: Any = None
    method: str | None = None
    options: dict[str, Any] | None = None
    strict: bool = True


def backward_solve(
    problem: Problem, method: Method, options: dict | None, tolerance, packing: Packing, choices: AdjointChoices
) -> Backward:
    """The backward solve that belongs to a forward one.

    With fixed steps it goes over the forward grid in reverse. The norm option of the forward solve is not taken over.

    Args:
        method, options, tolerance: of the forward solve.

    Raises:
        UnsupportedCombination: another method without options of its own, or an unknown norm.
    """
    if choices.method is not None and _methods.find(choices.method) is not method:
        if options and choices.options is None:
            raise UnsupportedCombination(
                "with another adjoint_method the options of the forward solve cannot be taken over",
                remedy="Pass adjoint_options",
            )
        method = _methods.find(choices.method)
    if method is _methods.SCIPY:
        if choices.method is not None:
            raise UnsupportedCombination("SciPy cannot solve backwards", remedy="Choose another adjoint_method")
        method, options = _methods.find("dopri5"), None
    own = choices.options is not None
    given = dict((choices.options if own else options) or {})
    norm = given.pop("norm", None) if own else None
    if not own:
        given.pop("norm", None)
    if norm not in (None, "seminorm") and not callable(norm):
        raise UnsupportedCombination(f"the adjoint's norm must be 'seminorm' or a function, not {norm!r}")
    parsed, special = parse(method, given, choices.strict)
    if choices.rtol is not None or choices.atol is not None:
        chosen = (forward if mine is None else mine for forward, mine in zip(
            (tolerance.rtol, tolerance.atol), (choices.rtol, choices.atol), strict=True
        ))  # fmt: skip
        tolerance = tolerance_of(*chosen, packing)
    stepper = method.stepper(**special)
    callbacks = callbacks_of(problem.func.func, problem.func, method, parsed, "_adjoint")
    state_norm, forward_plan = norm_of(parsed, packing), problem.plan
    stats = problem.stats
    same_grid = not own and isinstance(forward_plan, FixedGrid) and is_fixed(method, parsed)

    # What these functions refer to must not lead back to the problem, which would keep itself alive.
    def plan(span: list[float], previous, parameters):
        if same_grid:
            low, high = sorted(span)
            inside = [point for point in forward_plan.points if low < point < high]
            points = [span[0], *reversed(inside), span[1]]
            return FixedGrid(points, parsed.perturb, check_finite=False, callbacks=callbacks)
        if previous is not None and not isinstance(previous, FixedGrid):
            return previous
        error_norm = _norm(norm, state_norm, packing, parameters)
        made = make_plan(method, parsed, stepper.error_exponent, span, tolerance, error_norm, callbacks)
        if isinstance(made, Adaptive) and "max_num_steps" not in given:
            # Where the state explodes backwards, steps shrink to nothing: that is not to be waited for.
            made.patience = 200 + stats.accepted + stats.rejected
        return made

    return Backward(stepper, clock_of(stepper, packing), plan)


def _norm(chosen, state_norm: Callable, packing: Packing, parameters) -> Callable[[Tensor], Tensor]:
    """The norm of the backward solve's error: a seminorm (Kidger et al. 2021, Hey, that's not an ODE).

    The larger of the forward solve's norms of z and of a; the parameters' integral has no part in it. A function is
    called as torchdiffeq does, with (t, z, a, *parameters), of which t's and the parameters' errors are zero here.
    """

    def norm(x: Tensor) -> Tensor:
        parts = x.unbind() if x.ndim > packing.y0.ndim else (torch.zeros_like(x), x)
        if not callable(chosen):
            return torch.stack([state_norm(part) for part in parts]).max()
        z, a = map(packing.unpack, parts)
        states = (z, a) if packing.single else (*z, *a)
        return torch.as_tensor(chosen((x.new_zeros(()), *states, *map(torch.zeros_like, parameters))))

    return norm
