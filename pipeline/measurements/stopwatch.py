"""Wall time of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


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
