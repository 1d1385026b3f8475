"""What can go wrong in a solve: one base class, and a name for each failure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ._display import as_html

_T = TypeVar("_T")


class NodekitError(Exception):
    """Base of every error nodekit raises.

    Attributes:
        t: time at which the solve failed, or None.
        dt: size of the step that failed, or None.
        sample: index into the batch (first dimension) of the offending sample, or None.
        remedy: what to try, in words.
    """

    #: words of torchdiffeq's that the message begins with, for programs that look for them
    begins = ""

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        t: float | None = None,
        dt: float | None = None,
        sample: int | None = None,
    ):
        self.message, self.remedy, self.t, self.dt, self.sample = message, remedy, t, dt, sample
        where = ", ".join(
            f"{name} = {value:g}" for name, value in (("t", t), ("dt", dt), ("sample", sample)) if value is not None
        )
        begins = "" if message.startswith(self.begins) else self.begins  # an error that was pickled comes back whole
        super().__init__(f"{begins}{message}{f' ({where})' if where else ''}{f'. {remedy}' if remedy else ''}")

    def _repr_html_(self) -> str:
        where = {"t": self.t, "step": self.dt, "sample": self.sample}
        rows = [("what", self.message), *((name, f"{value:g}") for name, value in where.items() if value is not None)]
        return as_html(type(self).__name__, [*rows, ("try", self.remedy)] if self.remedy else rows)


class InvalidState(NodekitError, TypeError):
    """The initial state is not one that can be integrated."""


class InvalidDerivative(NodekitError, TypeError):
    """The derivative returned something of another shape, type, dtype or device than the state."""


class InvalidTimes(NodekitError, ValueError):
    """The times are not finite, strictly monotone and one-dimensional."""


class InvalidTolerance(NodekitError, ValueError):
    """A tolerance is negative, not finite, differentiable, or of the wrong shape."""


class InvalidTableau(NodekitError, ValueError):
    """A method's coefficients do not have the order they declare."""


class UnknownMethod(NodekitError, ValueError):
    """No method of that name."""


class UnknownOption(NodekitError, ValueError):
    """No option, or no value of an option, of that name."""


class InvalidOption(NodekitError, ValueError):
    """An option's value is out of its range."""


class UnsupportedCombination(NodekitError, ValueError):
    """Choices that are each valid but do not go together."""


class SolveFailed(NodekitError, RuntimeError):
    """Base of the failures that happen on the way; with `throw=False` these become the solution's status."""


class StepSizeUnderflow(SolveFailed, AssertionError):
    """The error test asks for steps smaller than the time axis resolves; an AssertionError as in torchdiffeq."""

    begins = "underflow in dt: "


class NonFiniteDerivative(SolveFailed, AssertionError):
    """The derivative or the state became infinite or not a number; an AssertionError as in torchdiffeq."""


class MaxStepsReached(SolveFailed, AssertionError):
    """The solve needed more steps than `max_num_steps` allows; an AssertionError as in torchdiffeq."""

    begins = "max_num_steps exceeded: "


class NewtonDidNotConverge(SolveFailed):
    """The equations of an implicit step could not be solved, or their solution has no derivative.

    Attributes:
        residual: the last change of the state, in units of what is allowed.
    """

    def __init__(self, message: str, *, residual: float | None = None, **more: Any):
        super().__init__(message, **more)
        self.residual = residual


class SamplesFailed(SolveFailed):
    """Some samples of an independently solved batch failed; the others arrived.

    Attributes:
        failures: sample → what happened to it.
    """

    failures: dict[int, SolveFailed]

    @classmethod
    def of(cls, failures: dict[int, SolveFailed], samples: int) -> SamplesFailed:
        """The failure of some of so many samples."""
        few = [f"{type(failure).__name__}: {failure}" for failure in list(failures.values())[:3]]
        more = len(failures) - len(few)
        listed = "; ".join(few) + (f"; and {more} more" if more else "")
        error = cls(f"{len(failures)} of {samples} samples failed. {listed}", remedy="throw=False returns the others")
        error.failures = failures
        return error


class InvalidEvent(NodekitError, ValueError):
    """An event that cannot be looked for: its direction, its count, or what its function returns."""


class EventNotReached(SolveFailed):
    """No event ended a solve that only an event can end."""


class GradientUnavailable(NodekitError, RuntimeError):
    """The chosen gradient method cannot give the derivative that was asked for."""


class DerivativeChanged(GradientUnavailable):
    """The derivative is no longer what it was in the forward pass, so its gradient cannot be that of the solve."""


def nearest(name: object, known: Iterable[str]) -> str:
    """A sentence that proposes the known name closest to a misspelt one, and lists them all."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return (f"Did you mean {close[0]!r}? " if close else "") + "Known: " + ", ".join(known)


def look_up(name: object, known: Mapping[str, _T], what: str, error: type[NodekitError] = UnknownOption) -> _T:
    """What is known by a name; else the error proposes the nearest one.

    Args:
        what: of the things known, for the message.
    """
    try:
        return known[name]  # type: ignore[index]
    except (KeyError, TypeError):
        raise error(f"no {what} is called {name!r}", remedy=nearest(name, known)) from None
