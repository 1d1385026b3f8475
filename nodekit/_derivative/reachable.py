"""What a callable may read: the things that it is, holds, or names."""

from __future__ import annotations

import collections
import contextlib
import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

#: attributes of every module, which are no business of a derivative's
_OF_MODULES = frozenset(vars(nn.Module())) - {"training"}
#: so deep are plain objects followed that hold each other
_DEPTH = 4
#: so many things are looked at
_MOST = 20_000
#: what may hold others without being counted as deeper
_NOT_PLAIN = (nn.Module, types.FunctionType, types.MethodType, functools.partial, list, tuple, dict, set, frozenset)
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
#: most of the things there are, none of which holds others; told by a type faster than by isinstance
_WHOLE = frozenset({*_SCALARS, Tensor, nn.Parameter})


def reachable(*things: Any) -> Iterator[tuple[tuple, Any]]:
    """(place, thing) of everything that callables may read; a place is who holds it, and under what name.

    Followed are bound objects, closures, arguments of partial functions, globals that the code names, modules with
    their parameters, buffers and attributes, plain objects, and lists, tuples, sets and dicts of all these.
    """
    pending, seen, looked = [((None, i), x, 0, ()) for i, x in reversed(list(enumerate(things)))], set(), 0
    while pending and looked < _MOST:
        place, thing, depth, names = pending.pop()
        looked += 1
        yield place, thing
        if type(thing) in _WHOLE or isinstance(thing, _SCALARS):
            continue
        # Bound methods are made anew each time they are asked for.
        key = (id(thing.__func__), id(thing.__self__)) if isinstance(thing, types.MethodType) else id(thing)
        if (key, names) in seen:
            continue
        seen.add((key, names))
        deeper = depth + (not isinstance(thing, _NOT_PLAIN))
        if deeper <= _DEPTH:
            parts = [((key, name), x, deeper, used) for name, x, used in _parts(thing, names)]
            pending += reversed(parts)  # parameters come in their module's own order


def _parts(thing: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """(name, part, names that are used of the part) of one thing."""
    if isinstance(thing, Tensor | type):
        return
    if isinstance(thing, nn.Module):
        yield from _parts_of_module(thing, names)
    elif isinstance(thing, functools.partial):
        yield from _numbered([thing.func, *thing.args, *thing.keywords.values()])
    elif isinstance(thing, types.MethodType):
        yield from (("function", thing.__func__, ()), ("self", thing.__self__, _names(thing.__func__)[1]))
    elif isinstance(thing, types.FunctionType):
        if (thing.__module__ or "").startswith("torch."):
            return
        of_globals, used = _names(thing)
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False):
            with contextlib.suppress(ValueError):  # one that is not filled yet
                yield name, cell.cell_contents, used
        for name in of_globals:
            if name in thing.__globals__:
                yield name, thing.__globals__[name], used
        yield from _numbered([*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()])
    elif isinstance(thing, types.ModuleType):
        # Of an imported file only what the code names, lest all of a library be read.
        for name in names:
            x = vars(thing).get(name)
            if isinstance(x, (Tensor, nn.Module, list, dict, types.FunctionType, *_SCALARS)):
                yield name, x, ()
    elif isinstance(thing, list | tuple | set | frozenset | collections.deque):
        yield from _numbered(thing)
    elif isinstance(thing, dict):
        yield from ((name, x, ()) for name, x in list(thing.items()))
    elif not isinstance(thing, types.BuiltinFunctionType):
        yield from _parts_of_object(thing, names)


def _parts_of_module(module: nn.Module, names) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Parameters, buffers, submodules and further attributes of a module, and the functions it is made of."""
    for kind, held in (("parameter", module._parameters), ("buffer", module._buffers), ("module", module._modules)):
        for name, x in held.items():
            if x is not None:
                yield f"{kind} {name}", x, ()
    for name, x in vars(module).items():
        if name not in _OF_MODULES:
            yield name, x, ()
    if not type(module).__module__.startswith("torch."):
        yield from _methods(type(module), ("forward", *names))


def _parts_of_object(thing: Any, names) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """The attributes of a plain object, and those of its methods that are used."""
    try:
        attributes = object.__getattribute__(thing, "__dict__")  # as it is, whatever the class makes of its attributes
    except AttributeError:
        attributes = {}
    yield from ((name, x, ()) for name, x in list(attributes.items()))
    for kind in type(thing).__mro__:
        for name in getattr(kind, "__slots__", ()):
            with contextlib.suppress(AttributeError):
                yield name, object.__getattribute__(thing, name), ()
    yield from _methods(type(thing), ("__call__", *names))


def _methods(kind: type, names) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """What of these names a class has, its functions and what these name in turn."""
    pending, seen = list(names), set()
    while pending:
        name = pending.pop()
        function = getattr(kind, name, None)
        if hasattr(function, "cache_info") and name not in seen:
            yield f"cached {name}", function, ()
        function = function.fget if isinstance(function, property) else getattr(function, "__wrapped__", function)
        if name not in seen and isinstance(function, (Tensor, nn.Module, list, tuple, dict, *_SCALARS[:-1])):
            seen.add(name)
            yield name, function, ()
        if name in seen or not isinstance(function, types.FunctionType):
            continue
        seen.add(name)
        yield name, function, ()
        pending += _names(function)[1]


def _names(function: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The globals and the attributes that a function's code names."""
    code = getattr(function, "__code__", None)
    return _names_in(code) if isinstance(code, types.CodeType) else ((), ())


@functools.lru_cache(maxsize=1024)
def _names_in(code: types.CodeType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    of_globals, attributes, pending = {}, {}, [code]
    while pending:
        code = pending.pop()
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                of_globals[instruction.argval] = None
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                attributes[instruction.argval] = None
        pending += [x for x in code.co_consts if isinstance(x, types.CodeType)]
    return tuple(of_globals), tuple(attributes)


def _numbered(things) -> Iterator[tuple[int, Any, tuple]]:
    yield from ((i, x, ()) for i, x in enumerate(things))
