"""Which tensors a derivative depends on, so that no gradient is silently zero."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from .errors import GradientUnavailable


def held_by(func: Callable) -> Iterator[Any]:
    """The modules and tensors that a callable is or holds.

    Followed are bound objects, closures, arguments of partial functions, globals that the code names, attributes of
    callable objects, modules, leaves and methods of other objects that the code names, tensors that modules keep
    without owning them, and lists, tuples and dicts of all these.
    """
    pending, seen = [func], set()
    while pending:
        thing = pending.pop()
        # Bound methods are made anew each time they are asked for.
        key = (id(thing.__func__), id(thing.__self__)) if isinstance(thing, types.MethodType) else id(thing)
        if key in seen:
            continue
        seen.add(key)
        if isinstance(thing, Tensor):
            yield thing
        elif isinstance(thing, nn.Module):
            yield thing
            pending += thing.buffers()
            pending += [x for part in thing.modules() for x in vars(part).values() if isinstance(x, Tensor)]
        elif isinstance(thing, functools.partial):
            pending += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, types.MethodType):
            pending += [thing.__func__, thing.__self__, *_used(thing.__self__, thing.__func__)]
        elif isinstance(thing, types.FunctionType):
            closed = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
            named = [thing.__globals__.get(name) for name in thing.__code__.co_names]
            pending += closed + [x for x in named if isinstance(x, Tensor | nn.Module) or _is_own_function(x)]
            pending += [x for owner in closed + named for x in _used(owner, thing)]
        elif isinstance(thing, list | tuple):
            pending += [x for x in thing if not isinstance(x, int | float | str)]
        elif isinstance(thing, dict):
            pending += thing.values()
        elif callable(thing) and not isinstance(thing, type) and hasattr(thing, "__dict__"):
            pending += vars(thing).values()


def modules_of(func: Callable) -> Iterator[nn.Module]:
    """The modules a callable is or holds."""
    return (thing for thing in held_by(func) if isinstance(thing, nn.Module))


def _used(owner: Any, function: Any) -> Iterator[Any]:
    """The modules, leaf tensors and methods of a plain object that are called what the function's code names."""
    if isinstance(owner, type | types.ModuleType | nn.Module | Tensor) or not hasattr(owner, "__dict__"):
        return
    for name in getattr(getattr(function, "__code__", None), "co_names", ()):
        value, method = vars(owner).get(name), getattr(type(owner), name, None)
        if isinstance(value, nn.Module) or (isinstance(value, Tensor) and value.is_leaf):
            yield value
        elif isinstance(method, types.FunctionType):
            yield types.MethodType(method, owner)


def _is_own_function(thing: Any) -> bool:
    return isinstance(thing, types.FunctionType) and not (thing.__module__ or "").startswith("torch")


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


def parameters_of(
    func: Callable, named: Iterable[Any], value: Tensor | None, state: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Every tensor to differentiate with respect to: owned by the function's modules, named, or found captured.

    Args:
        func: the derivative.
        named: tensors given by the user.
        value: the derivative evaluated once with gradients recorded.
        state: the state at which it was evaluated, which is no parameter.
    """
    held = [list(thing.parameters()) if isinstance(thing, nn.Module) else thing for thing in held_by(func)]
    tensors = differentiable([named, held])
    if value is not None and value.requires_grad:
        tensors += captured(value, tensors if state is None else [*tensors, state])
    return tuple(tensors)


def refuse_unknown(value: Tensor, known: Iterable[Tensor]) -> None:
    """Make sure that nothing unknown has come into the derivative since its parameters were sought.

    Raises:
        GradientUnavailable: there is a leaf whose gradient would be lost.
    """
    if value.requires_grad and (missed := captured(value, [x for x in known if x is not None])):
        shapes = ", ".join(str(tuple(x.shape)) for x in missed)
        raise GradientUnavailable(
            f"the derivative depends on tensors of shape {shapes} that it did not depend on at the start of the solve",
            remedy="Name them in params (odeint_adjoint: adjoint_params), or make them parameters of a module",
        )


def is_transformed() -> bool:
    """Whether torch.func transforms, forward-mode duals, a compiler or a tracer watch: only plain operations do."""
    return (
        torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
    )
