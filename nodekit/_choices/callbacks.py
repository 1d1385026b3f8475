"""The callbacks that a derivative carries, as in torchdiffeq."""

from __future__ import annotations

from .._derivative.state import Derivative, version_of
from .._methods import Method
from .._steps.loops import Callbacks
from .._warning import warn
from ..errors import InvalidDerivative
from .options import ADAPTIVE, FIXED, Options, steps_of

#: called before a step, after an accepted one, and after a rejected one
NAMES = ("callback_step", "callback_accept_step", "callback_reject_step")
#: implicit methods that choose their steps here, and in torchdiffeq take one from each time to the next
FIXED_IN_TORCHDIFFEQ = ("radauIIA3", "radauIIA5", "sdirk2", "trbdf2")


def callbacks_of(
    func, derivative: Derivative, method: Method, options: Options, strict: bool, suffix: str = ""
) -> Callbacks:
    """Those that the user's function carries as attributes; warns of those that are not called.

    Args:
        derivative: the same function on the solver's tensors.
        strict: False: also warns of those that torchdiffeq does not call and this library does.
        suffix: of the names, for a backward solve's callbacks.
    """
    found = {name + suffix: getattr(func, name + suffix, None) for name in NAMES}
    called = {ADAPTIVE: NAMES, FIXED: NAMES[:1]}.get(steps_of(method, options), ())
    if not_called := [name for name in found if found[name] and name.removesuffix(suffix) not in called]:
        warn(f"{method.name} with the steps it takes here does not call {', '.join(not_called)}")
    more = [name for name in found if found[name] and name.removesuffix(suffix) in called[1:]]
    if more and not strict and method.name in FIXED_IN_TORCHDIFFEQ:
        warn(
            f"{method.name} chooses its steps here and calls {', '.join(more)}; torchdiffeq's has steps that are given"
        )

    def wrapped(name, callback):
        def call(t0, y, dt):
            version = version_of(y)
            callback(t0, derivative.packing.unpack(y), dt)
            if version_of(y) != version:
                raise InvalidDerivative(f"{name} changes the state it is given in place", remedy="Clone it before")

        return callback and call

    return Callbacks(*(wrapped(name, callback) for name, callback in found.items()))
