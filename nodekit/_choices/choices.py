"""The choices of a solve: names looked up, options read, times taken; each valid in itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _methods
from .._derivative.parameters import is_transformed
from .._events.events import Event
from .._gradients import GRADIENTS, Gradient
from .._methods import Method
from ..errors import InvalidDerivative, UnknownOption, look_up
from .options import FIXED, Options, parse, steps_of
from .times import output_times


@dataclass(frozen=True, eq=False)
class Choices:
    """What was chosen for a solve; what is left out is as in `nodekit.solve`.

    Attributes:
        method, gradient, adjoint_method: those of the names given, or None.
        options: those of every solve; own_options: those of the method's family; given_options: as they were given.
        events: all of them `Event`s.
        times: the output times; None where every sample may have its own.
        func, y0, …: as of `nodekit.solve`.
    """

    method: Method
    options: Options
    gradient: Gradient = GRADIENTS["checkpoint"]
    events: Sequence[Event] = ()
    times: list[float] | None = None
    func: Callable | None = None
    y0: Any = None
    args: tuple = ()
    rtol: Any = 1e-7
    atol: Any = 1e-9
    batch: str = "shared"
    dense: bool = False
    compile: bool = False
    progress: bool = False
    strict: bool = True
    own_options: dict[str, Any] = field(default_factory=dict)
    given_options: dict[str, Any] | None = None
    adjoint_rtol: Any = None
    adjoint_atol: Any = None
    adjoint_method: Method | None = None
    adjoint_options: dict[str, Any] | None = None

    @property
    def fixed(self) -> bool:
        """Whether steps are given rather than chosen."""
        return steps_of(self.method, self.options) == FIXED

    @property
    def compiled(self) -> bool:
        """Whether the solve is to run in compiled loops, which are not used inside torch.func's transforms."""
        return self.compile and self.batch == "shared" and not is_transformed()


def chosen(
    func: Callable,
    t: Any,
    method: str | None,
    options: dict[str, Any] | None,
    gradient: str,
    events: Iterable[Event | Callable],
    batch: str,
    strict: bool,
    adjoint_method: str | None,
    args: Sequence,
    **more: Any,
) -> Choices:
    """The choices that the arguments of `nodekit.solve` make.

    Raises:
        NodekitError: one that is not valid in itself.
    """
    if not callable(func):
        raise InvalidDerivative(f"func must be a function of (t, y), not {type(func).__name__}")
    if not isinstance(args, list | tuple):
        raise InvalidDerivative(
            f"args must be a tuple of the derivative's further arguments, not {type(args).__name__}",
            remedy="Write args=(a,) for a single one",
        )
    if batch not in ("shared", "independent"):
        raise UnknownOption(f"batch must be 'shared' or 'independent', not {batch!r}")
    found = _methods.find("dopri5" if method is None else method)
    differentiated = look_up(gradient, GRADIENTS, "gradient")
    if differentiated.undoes:
        found = _methods.reversible_form(found)
    backwards = adjoint_method if differentiated.solves_backwards else None
    events = [event if isinstance(event, Event) else Event(event) for event in events]
    general, own = parse(found, options, strict, bool(events))
    return Choices(
        method=found,
        options=general,
        gradient=differentiated,
        events=events,
        times=output_times(t, open_end=bool(events)) if batch == "shared" else None,
        func=func,
        args=tuple(args),
        batch=batch,
        strict=strict,
        own_options=own,
        given_options=options,
        adjoint_method=None if backwards is None else _methods.find(backwards),
        **more,
    )
