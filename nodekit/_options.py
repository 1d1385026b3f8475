"""The options of a solve: each one's default, its range, which steps use it and what it means, in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ._methods import SCIPY, Method
from ._methods.ranges import within
from ._warning import warn
from .errors import InvalidOption, UnknownOption, nearest

#: What takes steps and may use an option: fixed ones, fixed ones in search of an event, adaptive ones, or SciPy.
FIXED, SEARCH, ADAPTIVE, SCIPYS = "fixed", "search", "adaptive", "SciPy"
_OURS = (FIXED, SEARCH, ADAPTIVE)
_GIVEN = (FIXED, SEARCH)
_CHOSEN = (ADAPTIVE, SCIPYS)

_POSITIVE = (lambda x: 0 < x < math.inf, "positive")
_FROM_ZERO = (lambda x: 0 <= x < math.inf, "zero or positive")
_FROM_ONE = (lambda x: 1 <= x < math.inf, "one or larger")
_FINITE = (math.isfinite, "a finite number")


def _about(words: str, of: Sequence[str] = _OURS, range: tuple[Callable, str] | None = None) -> dict[str, Any]:
    """What there is to say of an option beside its default, of which None means that the solver decides.

    Args:
        words: what it means.
        of: the steps that use it; others warn.
        range: of numbers: whether one is allowed, and in words which are.
    """
    return {"words": words, "of": of, "range": range}


@dataclass
class Options:
    """What `options=` takes, beside the options of the method's family."""

    step_size: float | None = field(
        default=None,
        metadata=_about(
            "size of fixed steps; with it, or with grid_constructor, any method takes fixed steps.", _GIVEN, _POSITIVE
        ),
    )
    grid_constructor: Callable | None = field(
        default=None,
        metadata=_about(
            "(func, y0, t) → the grid of a fixed-step solve, a tensor that starts and ends where t does.", _GIVEN
        ),
    )
    perturb: bool = field(
        default=False,
        metadata=_about("evaluate the ends of a fixed step at the neighbouring numbers inside it.", _GIVEN),
    )
    check_finite: bool = field(
        default=True,
        metadata=_about("raise `NonFiniteDerivative` if the state at the end of fixed steps is not finite.", _GIVEN),
    )
    interp: str = field(
        default="dense",
        metadata=_about(
            'output times inside a step: "dense" (as accurate as the method), "cubic" (Hermite) or "linear".'
        ),
    )
    norm: Callable | str | None = field(
        default=None,
        metadata=_about(
            "of the scaled error; takes the state (a tuple of tensors, if the state has several).",
            (*_OURS, SCIPYS),
        ),
    )
    first_step: float | None = field(
        default=None, metadata=_about("size of the first adaptive step.", _CHOSEN, _POSITIVE)
    )
    min_step: float = field(
        default=0.0, metadata=_about("adaptive steps so small are accepted whatever their error.", _CHOSEN, _FROM_ZERO)
    )
    max_step: float = field(
        default=math.inf, metadata=_about("largest adaptive step.", _CHOSEN, (lambda x: x > 0, "positive"))
    )
    step_t: Sequence[float] | Tensor | None = field(
        default=None,
        metadata=_about(
            "times that adaptive steps land on. Of independent samples (k,) for all, or (batch, k), where NaN and what "
            "lies beyond a sample's times are none.",
            (ADAPTIVE,),
        ),
    )
    jump_t: Sequence[float] | Tensor | None = field(
        default=None,
        metadata=_about("times that adaptive steps land on, behind which the slope is evaluated anew.", (ADAPTIVE,)),
    )
    safety: float = field(
        default=0.9,
        metadata=_about(
            "margin of the factor between adaptive steps.", (ADAPTIVE,), (lambda x: 0 < x <= 1, "in (0, 1]")
        ),
    )
    ifactor: float = field(
        default=10.0,
        metadata=_about("largest factor between adaptive steps.", (ADAPTIVE,), (lambda x: x >= 1, "one or larger")),
    )
    dfactor: float = field(
        default=0.2,
        metadata=_about("smallest factor between adaptive steps.", (ADAPTIVE,), (lambda x: 0 < x < 1, "in (0, 1)")),
    )
    controller: str = field(
        default="I",
        metadata=_about('how sizes of adaptive steps follow from their errors: "I", "PI" or "PID".', (ADAPTIVE,)),
    )
    pcoeff: float | None = field(
        default=None, metadata=_about("proportional coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE)
    )
    icoeff: float | None = field(
        default=None, metadata=_about("integral coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE)
    )
    dcoeff: float | None = field(
        default=None, metadata=_about("derivative coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE)
    )
    max_num_steps: int = field(
        default=100_000,
        metadata=_about(
            "adaptive steps to attempt at most, or steps of any kind in search of an event. The default lets a small "
            "system run for about a minute, a large one for some; no problem that suits its method needs as many.",
            (ADAPTIVE, SEARCH),
            _FROM_ONE,
        ),
    )
    graph_bytes: float | None = field(
        default=None,
        metadata=_about(
            'memory that gradient="checkpoint" may keep graphs of steps in; by default 1 GiB, or none where '
            "checkpoints is given. What fits is evaluated once, other steps are taken again in the backward pass.",
            range=(lambda x: x >= 0, "zero or positive"),
        ),
    )
    checkpoints: int | None = field(
        default=None,
        metadata=_about(
            'states that gradient="checkpoint" keeps at most of the steps that are taken again.', range=_FROM_ONE
        ),
    )
    mass_matrix: Any = field(
        default=None,
        metadata=_about(
            "M of M y' = func(t, y), constant: (n, n), or (n,) if diagonal, on the last dimension of the state (n). It "
            "may be singular, with equations without a derivative then (index 1), which y0 must satisfy."
        ),
    )
    dtype: torch.dtype | None = field(
        default=None, metadata=_about("accepted for torchdiffeq's sake; times are float64 always.", (*_OURS, SCIPYS))
    )

    def graphs(self) -> float:
        """The memory that graphs of steps may take."""
        if self.graph_bytes is not None:
            return self.graph_bytes
        return _GRAPH_BYTES if self.checkpoints is None else 0


_OPTIONS = {option.name: option for option in fields(Options)}
Options.__doc__ = f"{Options.__doc__}\n\nAttributes:\n" + "".join(
    f"    {name}: {option.metadata['words']}\n" for name, option in _OPTIONS.items()
)
#: what a laptop can spare, and enough for all steps of most solves
_GRAPH_BYTES = 2**30


def parse(
    method: Method, given: dict[str, Any] | None, strict: bool = True, events: bool = False
) -> tuple[Options, dict[str, Any]]:
    """The options of the solve, and those of the method's family.

    Args:
        strict: False: as in torchdiffeq, unknown options are left out with a warning, and of the adaptive methods
            explicit ones, which are torchdiffeq's, stay adaptive whatever step size is given.
        events: whether the solve looks for events, which max_num_steps bounds with fixed steps as well.

    Raises:
        UnknownOption: with the nearest name.
        InvalidOption: a value out of its range.
    """
    general, own = {}, {}
    if given and not isinstance(given, dict):  # an empty list is R's way of naming none
        raise InvalidOption(f"options must be a dictionary of names and values, not {type(given).__name__}")
    for name, value in (given or {}).items():
        if name in method.options and name != "interp":
            own[name] = value
        elif name in _OPTIONS:
            general[name] = value
        else:
            unknown = f"no option of {method.name} is called {name!r}"
            remedy = nearest(name, _OPTIONS.keys() | method.options)
            if strict:
                raise UnknownOption(unknown, remedy=remedy)
            warn(f"{unknown}: it is ignored. {remedy}")
    named = set(general)
    if not strict and method.adaptive and not method.implicit:
        general = {name: value for name, value in general.items() if name not in ("step_size", "grid_constructor")}
    options = Options(**general)
    _check(options)
    steps = steps_of(method, options)
    user = SEARCH if steps == FIXED and events else steps
    unused = {name for name in named if user not in _OPTIONS[name].metadata["of"]}
    if "interp" in method.options:
        own["interp"] = options.interp
    elif options.interp != "dense":
        unused.add("interp")
    if unused:
        how = "" if steps == SCIPYS else f" with {steps} steps"
        warn(f"{method.name}{how} does not use the options {sorted(unused)}")
    return options, own


def _check(options: Options) -> None:
    """Raises: InvalidOption: a value out of its range. UnknownOption: no interpolation of that name."""
    if options.interp not in ("dense", "cubic", "linear"):
        raise UnknownOption(f"no interpolation is called {options.interp!r}", remedy="Known: dense, cubic, linear")
    for name, option in _OPTIONS.items():
        value, allowed = getattr(options, name), option.metadata["range"]
        if allowed is not None and not (value is None and option.default is None):
            within(name, value, *allowed)
    if options.grid_constructor is not None and not callable(options.grid_constructor):
        raise InvalidOption(f"the option grid_constructor must be a function, not {options.grid_constructor!r}")
    if float(options.min_step) > float(options.max_step):
        raise InvalidOption(f"min_step = {options.min_step} exceeds max_step = {options.max_step}")


def steps_of(method: Method, options: Options) -> str:
    """What steps a solve takes: SciPy's, fixed or adaptive ones."""
    return SCIPYS if method is SCIPY else FIXED if is_fixed(method, options) else ADAPTIVE


def is_fixed(method: Method, options: Options) -> bool:
    """Whether steps are given rather than chosen."""
    return not method.adaptive or options.step_size is not None or options.grid_constructor is not None
