"""How a solve is differentiated: one file a choice."""

from __future__ import annotations

from ..errors import UnknownOption, nearest
from .adjoint import adjoint
from .backprop import backprop
from .checkpoint import checkpoint
from .interpolated import interpolated
from .reversible import reversible

#: name → function(problem, y0, slope) giving the solution at the output times after the first
GRADIENTS = {
    "backprop": backprop,
    "checkpoint": checkpoint,
    "adjoint": adjoint,
    "interpolated": interpolated,
    "reversible": reversible,
}


def find(name: object):
    """The gradient method of that name.

    Raises:
        UnknownOption: with the nearest name.
    """
    try:
        return GRADIENTS[name]
    except (KeyError, TypeError):
        raise UnknownOption(f"no gradient is called {name!r}", remedy=nearest(name, GRADIENTS)) from None
