"""Wall time of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def fastest(computation: Callable[[], object], repeats: int, device: torch.device) -> float:
    """The seconds of the fastest of `repeats` calls: whatever else a machine does only adds to them."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        computation()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
