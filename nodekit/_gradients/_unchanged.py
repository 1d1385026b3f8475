"""Whether the derivative is still what it was in the forward pass, for gradients that evaluate it again.

Its attributes, globals, modes, weights and generators may have changed since. An exact gradient that takes steps again
compares their results with those of the forward pass. A continuous adjoint evaluates elsewhere than the forward pass
did, so it asks for the first slope again, for the last one and for one between; and where something that the function
may read was replaced since, it solves again before it goes back.
"""

from __future__ import annotations

import types
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._steps.problem import Problem, Record
from ..errors import DerivativeChanged

_ANOTHER_VALUE = (
    "the derivative is not what it was in the forward pass: evaluated again where it was then, it gives another value"
)
_LEAVE_IT = (
    "Pass what changes from call to call as args, leave the function as it was until the backward pass is over, or "
    "keep the graphs of all steps: gradient='backprop', or the default gradient with a larger option graph_bytes"
)


class Comparison:
    """Values computed again beside those of the forward pass; one wait for the device for all of them.

    Half of the digits count: on accelerators sums come in another order each time.

    Args:
        digits: the precision that the derivative computes in, where it is not the values' own.
    """

    def __init__(self, digits: torch.dtype | None = None):
        self.digits, self.same = digits, None

    def add(self, again: Tensor, before: Tensor, slack: Tensor | float = 0.0) -> None:
        """One value, which may differ by the slack in any case."""
        eps = torch.finfo(self.digits or before.dtype).eps
        again, before = again.detach(), before.detach()
        size = before.abs().nan_to_num(posinf=0.0).max() if before.numel() else 0.0
        near = (again - before).abs() <= eps**0.5 * before.abs() + 64 * eps * size + slack
        near = (near | (again == before) | (again.isnan() & before.isnan())).all()
        self.same = near if self.same is None else self.same & near

    def insist(self, found: str = _ANOTHER_VALUE, remedy: str = _LEAVE_IT) -> None:
        """Raises: DerivativeChanged: unless all were the same."""
        if self.same is not None and not bool(self.same):
            raise DerivativeChanged(found, remedy=remedy)


class Watched:
    """The derivative of a forward pass, to be compared with that of its backward pass.

    Args:
        problem: the solve, which begins now.
        y0, slope: its start.
    """

    def __init__(self, problem: Problem, y0: Tensor, slope: Tensor):
        self.y0, self.slope, self._pace = y0.detach(), slope.detach(), problem.record.pace
        self._before = _snapshot(problem.seen)
        self._count, self._between, self._last = 0, None, None
        problem.func.watched = self

    def note(self, t: Tensor, y: Tensor, slope: Tensor) -> None:
        """An evaluation of the forward pass. The last is kept, and the last that was the second, fourth, eighth …"""
        self._count += 1
        self._last = t, y, slope
        if self._count & (self._count - 1) == 0:
            self._between = self._last

    def over(self, problem: Problem, evaluated: bool = True) -> None:
        """The forward pass is over: what changed in it (a counter, the last state) changes at each evaluation.

        Args:
            evaluated: whether it called the function step by step; compiled loops change nothing that it reads.
        """
        self._steady, self._changing = self._before, set()
        if evaluated:
            after = _snapshot(problem.look())
            self._steady = {place: mark for place, mark in self._before.items() if after.get(place, _GONE) == mark}
            self._changing = (self._before.keys() | after.keys()) - self._steady.keys()
        problem.func.watched = self._before = None
        noted = [] if self._last is None else [self._last]
        if self._between is not self._last:
            noted.append(self._between)
        # Inside a transform (of an implicit step's Jacobian) they are no tensors of their own.
        plain = [x for x in noted if not any(map(torch._C._functorch.is_functorch_wrapped_tensor, x))]
        self._noted = [tuple(part.detach() for part in x) for x in plain]
        self._between = self._last = None

    def insist(self, problem: Problem, outputs) -> None:
        """Look whether the derivative still is the same.

        Args:
            outputs: of the forward pass.

        Raises:
            DerivativeChanged: it is another.
        """
        if problem.record.random is not None:
            return  # it draws anew each time, of which a warning was given
        func, digits = problem.func, problem.surroundings.autocast_dtype
        before, now, same = func.evaluations, _snapshot(problem.look()), Comparison(digits)
        with torch.no_grad(), problem.surroundings.again():
            for t, y, slope in ((problem.start(), self.y0, self.slope), *self._noted):
                same.add(func(t, y), slope)
            same.insist()
            places = (now.keys() | self._steady.keys()) - self._changing
            if any(now.get(place, _GONE) != self._steady.get(place, _GONE) for place in places):
                again = self._again(problem)
                # To an event of a shared solve, which is a time of the solve again, steps are cut otherwise.
                cut = problem.watch is not None and again.watch is None
                for found, output in zip(again.integrate(self.y0, self.slope), outputs, strict=False):
                    same.add(found, output, 1e-3 * output.abs().max() if cut else 0.0)
                if again.watch is not None:
                    same.add(again.watch.t, problem.watch.t)
                same.insist()
        func.evaluations = before

    def _again(self, problem: Problem) -> Problem:
        """The same solve today."""
        record, times = Record(problem.record.stats.anew(), pace=self._pace), problem.reached
        watch = None if problem.watch is None else problem.watch.anew()
        return problem.anew(record=record, times=times, watch=watch, progress=None, throw=False)


_GONE = object()
#: arrays of more bytes are told apart by their identity only
_LARGE = 2**20


def _snapshot(read) -> dict[tuple, Any]:
    """Of what a function may read: place → a mark that another value would not have."""
    return {place: _mark(thing) for place, thing in read}


def _mark(thing: Any) -> Any:
    if isinstance(thing, bool | int | float | complex | str | bytes | type(None)):
        return thing if thing == thing else "nan"
    if isinstance(thing, np.ndarray):
        return id(thing), thing.tobytes() if thing.dtype != object and thing.nbytes < _LARGE else None
    if isinstance(thing, types.MethodType):  # made anew each time it is asked for
        return id(thing.__func__), id(thing.__self__)
    return _Mark(thing)


class _Mark:
    """A thing, which is not kept: the function may hold results of the solve, which hold this."""

    __slots__ = ("number", "reference", "version")

    def __init__(self, thing: Any):
        self.number = id(thing)
        try:
            self.reference = weakref.ref(thing)
        except TypeError:  # lists, whose contents have marks of their own
            self.reference = None
        self.version = thing._version if isinstance(thing, Tensor) and not thing.is_inference() else None

    def __eq__(self, other) -> bool:
        if not isinstance(other, _Mark) or (self.number, self.version) != (other.number, other.version):
            return False
        return self.reference is None or self.reference() is not None

    __hash__ = None
