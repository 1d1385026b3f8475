"""Which tensors a derivative depends on, so that no gradient is silently zero."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_leaves

#: of functools.lru_cache
_CACHE = type(functools.lru_cache(len))


def modules_of(read: Iterable[tuple[tuple, Any]]) -> list[nn.Module]:
    """The modules among what `reachable` found, each once."""
    return list({id(x): x for _, x in read if isinstance(x, nn.Module)}.values())


def keeps_graphs(read: Iterable[tuple[tuple, Any]]) -> bool:
    """Whether there are computed tensors among what `reachable` found, or caches that may hold some unseen."""
    return parametrize._cache_enabled > 0 or any(  # within torch.nn.utils.parametrize.cached()
        thing.grad_fn is not None if isinstance(thing, Tensor) else isinstance(thing, _CACHE) for _, thing in read
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
    ends = (getattr(node, "variable", None) for node in graph([value], walls) if not node.next_functions)
    return list({id(leaf): leaf for leaf in ends if isinstance(leaf, Tensor) and id(leaf) not in leaves}.values())


def graph(results: Iterable[Tensor], walls: Container[tuple]) -> Iterator[Any]:
    """The nodes of the graph of some results, each once, up to some walls."""
    pending, seen = [(x.grad_fn, x.output_nr) for x in results], set()
    while pending:
        edge = pending.pop()
        node = edge[0]
        if node is not None and node not in seen and edge not in walls:
            seen.add(node)
            yield node
            pending += node.next_functions


def parameters_of(
    read: Iterable[tuple[tuple, Any]], named: Iterable[Any], value: Tensor | None = None, known=()
) -> tuple[Tensor, ...]:
    """Every tensor to differentiate with respect to: among what the derivative may read, named, or found captured.

    Args:
        read: what `reachable` found.
        named: tensors given by the user.
        value: something computed by the derivative, with gradients recorded.
        known: what it was computed from, which is no parameter.
    """
    tensors = differentiable([named, *(x for _, x in read if isinstance(x, Tensor))])
    if value is not None and value.requires_grad:
        tensors += captured(value, [*tensors, *known])
    return tuple(tensors)


def is_recording() -> bool:
    """Whether autograd records, and no transform of `is_transformed` does in its place."""
    return torch.is_grad_enabled() and not is_transformed()


def is_transformed() -> bool:
    """Whether torch.func transforms, forward-mode duals, a compiler or a tracer watch: only plain operations do."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
    )
