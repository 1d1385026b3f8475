"""Which tensors a derivative depends on, so that no gradient is silently zero."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def modules_of(func: Callable) -> Iterator[nn.Module]:
    """The modules a callable is or holds: itself, its bound object, its closure, its partial arguments."""
    pending, seen = [func], set()
    while pending:
        thing = pending.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            yield thing
        elif isinstance(thing, functools.partial):
            pending += [thing.func, *thing.args, *thing.keywords.values()]
        elif callable(thing):
            pending += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or () if _filled(cell)]
            pending.append(getattr(thing, "__self__", None))


def _filled(cell) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def differentiable(tensors: Iterable[Any]) -> list[Tensor]:
    """Those that are tensors and require a gradient, each once, in order."""
    kept = {id(x): x for x in tree_leaves(list(tensors)) if isinstance(x, Tensor) and x.requires_grad}
    return list(kept.values())


def captured(value: Tensor, known: Iterable[Tensor]) -> list[Tensor]:
    """Leaf tensors in the graph of a value that are not reached through a known one.

    A captured tensor that is itself computed is followed to the leaves it was computed from.
    """
    known = list(known)
    leaves = {id(tensor) for tensor in known if tensor.grad_fn is None}
    walls = {(tensor.grad_fn, tensor.output_nr) for tensor in known if tensor.grad_fn is not None}
    found: dict[int, Tensor] = {}
    seen = set()
    pending = [(value.grad_fn, value.output_nr)]
    while pending:
        edge = pending.pop()
        node, _ = edge
        if node is None or edge in walls or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and isinstance(leaf, Tensor):
            if id(leaf) not in leaves:
                found[id(leaf)] = leaf
            continue
        pending.extend(node.next_functions)
    return list(found.values())


def parameters_of(func: Callable, named: Iterable[Any], value: Tensor | None) -> tuple[Tensor, ...]:
    """Every tensor to differentiate with respect to: owned by the function's modules, named, or found captured.

    Args:
        func: the derivative.
        named: tensors given by the user.
        value: the derivative evaluated once with gradients recorded, at a state that requires none.
    """
    tensors = differentiable([named, [list(module.parameters()) for module in modules_of(func)]])
    if value is not None and value.requires_grad:
        tensors += captured(value, tensors)
    return tuple(tensors)


def is_transformed() -> bool:
    """Whether torch.func transforms, forward-mode duals or a compiler are watching: then only plain operations do."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
    )
