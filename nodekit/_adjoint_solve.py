"""The backward solve of a continuous adjoint: the forward solve's method, tolerances and options, unless overridden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from . import _methods
from ._callbacks import callbacks_of
from ._choices import Choices
from ._control import norm_of
from ._given import Given
from ._loops import Stats
from ._options import is_fixed, parse
from ._plan import make_plan
from ._problem import Problem, Record
from ._requirements import require
from ._sample_adjoint_solve import sample_backward_solve
from ._state import Derivative, Packing
from ._tolerance import Tolerance, tolerance_of


def backward_solve(choices: Choices, derivative: Derivative, tolerance: Tolerance) -> Callable[..., Problem]:
    """The backward solve that belongs to a forward one, as `Problem.backward`.

    With fixed steps it goes over the forward grid in reverse. The norm option of the forward solve is not taken over.

    Args:
        derivative, tolerance: of the forward solve.
    """
    packing, own = derivative.packing, choices.adjoint_options is not None
    method, options = choices.adjoint_method or choices.method, choices.given_options
    if method is _methods.SCIPY:
        method, options = _methods.find("dopri5"), None
    given = dict((choices.adjoint_options if own else options) or {})
    norm = given.pop("norm", None)
    norm = norm if own else None
    parsed, own_options = parse(method, given, choices.strict)
    require(Choices(method, parsed, batch=choices.batch, own_options=own_options))
    if choices.adjoint_rtol is not None or choices.adjoint_atol is not None:
        chosen = (forward if mine is None else mine for forward, mine in zip(
            (tolerance.rtol, tolerance.atol), (choices.adjoint_rtol, choices.adjoint_atol), strict=True
        ))  # fmt: skip
        tolerance = tolerance_of(*chosen, packing)
    stepper = method.stepper(**own_options)
    callbacks = callbacks_of(choices.func, derivative, method, parsed, choices.strict, "_adjoint")
    fixed = is_fixed(method, parsed)
    if choices.batch == "independent":
        more = {"own": own, "norm": norm, "patient": "max_num_steps" in given, "callbacks": callbacks}
        return sample_backward_solve(method, parsed, stepper, packing, tolerance, **more)
    clock, state_norm = choices.gradient.clock(stepper.nodes, packing), norm_of(parsed, packing)

    def backward(forward: Problem, augmented, span: list[float], previous: Problem | None) -> Problem:
        if not own and fixed and isinstance(forward.plan, Given):
            low, high = sorted(span)
            inside = [point for point in forward.record.points if low < point < high]
            plan = Given([span[0], *reversed(inside), span[1]], parsed.perturb, check_finite=False, callbacks=callbacks)
        elif previous is not None and not fixed:
            return replace(previous, times=span)  # whose pace it takes up
        else:
            error_norm = _norm(norm, state_norm, packing, forward.record.parameters)
            plan = make_plan(method, parsed, stepper.error_exponent, span, tolerance, error_norm, callbacks)
            if not fixed and "max_num_steps" not in given:
                # Where the state explodes backwards, steps shrink to nothing: that is not to be waited for.
                done = forward.record.stats
                plan = replace(plan, patience=200 + done.accepted + done.rejected)
        return Problem(augmented, stepper, plan, clock, span, Record(Stats()))

    return backward


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
        states = tree_leaves([z, a])
        return torch.as_tensor(chosen((x.new_zeros(()), *states, *map(torch.zeros_like, parameters))))

    return norm
