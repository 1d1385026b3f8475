"""Wall time of a computation, and the share of it that modules take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn


def seconds_of(computation: Callable[[], object]) -> float:
    """The seconds of one call, to its end on the GPU where there is one."""
    wait()
    begin = time.perf_counter()
    computation()
    wait()
    return time.perf_counter() - begin


def wait() -> None:
    """Wait for whatever the GPU has still to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fastest(computation: Callable[[], object], repeats: int) -> float:
    """The seconds of the fastest of `repeats` calls: whatever else a machine does only adds to them."""
    return min(seconds_of(computation) for _ in range(repeats))


def share_of(modules: Sequence[nn.Module], computation: Callable[[], object]) -> float:
    """The share of a computation's seconds that these modules take, forward and backward; they are called one by one.

    Args:
        modules: none of them within another.
        computation: run twice; the second run is measured.
    """
    if not modules:
        return 0.0
    inside = began = 0.0

    def enter(*_) -> None:
        nonlocal began
        wait()
        began = time.perf_counter()

    def leave(*_) -> None:
        nonlocal inside
        wait()
        inside += time.perf_counter() - began

    computation()
    with contextlib.ExitStack() as stack:
        for module in modules:
            for register, call in (
                (module.register_forward_pre_hook, enter),
                (module.register_forward_hook, leave),
                (module.register_full_backward_pre_hook, enter),
                (module.register_full_backward_hook, leave),
            ):
                stack.callback(register(call).remove)
        total = seconds_of(computation)
    return inside / total
