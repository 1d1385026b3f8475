"""Which tensors a derivative depends on, so that no gradient is silently zero."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

from ._reachable import reachable

#: of functools.lru_cache
_CACHE = type(functools.lru_cache(len))


def held_by(func: Callable) -> list[Any]:
    """The modules and tensors that a callable is, holds or names."""
    return [thing for _, thing in reachable(func) if isinstance(thing, Tensor | nn.Module)]


def modules_of(func: Callable) -> list[nn.Module]:
    """The modules a callable is or holds, and their parts."""
    return [thing for thing in held_by(func) if isinstance(thing, nn.Module)]


def keeps_graphs(func: Callable) -> bool:
    """Whether a callable holds computed tensors, which it may have made itself, or keeps some where none is seen."""
    return parametrize._cache_enabled > 0 or any(  # within torch.nn.utils.parametrize.cached()
        thing.grad_fn is not None if isinstance(thing, Tensor) else isinstance(thing, _CACHE)
        for _, thing in reachable(func)
    )


def differentiable(tensors: Iterable[Any]) -> list[Tensor]:
    """Those that are tensors and require a gradient, each once, in order."""
    kept = {id(x): x for x in tree_leaves(list(tensors)) if isinstance(x, Tensor) and x.requires_grad}
    return list(kept.values())


def captured(value: Tensor, known: Iterable[Tensor]) -> list[Tensor]:
    """Leaf tensors in the graph of a value that are not reached through a known one.

    A captured tensor that is itself computed is followed to the leaves it was computed from.
    """
    leaves, walls = beginnings(known)
    return unknown_leaves(value, leaves, walls)


def beginnings(known: Iterable[Tensor]) -> tuple[set[int], set[tuple]]:
    """Where a walk through a graph ends: at these leaves, by their identity, and at these computed tensors."""
    known = list(known)
    leaves = {id(tensor) for tensor in known if tensor.grad_fn is None}
    return leaves, {(tensor.grad_fn, tensor.output_nr) for tensor in known if tensor.grad_fn is not None}


def unknown_leaves(value: Tensor, leaves: set[int], walls: set[tuple]) -> list[Tensor]:
    """The leaves in the graph of a value that lie neither among some leaves nor behind some walls."""
    found: dict[int, Tensor] = {}
    seen = set()
    pending = [(value.grad_fn, value.output_nr)]
    while pending:
        edge = pending.pop()
        node = edge[0]
        if node is None or node in seen or edge in walls:
            continue
        seen.add(node)
        if further := node.next_functions:
            pending += further
        elif isinstance(leaf := getattr(node, "variable", None), Tensor) and id(leaf) not in leaves:
            found[id(leaf)] = leaf
    return list(found.values())


def parameters_of(func: Callable, named: Iterable[Any], value: Tensor | None = None, known=()) -> tuple[Tensor, ...]:
    """Every tensor to differentiate with respect to: owned by the function's modules, named, or found captured.

    Args:
        func: the derivative.
        named: tensors given by the user.
        value: something computed by the derivative, with gradients recorded.
        known: what it was computed from, which is no parameter.
    """
    tensors = differentiable([named, held_by(func)])
    if value is not None and value.requires_grad:
        tensors += captured(value, [*tensors, *known])
    return tuple(tensors)


def is_transformed() -> bool:
    """Whether torch.func transforms, forward-mode duals, a compiler or a tracer watch: only plain operations do."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
    )
