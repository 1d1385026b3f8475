"""The derivative as compiled loops call it, what it reads, and the tensors that it is differentiated by."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from .._derivative.parameters import modules_of, unknown_leaves
from .._derivative.reachable import reachable
from ..errors import UnsupportedCombination

#: a parameter's name in the field, or an argument's number
Place = str | int


class FunctionField(nn.Module):
    """A function with the modules that it calls, whose parameters are the field's own."""

    def __init__(self, func: Callable, parts: Sequence[nn.Module]):
        super().__init__()
        self.parts, self.func = nn.ModuleList(parts), func

    def forward(self, t, y, *args):
        return self.func(t, y, *args)


class Field:
    """The derivative of a compiled solve.

    Args:
        func, args: as of `nodekit.solve`.

    Attributes:
        read: what `reachable` finds, until the loops begin; roots: of these callables; modules: those among it.
        alone: whether one module is all that is called.
        module: calls the function; a module is its own.
        args: the arguments, without graphs.
        code: what makes another computation of it although the compiler would not notice: the code of the functions
            that it calls, and the hooks and modes of its modules.
    """

    def __init__(self, func: Callable, args: tuple):
        self._given, structure = tree_flatten(args)
        self.roots = func, *(x for x in self._given if isinstance(x, nn.Module))
        self.read = list(reachable(*self.roots))
        self.modules = modules_of(self.read)
        self.alone = isinstance(func, nn.Module) and len(self.roots) == 1
        inner = {id(part) for x in self.modules for part in x._modules.values()}
        self.module = func if self.alone else FunctionField(func, [x for x in self.modules if id(x) not in inner])
        once: dict[int, Tensor] = {}  # one argument that is another, too, stays that: loops do not take aliases
        detached = [once.setdefault(id(x), x.detach()) if isinstance(x, Tensor) else x for x in self._given]
        self.args = tree_unflatten(detached, structure)
        self._tensors, code = [], []
        for place, thing in self.read:
            if isinstance(thing, types.FunctionType):
                code.append(thing.__code__)
            elif isinstance(thing, nn.Module):
                hooks = (*thing._forward_pre_hooks, *thing._forward_hooks)  # numbers that never come again
                code.append((type(thing), thing.training, hooks))
            elif isinstance(thing, Tensor) and not thing.is_inference():
                self._tensors.append((str(place[-1]), thing, thing._version))
        # With whom the loops live and go: functions that differ only in what they close over share theirs.
        self.owner = func.__code__ if isinstance(func, types.FunctionType) else func
        if isinstance(func, types.MethodType):
            self.owner = func.__self__
        self.code = tuple(x for x in code if x is not self.owner)

    def loops(self, known: weakref.WeakKeyDictionary) -> dict:
        """The loops of this function among those of all.

        Raises:
            UnsupportedCombination: a callable that nothing can be remembered of.
        """
        try:
            return known.setdefault(self.owner, {})
        except TypeError:
            raise UnsupportedCombination(
                f"compile=True remembers loops for functions and modules, not for a {type(self.owner).__name__}",
                remedy="Write func as a function or a torch.nn.Module, or leave compile out",
            ) from None

    def insist_unchanged(self) -> None:
        """Look whether the first evaluation changed what it reads, and keep that no longer.

        Raises:
            UnsupportedCombination: it did.
        """
        for name, tensor, version in self._tensors:
            if tensor._version != version:
                raise UnsupportedCombination(
                    f"func changes a tensor that it reads, {name!r} of shape {tuple(tensor.shape)}, in each "
                    "evaluation, which compiled loops do not do alike",
                    remedy="Make it a component of the state, or leave compile out",
                )
        # It may hold the results of solves, which hold this.
        self.read, self._tensors = (), []

    def places(self, parameters: Sequence[Tensor]) -> list[tuple[Place, int]]:
        """Where the tensors to differentiate by are handed to the field: (place, number of the tensor).

        Raises:
            UnsupportedCombination: one is neither a parameter of a module nor an argument.
        """
        numbers = {id(x): i for i, x in enumerate(parameters)}
        held = [*own_parameters(self.module), *enumerate(self._given)]
        found = [(place, numbers[id(x)]) for place, x in held if id(x) in numbers]
        missing = set(range(len(parameters))) - {number for _, number in found}
        if missing:
            raise self._lost(parameters[min(missing)])
        return found

    def insist_replaceable(self, places, parameters: Sequence[Tensor], t: Tensor, state: Any) -> None:
        """Look whether it reads the tensors to differentiate by in their places only.

        Args:
            places: of `places`.
            t, state: where to evaluate it.

        Raises:
            UnsupportedCombination: it reads one elsewhere, too, of which the gradient would be lost.
        """

        def elsewhere() -> list[Tensor]:
            others = [x.detach().requires_grad_() for x in parameters]
            given = {place: others[number] for place, number in places}
            known, leaves = {id(x) for x in others}, []
            for slope in tree_leaves(called(self.module, self.args, given, t, state)):
                leaves += unknown_leaves(slope, known, set()) if slope.requires_grad else []
            return leaves

        with torch.enable_grad():
            found = elsewhere()
            again = {id(x) for x in elsewhere()} if found else ()
        for leaf in found:
            if id(leaf) in again:  # others are made anew in each evaluation, and nobody differentiates by them
                raise self._lost(leaf)

    def _lost(self, tensor: Tensor) -> UnsupportedCombination:
        names = [name for name, x, _ in self._tensors if x is tensor and not name.startswith("parameter ")]
        return UnsupportedCombination(
            f"compile=True differentiates by the parameters of modules and by args only; func reads a tensor of shape "
            f"{tuple(tensor.shape)} that requires a gradient {f'as {names[-1]!r}' if names else 'elsewhere'}",
            remedy="Pass it in args, make it a parameter of a module and read it there, or leave compile out",
        )


def own_parameters(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(name, parameter) for every attribute that is one: of a module with two names once, of tied weights each."""
    for prefix, part in module.named_modules():
        yield from (
            (f"{prefix}.{name}" if prefix else name, x) for name, x in part._parameters.items() if x is not None
        )


def called(module: nn.Module, args: tuple, given: dict[Place, Tensor], t: Tensor, state: Any) -> Any:
    """The slope with other tensors in these places."""
    named = {place: x for place, x in given.items() if isinstance(place, str)}
    leaves, structure = tree_flatten(args)
    args = tree_unflatten([given.get(place, leaf) for place, leaf in enumerate(leaves)], structure)
    # To tie weights by itself, torch would put back the wrong ones into a module that has two names (2.15).
    return torch.func.functional_call(module, named, (t, state, *args), tie_weights=False)
