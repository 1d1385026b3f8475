"""Tensors that come into the derivative unknown to a backward pass, and whose gradients would be lost."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import GradientUnavailable
from .parameters import beginnings, unknown_leaves


class UnknownLeaves:
    """Looks at every evaluation of a backward pass for leaf tensors that nobody differentiates by.

    A leaf that the function makes anew in each evaluation (`x.detach().requires_grad_()`) is nobody's parameter, and
    goes with the evaluation's graph. One that is met twice, or is met once and stays, is refused.

    Args:
        known: the tensors that are differentiated by.
        refuse: whether a leaf that is met twice is an error; not in a forward pass, whose gradients perhaps nobody asks
            for.

    Attributes:
        again: a leaf that was met twice.
    """

    def __init__(self, known: Iterable[Tensor], refuse: bool = True):
        self.leaves, self.walls = beginnings(known)
        self.refuse, self.again = refuse, None
        #: those met, and where: (a reference that does not keep it, t, y)
        self.met: dict[int, tuple[weakref.ref, Tensor, Tensor]] = {}

    def look(self, slope: Tensor, t: Tensor, y: Tensor) -> None:
        """At the graph of an evaluation.

        Raises:
            GradientUnavailable: there is a leaf that was there before.
        """
        if self.met:
            self.met = {key: entry for key, entry in self.met.items() if entry[0]() is not None}
        for leaf in self._in(slope, t, y):
            if id(leaf) in self.met:
                self.again = leaf
                if self.refuse:
                    raise lost(leaf)
            self.met[id(leaf)] = weakref.ref(leaf), t, y.detach()

    def settle(self, func) -> None:
        """Raises: GradientUnavailable: a leaf stays (`staying`)."""
        leaf = self.staying(func)
        if leaf is not None:
            raise lost(leaf)

    def staying(self, func) -> Tensor | None:
        """Evaluate the derivative again where leaves were met that are still there: is one met again?"""
        for reference, t, y in list(self.met.values()):
            leaf = reference()
            if leaf is None:
                continue
            with torch.enable_grad():
                y = y.requires_grad_()
                func.leaves = None  # this evaluation is looked at here
                slope = func(t, y)
            if any(other is leaf for other in self._in(slope, t, y)):
                return leaf
        return None

    def _in(self, slope: Tensor, t: Tensor, y: Tensor) -> list[Tensor]:
        if not slope.requires_grad:
            return []
        leaves, walls = self.leaves | {id(y), id(t)}, self.walls
        if y.grad_fn is not None:
            walls = walls | {(y.grad_fn, y.output_nr)}
        return unknown_leaves(slope, leaves, walls)


def lost(leaf: Tensor) -> GradientUnavailable:
    """The error of a gradient by this leaf."""
    return GradientUnavailable(
        f"the derivative depends on a tensor of shape {tuple(leaf.shape)} that it did not depend on at the start of "
        "the solve: its gradient would be lost",
        remedy="Name it in params (odeint_adjoint: adjoint_params), make it a parameter of a module, or use "
        "gradient='backprop'",
    )
