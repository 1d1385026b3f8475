"""How much memory a computation needs at its peak."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def peak_memory(computation: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """The bytes of tensors that `computation` holds at its peak, beyond those that were there before it.

    On a GPU the allocator counts. On a CPU, where torch keeps no peak, the storage of every operation's result is
    counted from then until it is released; scratch space inside an operation is not seen.
    The computation runs once beforehand, so that nothing that happens only the first time is counted.
    """
    device = torch.device(device)
    computation()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        computation()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    collecting = gc.isenabled()
    gc.disable()  # what waits in a cycle of references would otherwise be released at any time
    try:
        with Storages() as storages:
            computation()
    finally:
        if collecting:
            gc.enable()
    return storages.peak


class Storages(TorchDispatchMode):
    """Counts the bytes of the storages that operations made and that are still held; `peak` is their maximum."""

    def __init__(self):
        super().__init__()
        self.live, self.held, self.peak = {}, 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        inputs = {storage(x) for x in tree_iter((arguments, keywords)) if isinstance(x, torch.Tensor)}
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor) and storage(tensor) not in inputs:
                self.count(tensor.untyped_storage())
        return result

    def count(self, made: torch.UntypedStorage) -> None:
        """Count a storage, unless it is counted already, until it is released."""
        key, size = made._cdata, made.nbytes()
        if key in self.live:
            return
        self.live[key] = weakref.finalize(made, self.release, key, size)
        self.held += size
        self.peak = max(self.peak, self.held)

    def release(self, key: int, size: int) -> None:
        """A storage is gone."""
        del self.live[key]
        self.held -= size


def storage(tensor: torch.Tensor) -> int:
    """What tells a tensor's storage from all others that exist now."""
    return tensor.untyped_storage()._cdata
