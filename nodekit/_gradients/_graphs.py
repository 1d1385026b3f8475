"""How much memory the graphs of steps hold: what autograd saved for the backward pass."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from .._derivative.parameters import beginnings, graph
from .._steps.loops import Accepted


class Graphs:
    """The memory that the recorded steps of a solve take, measured at a few of them.

    Args:
        most: bytes that they may take together.

    Attributes:
        full: whether another step would take more than that.
    """

    def __init__(self, most: float):
        self.most, self.full = most, most <= 0
        self._held = self._each = 0
        self._count, self._next = 0, 1
        self._seen: set[int] = set()

    def add(self, accepted: Accepted) -> None:
        """A recorded step. What it saved is measured at the first, second, fifth, 17th … of them."""
        self._count += 1
        if self._count >= self._next or not self._each:  # of steps without gradients so far there is nothing to count
            step = accepted.step
            self._each = saved_bytes([step.y1, *step.carry], [accepted.y, *(accepted.carry or ())], self._seen)
            self._next = self._count + max(1, 3 * (self._count - 1))
        self._held += self._each
        self.full = self.full or self._held + self._each > self.most


def saved_bytes(results: Iterable[Tensor], known: Iterable[Tensor], seen: set[int]) -> int:
    """How many bytes the graph between known tensors and results saved, parameters and memory already seen left out.

    Without hooks for saved tensors, which would have to be there when they are saved: under hooks autograd no longer
    notices that a saved tensor was changed in place (test_graphs.py).

    Args:
        seen: addresses of memory counted before; those found are added.
    """
    found: dict[int, int] = {}
    for node in graph(results, beginnings(known)[1]):
        for x in _saved(node):
            with contextlib.suppress(RuntimeError):  # tensors within torch.func's transforms have none of their own
                memory = x.untyped_storage()
                found[memory.data_ptr()] = memory.nbytes()
        if (leaf := getattr(node, "variable", None)) is not None:
            seen.add(leaf.untyped_storage().data_ptr())  # a parameter's memory is there anyway
    new = found.keys() - seen
    seen |= new
    return sum(found[address] for address in new)


def _saved(node) -> list[Tensor]:
    """The tensors that a node of a graph saved."""
    found = []
    for name in _names_of_saved(type(node)):
        try:
            value = getattr(node, name)
        except RuntimeError:  # changed in place, let go, or none
            continue
        found += [x for x in (value if isinstance(value, tuple | list) else [value]) if isinstance(x, Tensor)]
    return [x for x in found if x.layout == torch.strided]


@functools.cache
def _names_of_saved(kind: type) -> list[str]:
    names = [name for name in dir(kind) if name.startswith("_saved_")]
    return [*names, "saved_tensors"] if hasattr(kind, "saved_tensors") else names
