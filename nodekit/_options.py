"""The options of a solve: their names, defaults and checks, in one place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._clock import Clock
from ._control import Controller, Tolerance, controller_coefficients, rms_norm
from ._loops import Adaptive, Callbacks, FixedGrid, OpenGrid, grid_points
from ._methods import SCIPY, Method
from ._methods.ranges import within
from ._state import Derivative, Packing
from ._warning import warn
from .errors import InvalidOption, InvalidTimes, InvalidTolerance, UnknownOption, UnsupportedCombination, nearest


@dataclass
class Options:
    """What `options=` takes, beside the options of the method's family.

    Attributes:
        step_size: size of fixed steps; with it, or with grid_constructor, any method takes fixed steps.
        grid_constructor: (func, y0, t) → the grid of a fixed-step solve, a tensor that starts and ends where t does.
        perturb: fixed steps: evaluate the ends of a step at the neighbouring numbers inside it.
        check_finite: fixed steps: raise `NonFiniteDerivative` if the state at the end is not finite.
        interp: output times inside a step: "dense" (as accurate as the method), "cubic" (Hermite) or "linear".
        norm: of the scaled error; takes the state (a tuple of tensors, if the state has several).
        first_step, min_step, max_step: sizes of adaptive steps.
        step_t, jump_t: times that adaptive steps land on; behind jump_t the slope is evaluated anew. Of independent
            samples (k,) for all, or (batch, k), where NaN and what lies beyond a sample's times are none.
        safety, ifactor, dfactor: margin, largest and smallest factor between adaptive steps.
        controller: "I", "PI" or "PID", or their coefficients pcoeff, icoeff, dcoeff.
        max_num_steps: adaptive steps to attempt at most, or steps of any kind in search of an event. The default lets
            a small system run for about a minute, a large one for some; no problem that suits its method needs as many.
        graph_bytes: memory that gradient="checkpoint" may keep graphs of steps in; by default 1 GiB, or none where
            checkpoints is given. What fits is evaluated once, other steps are taken again in the backward pass.
        checkpoints: states that gradient="checkpoint" keeps at most of the steps that are taken again.
        dtype: accepted for torchdiffeq's sake; times are float64 always.
    """

    step_size: float | None = None
    grid_constructor: Callable | None = None
    perturb: bool = False
    check_finite: bool = True
    interp: str = "dense"
    norm: Callable | str | None = None
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    step_t: Sequence[float] | Tensor | None = None
    jump_t: Sequence[float] | Tensor | None = None
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    controller: str = "I"
    pcoeff: float | None = None
    icoeff: float | None = None
    dcoeff: float | None = None
    max_num_steps: int = 100_000
    graph_bytes: float | None = None
    checkpoints: int | None = None
    dtype: torch.dtype | None = None

    def graphs(self) -> float:
        """The memory that graphs of steps may take."""
        if self.graph_bytes is not None:
            return self.graph_bytes
        return _GRAPH_BYTES if self.checkpoints is None else 0


_KNOWN = {field.name for field in fields(Options)}
#: what a laptop can spare, and enough for all steps of most solves
_GRAPH_BYTES = 2**30
_OF_FIXED_STEPS = {"step_size", "grid_constructor", "perturb", "check_finite"}
_OF_ADAPTIVE_STEPS = {
    "norm", "first_step", "min_step", "max_step", "step_t", "jump_t", "safety", "ifactor", "dfactor", "controller",
    "pcoeff", "icoeff", "dcoeff", "max_num_steps", "dtype",
}  # fmt: skip
_OF_SCIPY = {"first_step", "min_step", "max_step"}
#: options whose None means that the solver decides
_UNSET = {field.name for field in fields(Options) if field.default is None}
_POSITIVE = (lambda x: 0 < x < math.inf, "positive")
_FINITE = (math.isfinite, "a finite number")
_RANGES = {
    "step_size": _POSITIVE,
    "first_step": _POSITIVE,
    "max_step": (lambda x: x > 0, "positive"),
    "min_step": (lambda x: 0 <= x < math.inf, "zero or positive"),
    "safety": (lambda x: 0 < x <= 1, "in (0, 1]"),
    "dfactor": (lambda x: 0 < x < 1, "in (0, 1)"),
    "ifactor": (lambda x: x >= 1, "one or larger"),
    "pcoeff": _FINITE,
    "icoeff": _FINITE,
    "dcoeff": _FINITE,
    "max_num_steps": (lambda x: 1 <= x < math.inf, "one or larger"),
    "checkpoints": (lambda x: 1 <= x < math.inf, "one or larger"),
    "graph_bytes": (lambda x: x >= 0, "zero or positive"),
}


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
    general, special = {}, {}
    if given and not isinstance(given, dict):  # an empty list is R's way of naming none
        raise InvalidOption(f"options must be a dictionary of names and values, not {type(given).__name__}")
    for name, value in (given or {}).items():
        if name in method.options and name != "interp":
            special[name] = value
        elif name in _KNOWN:
            general[name] = value
        else:
            unknown = f"no option of {method.name} is called {name!r}"
            remedy = nearest(name, _KNOWN | method.options)
            if strict:
                raise UnknownOption(unknown, remedy=remedy)
            warn(f"{unknown}: it is ignored. {remedy}")
    named = set(general)
    if not strict and method.adaptive and not method.implicit:
        general = {name: value for name, value in general.items() if name not in ("step_size", "grid_constructor")}
    options = Options(**general)
    if options.interp not in ("dense", "cubic", "linear"):
        raise UnknownOption(f"no interpolation is called {options.interp!r}", remedy="Known: dense, cubic, linear")
    if "interp" in method.options:
        special["interp"] = options.interp
    if options.step_size is not None and options.grid_constructor is not None:
        raise UnsupportedCombination("step_size and grid_constructor are mutually exclusive")
    _check_ranges(options)
    kind = "fixed" if is_fixed(method, options) else "adaptive"
    unused = named & (_OF_ADAPTIVE_STEPS if kind == "fixed" else _OF_FIXED_STEPS)
    if method is SCIPY:
        unused = named - _OF_SCIPY
    unused -= {"norm", "dtype"}
    if kind == "fixed" and events:
        unused -= {"max_num_steps"}
    if options.interp != "dense" and "interp" not in method.options:
        unused.add("interp")
    if unused:
        how = "" if method is SCIPY else f" with {kind} steps"
        warn(f"{method.name}{how} does not use the options {sorted(unused)}")
    return options, special


def _check_ranges(options: Options) -> None:
    for name, (holds, words) in _RANGES.items():
        value = getattr(options, name)
        if not (value is None and name in _UNSET):
            within(name, value, holds, words)
    if options.grid_constructor is not None and not callable(options.grid_constructor):
        raise InvalidOption(f"the option grid_constructor must be a function, not {options.grid_constructor!r}")
    if float(options.min_step) > float(options.max_step):
        raise InvalidOption(f"min_step = {options.min_step} exceeds max_step = {options.max_step}")


def is_fixed(method: Method, options: Options) -> bool:
    """Whether steps are given rather than chosen."""
    return not method.adaptive or options.step_size is not None or options.grid_constructor is not None


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
        if options.step_size is None:
            raise UnsupportedCombination(
                "fixed steps that an event ends need a size", remedy="Pass options={'step_size': …}"
            )
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


def as_floats(values) -> list[float]:
    """Numbers of any kind as Python floats."""
    if values is None:
        return []
    if isinstance(values, Tensor):
        values = values.detach().reshape(-1).tolist()
    if isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values):
        return [float(value) for value in values]  # which torch.compile can follow
    return np.asarray(values, dtype=float).reshape(-1).tolist()


def output_times(t, open_end: bool = False) -> list[float]:
    """The output times as Python floats.

    Args:
        open_end: whether the last may be infinite.

    Raises:
        InvalidTimes: unless finite and strictly monotone.
    """
    if getattr(t, "ndim", 1) > 1:
        raise InvalidTimes(f"t must be one-dimensional, it has shape {tuple(t.shape)}")
    try:
        times = as_floats(t)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidTimes(
            f"t must hold numbers, it is {t!r}", remedy="Of tensors make one, by torch.stack, which keeps gradients"
        ) from error
    if not times:
        raise InvalidTimes("t is empty", remedy="Give the initial time first, then the times at which to have y")
    if not all(map(math.isfinite, times[: max(1, len(times) - open_end)])) or math.isnan(times[-1]):
        raise InvalidTimes(f"t is not finite: {times}")
    if len(times) == 1:
        warn_of_one_time()
    steps = [b - a for a, b in itertools.pairwise(times)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        i = next(i for i, step in enumerate(steps) if step * steps[0] <= 0)
        raise InvalidTimes(
            f"t must be strictly increasing or decreasing: t[{i}] = {times[i]:g}, t[{i + 1}] = {times[i + 1]:g}",
            remedy="Sort t and drop duplicates",
        )
    return times


def warn_of_one_time() -> None:
    """The end alone is easily taken for what t should hold."""
    warn("t holds one time, the initial one, at which the solution is y0: name the initial time and those to solve to")


def tolerance_of(rtol, atol, packing: Packing) -> Tolerance:
    """Tolerances as numbers, or as tensors that broadcast to the solver's state.

    Raises:
        InvalidTolerance: negative, not finite, differentiable or misshapen ones.
    """
    return Tolerance(*(_tolerance(name, value, packing) for name, value in (("rtol", rtol), ("atol", atol))))


def _tolerance(name: str, value, packing: Packing):
    if callable(value):
        return lambda t: _tolerance(name, value(t), packing)
    try:
        return _checked_tolerance(name, value, packing)
    except InvalidTolerance:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InvalidTolerance(f"{name} must be a number, or numbers shaped like the state, not {value!r}") from error


def _checked_tolerance(name: str, value, packing: Packing):
    if packing.single and isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if isinstance(value, list | tuple):
        if packing.single or len(value) != len(packing.sizes):
            raise InvalidTolerance(f"{name} has {len(value)} entries, the state has {len(packing.sizes)} tensors")
        shapes = zip(packing.shapes, packing.real_shapes, strict=True)
        parts = [torch.as_tensor(v, dtype=packing.dtype, device=packing.device) for v in value]
        value = packing.joined([_expanded(part, *both) for part, both in zip(parts, shapes, strict=True)])
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value.copy())
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise InvalidTolerance(f"{name} requires a gradient, which a tolerance cannot have", remedy="Detach it")
        if value.numel() == 1:
            value = value.item()
    if isinstance(value, Tensor):
        value = value.to(packing.dtype).to(packing.device)
        fine = bool((torch.isfinite(value) & (value >= 0)).all())
        shape, real_shape = packing.shapes[0] if packing.single else packing.y0.shape, packing.y0.shape
        if value.shape != real_shape:  # a tolerance of the forward solve that the backward solve takes over has it
            try:
                value = _expanded(value, shape, real_shape)
            except RuntimeError:
                raise InvalidTolerance(f"{name} has shape {tuple(value.shape)}, the state {tuple(shape)}") from None
    else:
        value = float(value)
        fine = math.isfinite(value) and value >= 0
    if not fine:
        raise InvalidTolerance(f"{name} must be finite and not negative, it is {value}")
    return value


def _expanded(value: Tensor, shape: Sequence[int], real_shape: Sequence[int]) -> Tensor:
    """A tolerance of every number of a tensor: of a complex one, the same for real and imaginary parts."""
    value = value.expand(shape)
    return value if len(shape) == len(real_shape) else value.unsqueeze(-1).expand(real_shape)


def norm_of(options: Options, packing: Packing) -> Callable[[Tensor], Tensor]:
    """The norm of a scaled error: the user's, or the root mean square (the largest of several tensors')."""
    if options.norm is not None and not callable(options.norm):
        raise InvalidOption(f"the option norm must be a function of the state, not {options.norm!r}")
    if callable(options.norm):
        return lambda x: torch.as_tensor(options.norm(packing.unpack(x)))
    if packing.single:
        return rms_norm
    return lambda x: torch.stack([rms_norm(part) for part in packing.parts(x)]).max()


def clock_of(stepper, packing: Packing) -> Clock:
    """The clock of a solve."""
    return Clock(stepper.nodes, packing.dtype, packing.device)


def callbacks_of(func, derivative: Derivative, method: Method, options: Options, suffix: str = "") -> Callbacks:
    """The callbacks that the user's function carries as attributes, as in torchdiffeq; warns of those not called."""
    names = {"step": "callback_step", "accept": "callback_accept_step", "reject": "callback_reject_step"}
    found = {kind: getattr(func, name + suffix, None) for kind, name in names.items()}
    called = () if method is SCIPY else ("step",) if is_fixed(method, options) else tuple(names)
    if not_called := [names[kind] + suffix for kind, callback in found.items() if callback and kind not in called]:
        warn(f"{method.name} with the steps it takes here does not call {', '.join(not_called)}")

    def wrapped(callback):
        return callback and (lambda t0, y, dt: callback(t0, derivative.packing.unpack(y), dt))

    return Callbacks(*(wrapped(callback) for callback in found.values()))
