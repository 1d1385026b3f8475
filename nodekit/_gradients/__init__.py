"""How a solve is differentiated: one file a choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .._steps.clock import Clock
from .adjoint import adjoint
from .backprop import backprop
from .checkpoint import checkpoint
from .interpolated import PairedClock, interpolated
from .reversible import reversible


@dataclass(frozen=True)
class Gradient:
    """A way of differentiating a solve, and what it declares of itself.

    Attributes:
        name: as in `solve(gradient=name)`.
        function: (problem, y0, slope) → the solution at the output times after the first.
        what: how, in words.
        exact: whether it is the gradient of the numbers returned, to rounding; else it has the solver's error.
        records: whether the forward pass is recorded as it goes, so that its own graph is differentiated.
        samples: whether independent samples can be differentiated by it.
        compiled: whether steps in compiled loops can be.
        clock: of the second solve that it takes, of the continuous adjoint, if it does.
        undoes: whether it undoes the steps, for which it makes an explicit method reversible.
    """

    name: str
    function: Callable
    what: str = ""
    exact: bool = True
    records: bool = False
    samples: bool = False
    compiled: bool = False
    clock: type[Clock] | None = None
    undoes: bool = False

    @property
    def solves_backwards(self) -> bool:
        """Whether it takes a second solve, of the continuous adjoint."""
        return self.clock is not None


GRADIENTS = {
    gradient.name: gradient
    for gradient in (
        Gradient("backprop", backprop, "autograd through every operation", records=True, samples=True),
        Gradient(
            "checkpoint",
            checkpoint,
            "the same, while graphs fit `graph_bytes`; then steps taken again one at a time",
            records=True,
            samples=True,
            compiled=True,
        ),
        Gradient(
            "adjoint",
            adjoint,
            "the continuous adjoint (Chen et al. 2018), solved backwards",
            exact=False,
            samples=True,
            clock=Clock,
        ),
        Gradient(
            "interpolated",
            interpolated,
            "the continuous adjoint over the stored dense output",
            exact=False,
            clock=PairedClock,
        ),
        Gradient("reversible", reversible, "states reconstructed by a reversible method", undoes=True),
    )
}
