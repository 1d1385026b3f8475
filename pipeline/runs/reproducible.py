"""The same seed, the same numbers: to the bit on a CPU, whatever else the machine does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

# One stream of random numbers for each purpose, so that none shifts another.
STREAMS = {"global": 0, "shuffle": 1, "augmentation": 2, "device": 3}


def stream_seed(seed: int, stream: str, *index: int) -> int:
    """The 64-bit seed of one of `STREAMS` of a run, at an index such as the epoch."""
    return int(np.random.SeedSequence([seed, STREAMS[stream], *index]).generate_state(1, np.uint64)[0])


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """The order in which an epoch visits `count` images: drawn anew from seed and epoch, no state to keep."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "shuffle", epoch))
    return torch.randperm(count, generator=generator)


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch and hold it to deterministic algorithms and `threads` threads; the settings before come back after.

    Sums depend on how they are split, hence on the number of threads. A few operations have no deterministic form on
    a GPU: there torch warns.
    """
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(stream_seed(seed, "global"))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        torch.utils.deterministic.fill_uninitialized_memory = before[3]
