"""A stand-in for a CUDA device on machines without one: what would fail or wait there fails or is counted here.

Its tensors hold CPU tensors and compute with them, but say `device.type == "cuda"`, refuse to meet tensors of the CPU
as CUDA's do (those of no dimension may meet them element by element), and draw random numbers from a generator of their
own. Each operation for which the host would wait for a GPU is counted. It says nothing of a GPU's kernels, their
rounding or their speed, and kernels that wait by themselves, as some of linear algebra do, are not counted.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import torch
import torch._dynamo  # imported late by torch, which would then meet the names that are patched here
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
# What PyTorch below Python takes for the device of these tensors: "cuda" would call a driver that is not there.
BELOW = torch.device("meta")

aten = torch.ops.aten
#: what the host needs a result of, or the size of one
WAITING = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.masked_select,
    aten.equal,
    aten._linalg_check_errors,
    aten._unique2,
    aten.unique_consecutive,
    aten.unique_dim,
    aten.bincount,
}
COPYING = {aten._to_copy, aten.copy_}
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
#: what takes tensors of the CPU without a dimension, besides what PyTorch calls pointwise
TAKING_NUMBERS = {aten.fill_, aten.masked_fill, aten.masked_fill_, aten.where}
#: tensors of the CPU that operations on the device take or give: lengths of packed sequences
LENGTHS = {aten._pack_padded_sequence, aten._pack_padded_sequence_backward}
#: what autocast computes in lower precision
LOWERED = {
    nn.functional.linear,
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    torch.mm,
    nn.functional.conv2d,
    torch.conv2d,
}


class OnDevice(Tensor):
    """A tensor of the device."""

    __slots__ = ("held",)  # apart from what solvers write into a tensor's __dict__
    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda, is_cpu, is_meta = True, False, False

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        empty = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device=BELOW)
        return torch.Tensor._make_subclass(cls, empty, device_for_backend_keys=CUDA)

    def __init__(self, held: Tensor):
        self.held = held

    def __repr__(self, **_) -> str:
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func}: tensors of the stand-in compute within `stand_in()` only")


class _Calls(TorchFunctionMode):
    """Calls from Python: the device's name put as what PyTorch below Python takes for it, and autocast.

    Of autocast it has the operations that matter here, and no cache of weights.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        asked = [x for x in (*args, *kwargs.values()) if _is_cuda(x)]
        if func is torch.device:
            return func(*args, **kwargs)
        if func is Tensor.cuda:
            return args[0].to(BELOW)
        if func in (Tensor.tolist, Tensor.numpy, Tensor.__array__) and isinstance(args[0], OnDevice):
            if func is not Tensor.tolist:
                raise TypeError("can't convert cuda:0 device type tensor to numpy: copy it to the CPU first")
            return args[0].detach().cpu().tolist()
        if asked and func in (torch.tensor, torch.as_tensor, torch.asarray):
            # PyTorch takes no data to a meta device.
            kwargs.pop("device")
            differentiated = kwargs.pop("requires_grad", False)
            made = func(*args, **kwargs).to(BELOW)
            return made.requires_grad_() if differentiated else made
        args, kwargs = tree_map(_below, (args, kwargs))
        if func in LOWERED and torch.is_autocast_enabled("cuda"):
            args, kwargs = tree_map(_lowered, (args, kwargs))
        return func(*args, **kwargs)


def _is_cuda(x) -> bool:
    return (isinstance(x, torch.device) and x.type == "cuda") or (isinstance(x, str) and x.partition(":")[0] == "cuda")


def _lowered(x):
    lowers = isinstance(x, OnDevice) and x.dtype == torch.float32
    return x.to(torch.get_autocast_dtype("cuda")) if lowers else x


def _below(x):
    return BELOW if _is_cuda(x) else x


class StandIn(TorchDispatchMode):
    """The device while it is in use.

    Attributes:
        waits: how often the host waited for the device, by the operation's name.
        uploads: how many tensors it sent there.
    """

    def __init__(self):
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.uploads = 0
        self.random = torch.Generator().manual_seed(0).get_state()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        ours = [x for x in leaves if isinstance(x, OnDevice)]
        made = kwargs.get("device")
        if not ours and (made is None or made.type != BELOW.type):
            return func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in COPYING:
            return self._copy(func, args, kwargs)
        self._refuse_strangers(func, args, kwargs, leaves)
        if packet in WAITING or (packet in INDEXING and any(_is_mask(x) for x in tree_leaves(args[1]))):
            self.waits[packet.__name__] += 1
        if made is not None:
            kwargs = kwargs | {"device": torch.device("cpu")}
        with self._randomness() if torch.Tag.nondeterministic_seeded in func.tags else contextlib.nullcontext():
            held = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if packet is aten._local_scalar_dense:
            return held
        if packet is aten._pack_padded_sequence:
            return OnDevice(held[0]), held[1]
        return return_and_correct_aliasing(func, args, kwargs, tree_map(_kept, held))

    def _copy(self, func, args, kwargs):
        """From device to device, or within one."""
        if func.overloadpacket is aten.copy_:
            target, source = args[:2]
            to, of = isinstance(target, OnDevice), isinstance(source, OnDevice)
            _held(target).copy_(_held(source))
        else:
            (source,), of = args, isinstance(args[0], OnDevice)
            made = kwargs.get("device")
            to = of if made is None else made.type == BELOW.type
            held = func(_held(source), **kwargs | ({} if made is None else {"device": torch.device("cpu")}))
            target = OnDevice(held) if to else held
        if of and not to:
            self.waits["to the CPU"] += 1
        if to and not of:
            self.uploads += 1
        return target

    def _refuse_strangers(self, func, args, kwargs, leaves) -> None:
        packet = func.overloadpacket
        strangers = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, OnDevice)]
        if not strangers or packet in LENGTHS:
            return
        if packet in INDEXING:  # indices may come from the CPU
            self.uploads += sum(x.ndim > 0 for x in strangers)
            strangers = [x for x in args[::2] if isinstance(x, Tensor) and not isinstance(x, OnDevice)]
        numbers = torch.Tag.pointwise in func.tags or packet in TAKING_NUMBERS or packet in INDEXING
        if (
            not numbers
            or any(x.ndim for x in strangers)
            or (func._schema.is_mutable and not isinstance(args[0], OnDevice))
        ):
            raise RuntimeError(
                f"{func}: expected all tensors to be on the same device, but found cuda:0 and cpu "
                f"{[tuple(x.shape) for x in strangers]}"
            )

    @contextlib.contextmanager
    def _randomness(self):
        before = torch.get_rng_state()
        torch.set_rng_state(self.random)
        try:
            yield
        finally:
            self.random = torch.get_rng_state()
            torch.set_rng_state(before)

    def forget(self) -> None:
        """Count from zero."""
        self.waits.clear()
        self.uploads = 0

    @property
    def syncs(self) -> int:
        """How often the host waited for the device so far."""
        return self.waits.total() + self.uploads


def _is_mask(x) -> bool:
    return isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)


def _held(x):
    return x.held if isinstance(x, OnDevice) else x


def _kept(x):
    return OnDevice(x) if isinstance(x, Tensor) else x


def _may_take_data_of(old: Tensor, new: Tensor) -> bool:
    """Whether a module that is moved keeps a parameter as it is; it gets a new one when it comes to the device."""
    return old is new or not (isinstance(old, OnDevice) or isinstance(new, OnDevice))


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """A device "cuda" on this machine, as long as it lasts."""
    device = StandIn()

    def restore(state, *_):
        device.random = state.clone()

    answers = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "get_device_capability": lambda *_: (7, 0),
        "get_device_name": lambda *_: "a stand-in",
        "is_current_stream_capturing": lambda: False,
        "is_bf16_supported": lambda *_: True,
        "synchronize": lambda *_: None,
        "get_rng_state": lambda *_: device.random.clone(),
        "set_rng_state": restore,
        "get_rng_state_all": lambda: [device.random.clone()],
        "set_rng_state_all": lambda states: restore(*states),
        "manual_seed_all": lambda seed: restore(torch.Generator().manual_seed(seed).get_state()),
    }
    calls, run_backward = _Calls(), torch.autograd._engine_run_backward

    def run(*args, **kwargs):
        with calls:  # which a mode is not for what it calls itself, as it does Tensor.backward
            return run_backward(*args, **kwargs)

    with (
        mock.patch.multiple(torch.cuda, **answers),
        mock.patch.object(torch.autograd, "_engine_run_backward", run),
        # Of the driver the optimizers of some versions ask by this whether a graph is being captured.
        mock.patch.object(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", create=True),
        mock.patch.object(torch, "_has_compatible_shallow_copy_type", _may_take_data_of),
        # cuDNN's kernels have no counterpart on a CPU.
        torch.backends.cudnn.flags(enabled=False),
        calls,
        device,
    ):
        yield device
