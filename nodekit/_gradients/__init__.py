"""How a solve is differentiated: one file a choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UnknownOption, nearest
from .adjoint import adjoint
from .backprop import backprop
from .checkpoint import checkpoint
from .interpolated import interpolated
from .reversible import reversible


@dataclass(frozen=True)
class Gradient:
    """A way of differentiating a solve, and what it declares of itself.

    Attributes:
        name: as in `solve(gradient=name)`.
        function: (problem, y0, slope) → the solution at the output times after the first.
        records: whether the forward pass is recorded as it goes, so that its own graph is differentiated.
        samples: whether independent samples can be differentiated by it.
        solves_backwards: whether it takes a second solve, of the continuous adjoint.
    """

    name: str
    function: Callable
    records: bool = False
    samples: bool = False
    solves_backwards: bool = False


GRADIENTS = {
    gradient.name: gradient
    for gradient in (
        Gradient("backprop", backprop, records=True, samples=True),
        Gradient("checkpoint", checkpoint, records=True, samples=True),
        Gradient("adjoint", adjoint, solves_backwards=True),
        Gradient("interpolated", interpolated, solves_backwards=True),
        Gradient("reversible", reversible),
    )
}


def find(name: object) -> Gradient:
    """The gradient of that name.

    Raises:
        UnknownOption: with the nearest name.
    """
    try:
        return GRADIENTS[name]
    except (KeyError, TypeError):
        raise UnknownOption(f"no gradient is called {name!r}", remedy=nearest(name, GRADIENTS)) from None
