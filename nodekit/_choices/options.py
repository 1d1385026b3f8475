"""The options of a solve: each one's default, its range, which steps use it and what it means, in one place."""
# ruff: noqa: RUF009  what is called in the class is dataclasses.field, by another name

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from .._methods import SCIPY, Method
from .._methods.ranges import within
from .._warning import warn
from ..errors import InvalidOption, UnknownOption, nearest

#: What takes steps and may use an option: fixed ones, fixed ones in search of an event, adaptive ones, or SciPy.
FIXED, SEARCH, ADAPTIVE, SCIPYS = "fixed", "search", "adaptive", "SciPy"
_OURS = (FIXED, SEARCH, ADAPTIVE)
_GIVEN = (FIXED, SEARCH)
_CHOSEN = (ADAPTIVE, SCIPYS)

_POSITIVE = (lambda x: 0 < x < math.inf, "positive")
_FROM_ZERO = (lambda x: 0 <= x < math.inf, "zero or positive")
_FROM_ONE = (lambda x: 1 <= x < math.inf, "one or larger")
_FINITE = (math.isfinite, "a finite number")


def _option(
    default: Any, words: str, of: Sequence[str] = _OURS, range: tuple[Callable, str] | None = None
) -> Any:  # of the type that the option is annotated with
    """An option, and what there is to say of it.

    Args:
        default: its value where none is given; None: the solver decides.
        words: what it means.
        of: the steps that use it; others warn.
        range: of numbers: whether one is allowed, and in words which are.
    """
    return field(default=default, metadata={"words": words, "of": of, "range": range})


@dataclass
class Options:
    """What `options=` takes, beside the options of the method's family."""

    step_size: float | None = _option(
        None, "size of fixed steps; with it, or with grid_constructor, any method takes fixed steps.", _GIVEN, _POSITIVE
    )
    grid_constructor: Callable | None = _option(
        None, "(func, y0, t) → the grid of a fixed-step solve, a tensor that starts and ends where t does.", _GIVEN
    )
    perturb: bool = _option(False, "evaluate the ends of a fixed step at the neighbouring numbers inside it.", _GIVEN)
    check_finite: bool = _option(
        True, "raise `NonFiniteDerivative` if the state at the end of fixed steps is not finite.", _GIVEN
    )
    interp: str = _option(
        "dense", 'output times inside a step: "dense" (as accurate as the method), "cubic" (Hermite) or "linear".'
    )
    norm: Callable | str | None = _option(
        None, "of the scaled error; takes the state (a tuple of tensors, if the state has several).", (*_OURS, SCIPYS)
    )
    first_step: float | None = _option(None, "size of the first adaptive step.", _CHOSEN, _POSITIVE)
    min_step: float = _option(0.0, "adaptive steps so small are accepted whatever their error.", _CHOSEN, _FROM_ZERO)
    max_step: float = _option(math.inf, "largest adaptive step.", _CHOSEN, (lambda x: x > 0, "positive"))
    step_t: Sequence[float] | Tensor | None = _option(
        None,
        "times that adaptive steps land on, such as kinks of the slope. A tensor that requires a gradient is taken as "
        "jump_t is: before a kink the derivative by its place is another one than behind it. Of independent samples "
        "(k,) for all, or (batch, k), where NaN and what lies beyond a sample's times are none.",
        (ADAPTIVE,),
    )
    jump_t: Sequence[float] | Tensor | None = _option(
        None,
        "times of jumps of the slope: adaptive steps land on them, evaluated just before and, anew, just behind them.",
        (ADAPTIVE,),
    )
    safety: float = _option(
        0.9, "margin of the factor between adaptive steps.", (ADAPTIVE,), (lambda x: 0 < x <= 1, "in (0, 1]")
    )
    ifactor: float = _option(
        10.0, "largest factor between adaptive steps.", (ADAPTIVE,), (lambda x: x >= 1, "one or larger")
    )
    dfactor: float = _option(
        0.2, "smallest factor between adaptive steps.", (ADAPTIVE,), (lambda x: 0 < x < 1, "in (0, 1)")
    )
    controller: str = _option(
        "I", 'how sizes of adaptive steps follow from their errors: "I", "PI" or "PID".', (ADAPTIVE,)
    )
    pcoeff: float | None = _option(
        None, "proportional coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE
    )
    icoeff: float | None = _option(None, "integral coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE)
    dcoeff: float | None = _option(None, "derivative coefficient, in place of the controller's.", (ADAPTIVE,), _FINITE)
    max_num_steps: int = _option(
        100_000,
        "adaptive steps to attempt at most, or steps of any kind in search of an event. The default lets a small "
        "system run for about a minute, a large one for some; no problem that suits its method needs as many.",
        (ADAPTIVE, SEARCH),
        _FROM_ONE,
    )
    graph_bytes: float | None = _option(
        None,
        'memory that gradient="checkpoint" may keep graphs of steps in; by default 1 GiB, or none where '
        "checkpoints is given. What fits is evaluated once, other steps are taken again in the backward pass.",
        range=(lambda x: x >= 0, "zero or positive"),
    )
    checkpoints: int | None = _option(
        None, 'states that gradient="checkpoint" keeps at most of the steps that are taken again.', range=_FROM_ONE
    )
    mass_matrix: Any = _option(
        None,
        "M of M y' = func(t, y), constant: (n, n), or (n,) if diagonal, on the last dimension of the state (n). It "
        "may be singular, with equations without a derivative then (index 1), which y0 must satisfy.",
    )
    dtype: torch.dtype | None = _option(
        None, "accepted for torchdiffeq's sake; times are float64 always.", (*_OURS, SCIPYS)
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
    options = Options(**{name: _read(name, value) for name, value in general.items()})
    if options.min_step > options.max_step:
        raise InvalidOption(f"min_step = {options.min_step:g} exceeds max_step = {options.max_step:g}")
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


def _read(name: str, value: Any) -> Any:
    """An option as it is used: if it is a number of any kind, a float.

    Raises:
        InvalidOption: it is out of its range.
        UnknownOption: no interpolation of that name.
    """
    allowed, default = _OPTIONS[name].metadata["range"], _OPTIONS[name].default
    if name == "interp" and value not in ("dense", "cubic", "linear"):
        raise UnknownOption(f"no interpolation is called {value!r}", remedy="Known: dense, cubic, linear")
    if name == "grid_constructor" and not (value is None or callable(value)):
        raise InvalidOption(f"the option grid_constructor must be a function, not {value!r}")
    return value if allowed is None or value is default is None else within(name, value, *allowed)


def steps_of(method: Method, options: Options) -> str:
    """What steps a solve takes: SciPy's, fixed or adaptive ones."""
    return SCIPYS if method is SCIPY else FIXED if is_fixed(method, options) else ADAPTIVE


def is_fixed(method: Method, options: Options) -> bool:
    """Whether steps are given rather than chosen."""
    return not method.adaptive or options.step_size is not None or options.grid_constructor is not None
