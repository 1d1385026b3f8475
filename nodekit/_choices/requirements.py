"""What goes with what: one table of what each choice of a solve needs of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_flatten, tree_leaves

from .._derivative.parameters import is_transformed
from .._gradients import GRADIENTS
from .._methods import METHODS
from ..errors import UnsupportedCombination
from .callbacks import NAMES as CALLBACKS
from .choices import Choices


@dataclass(frozen=True)
class Row:
    """One choice and what it goes with.

    Attributes:
        choice: as users write it.
        made: whether it was made.
        needs: words → whether they hold.
        remedy: what to do where they do not.
    """

    choice: str
    made: Callable[[Choices], bool]
    needs: dict[str, Callable[[Choices], bool]]
    remedy: str = ""


def _either(able: Iterable[str]) -> str:
    return " or ".join(map(repr, able))


def _is_pair(state: Any) -> bool:
    if not (isinstance(state, tuple | list) and len(state) == 2):
        return False
    (leaves, structure), (others, other_structure) = map(tree_flatten, state)
    alike = structure == other_structure and all(hasattr(x, "dtype") for x in (*leaves, *others))
    return alike and all(a.shape == b.shape and a.dtype == b.dtype for a, b in zip(leaves, others, strict=True))


def _is_real_tensor(state: Any) -> bool:
    if isinstance(state, Tensor):
        return not state.is_complex()
    if isinstance(state, list | tuple):
        return all(isinstance(number, int | float) for number in state)
    return isinstance(state, np.ndarray) and state.dtype.kind != "c"


def _is_single_or_double(state: Any) -> bool:
    return all(isinstance(x, Tensor) and x.dtype in (torch.float32, torch.float64) for x in tree_leaves(state))


def _trains_batch_norm(func: Any) -> bool:
    parts = func.modules() if isinstance(func, nn.Module) else ()
    return any(isinstance(x, _NormBase) and x.training and x.track_running_stats for x in parts)


TABLE = (
    Row(
        "the option mass_matrix",
        lambda c: c.options.mass_matrix is not None,
        {
            f"method={_either(name for name, method in METHODS.items() if method.mass)}": lambda c: c.method.mass,
            f"gradient={_either(g.name for g in GRADIENTS.values() if g.exact and not g.undoes)}": lambda c: (
                c.gradient.exact and not c.gradient.undoes
            ),
            "a state that is one real tensor": lambda c: _is_real_tensor(c.y0),
            "batch='shared'": lambda c: c.batch == "shared",
            "a solver of implicit steps with a matrix or its products": lambda c: (
                c.own_options.get("solver", "auto") in ("auto", "newton", "krylov")
            ),
        },
        "Otherwise give the equation solved for y'",
    ),
    Row(
        "batch='independent'",
        lambda c: c.batch == "independent",
        {
            "a Runge–Kutta method, explicit or implicit, or 'auto'": lambda c: c.method.samples,
            "the solver 'auto' or 'newton', where the method is implicit": lambda c: (
                c.own_options.get("solver", "auto") in ("auto", "newton")
            ),
            f"gradient={_either(g.name for g in GRADIENTS.values() if g.samples)}": lambda c: c.gradient.samples,
            "a Runge–Kutta method, not 'auto', backwards, where the gradient solves backwards": lambda c: (
                not c.gradient.solves_backwards
                or ((backwards := c.adjoint_method or c.method).samples and backwards.tableau is not None)
            ),
            "adaptive steps, where it has events": lambda c: not (c.events and c.fixed),
            "events each of which ends its sample (terminal=True, no change, no max_count)": lambda c: all(
                event.terminal and event.change is None and event.max_count is None for event in c.events
            ),
            "no grid_constructor": lambda c: c.options.grid_constructor is None,
            "no dense=True (name the times in t)": lambda c: not c.dense,
            "no compile=True": lambda c: not c.compile,
            "no progress=True": lambda c: not c.progress,
        },
        "Otherwise use batch='shared'",
    ),
    Row(
        "compile=True",
        lambda c: c.compiled,
        {
            "an explicit Runge–Kutta method": lambda c: c.method.compiled,
            f"gradient={_either(g.name for g in GRADIENTS.values() if g.compiled)}": lambda c: c.gradient.compiled,
            "no BatchNorm that is being trained": lambda c: not _trains_batch_norm(c.func),
            "no callbacks": lambda c: not any(getattr(c.func, name, None) for name in CALLBACKS),
            "a state of real tensors of 32 or 64 bits": lambda c: _is_single_or_double(c.y0),
            "tolerances that are no functions of time": lambda c: c.fixed or not (callable(c.rtol) or callable(c.atol)),
            "the default norm": lambda c: c.options.norm is None,
            "no perturb": lambda c: not c.options.perturb,
            "no checkpoints (the states of all steps are kept)": lambda c: c.options.checkpoints is None,
            "no events": lambda c: not c.events,
        },
        "Leave compile out",
    ),
    Row(
        "gradient='reversible'",
        # Of dense output and inside torch.func's transforms the gradient is "backprop".
        lambda c: c.gradient.undoes and torch.is_grad_enabled() and not (c.dense or is_transformed()),
        {"a reversible method": lambda c: c.method.reversible},
        "Choose an explicit Runge–Kutta method, 'alf', or one whose name begins with reversible_",
    ),
    Row(
        "method='leapfrog' or 'yoshida4'",
        lambda c: c.method.pairs,
        {
            "a state (position, momentum): a tuple of two tensors, or two alike structures of them": lambda c: _is_pair(
                c.y0
            ),
            "an adjoint_method that is none of these, where the gradient solves backwards": lambda c: (
                not c.gradient.solves_backwards or not (c.adjoint_method or c.method).pairs
            ),
        },
        "implicit_midpoint, gl4 and gl6 are symplectic for states of every kind",
    ),
    Row(
        "method='auto'",
        lambda c: not c.method.fixed,
        {"adaptive steps (no step_size, no grid_constructor)": lambda c: not c.fixed},
        "Take given steps by tsit5, or by kvaerno5 where they are stiff",
    ),
    Row(
        "method='scipy_solver'",
        lambda c: not c.method.differentiable,
        {
            "no events": lambda c: not c.events,
            "no dense=True": lambda c: not c.dense,
            "tolerances that do not depend on time": lambda c: not (callable(c.rtol) or callable(c.atol)),
        },
        "Otherwise choose a method of METHODS",
    ),
    Row(
        "the option step_size",
        lambda c: c.options.step_size is not None,
        {"no grid_constructor: they are mutually exclusive": lambda c: c.options.grid_constructor is None},
        "Leave one out",
    ),
    Row(
        "a t that ends in infinity",
        lambda c: c.times is not None and math.isinf(c.times[-1]),
        {"adaptive steps, or a step_size": lambda c: not c.fixed or c.options.step_size is not None},
        "Pass options={'step_size': …}",
    ),
    Row(
        "adjoint_method",
        lambda c: c.gradient.solves_backwards and c.adjoint_method is not None,
        {
            "a method of METHODS, since SciPy cannot solve backwards": lambda c: c.adjoint_method.differentiable,
            "adjoint_options, where the forward solve has options for another method": lambda c: (
                c.adjoint_method is c.method or not c.given_options or c.adjoint_options is not None
            ),
        },
        "Give both for the backward solve",
    ),
    Row(
        "adjoint_options",
        lambda c: c.gradient.solves_backwards and bool(c.adjoint_options),
        {
            "a norm that is 'seminorm' or a function": lambda c: (
                callable(norm := c.adjoint_options.get("norm")) or norm is None or str(norm) == "seminorm"
            ),
        },
    ),
)


def require(choices: Choices) -> None:
    """Refuse choices that do not go together.

    Raises:
        UnsupportedCombination: what is missing, and what to do.
    """
    for row in TABLE:
        if row.made(choices):
            missing = [words for words, holds in row.needs.items() if not holds(choices)]
            if missing:
                raise UnsupportedCombination(f"{row.choice} goes only with {'; '.join(missing)}", remedy=row.remedy)
