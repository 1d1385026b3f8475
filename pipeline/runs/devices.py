"""The devices of one training: one, or several that share every batch by Lightning Fabric's data-parallel strategy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed import TCPStore
from torch.multiprocessing.spawn import ProcessException

from nodekit import METHODS, NeuralODE
from pipeline.runs.errors import TrainingError
from pipeline.study import ConfigurationError, Solver


def make_fabric(device: str, devices: int | Literal["auto"], precision: str) -> Fabric:
    """Fabric on the settings' devices; several take a process each.

    device: "cpu", "cuda", or "auto": GPUs where there are. devices: how many, or "auto": all GPUs, but one CPU.
    precision: Fabric's name. Raises `ConfigurationError` for GPUs that are not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    elif device == "cuda" and not gpus:
        raise ConfigurationError("device: 'cuda', but PyTorch sees no GPU here; set it to 'auto' or 'cpu'")
    if devices == "auto":
        devices = max(1, gpus) if device == "cuda" else 1
    if device == "cuda" and devices > gpus:
        raise ConfigurationError(f"devices: {devices}, but PyTorch sees {gpus} here; ask for as many, or for 'auto'")
    # Forked processes share the images and the log. Normalisation's running statistics need no broadcasts: they are of
    # whole batches, hence equal. (PyTorch 2.9 knows this argument by no other name, later versions warn of it.)
    strategy = DDPStrategy(start_method="fork", broadcast_buffers=False) if devices > 1 else "auto"
    # A scheduler's variables around the processes, which are all on one machine, are not Fabric's concern.
    plugins = [LightningEnvironment()]
    return Fabric(accelerator=device, devices=devices, strategy=strategy, precision=precision, plugins=plugins)


def launch(fabric: Fabric, function: Callable[..., None], *arguments: Any) -> None:
    """`function(fabric, *arguments)` on every device; the processes end with this one.

    Raises what it raises; `TrainingError` also for a process that was killed, and then the others are ended.
    """
    several = fabric.world_size > 1
    try:
        with meeting_place() if several else nullcontext():
            fabric.launch(of_several(function) if several else function, *arguments)
    except ProcessException as error:  # of a process it brings the traceback only, as text
        for kind in (ConfigurationError, TrainingError):
            words = error.msg.rpartition(f"{kind.__name__}: ")[2]
            if words != error.msg:
                raise kind(words.strip()) from None
        raise TrainingError(
            f"one of {fabric.world_size} processes of a training failed: {error.msg.strip()}. "
            "Started again, the run goes on from its last checkpoint"
        ) from None


@contextmanager
def meeting_place() -> Iterator[None]:
    """A store of this process where the processes of a training find each other, on a port that nobody else can take.

    Fabric would choose a port that is free now, for a process that listens there later: by then another may.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    # How PyTorch's own launcher says where its store is, and that no process is to open another.
    place = {"MASTER_ADDR": store.host, "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    before = {name: os.environ.get(name) for name in place}
    os.environ.update(place)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def of_several(function: Callable[..., None]) -> Callable[..., None]:
    """`function` in one process of several, which ends with the one that started it, and fails after the culprit.

    When its parent is killed the kernel sends it SIGINT, as PyTorch asks for, which a shell's background processes
    ignore. And where one fails the others lose their connection to it: who has no word of the training's own waits, for
    the parent raises what the first process says and ends the others.
    """

    def call(*arguments: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            function(*arguments)
        except (ConfigurationError, TrainingError):
            raise
        except Exception:
            time.sleep(10)
            raise

    return call


def prepare(network: nn.Module, solver: Solver | None, fabric: Fabric, smallest_batch: int) -> nn.Module:
    """`network` such that its training on all devices of `fabric` computes what one device would.

    Batch normalisation is over the whole batch: PyTorch's, which is for GPUs only.
    smallest_batch: how many images the smallest batch has.
    Raises `ConfigurationError` for what cannot be shared among several devices.
    """
    devices = fabric.world_size
    if devices == 1:
        return network
    if smallest_batch < devices:
        raise ConfigurationError(f"devices: {devices}, but the smallest batch has {smallest_batch} images; take fewer")
    if not normalises(network):
        return network
    if fabric.device.type == "cpu":
        raise ConfigurationError(
            f"devices: {devices}, but PyTorch normalises batches over several devices on GPUs only; set it to 1"
        )
    blocks = [module for module in network.modules() if isinstance(module, NeuralODE)]
    if any(map(normalises, blocks)) and not evaluates_alike(solver):
        raise ConfigurationError(
            f"devices: {devices}, but '{solver.method}' would choose evaluations of its own on each, of a derivative "
            "that normalises batches over all; set it to 1, or take an explicit method with a step_size"
        )
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def normalises(module: nn.Module) -> bool:
    """Whether a module has batch normalisation inside."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def evaluates_alike(solver: Solver) -> bool:
    """Whether the solver evaluates the derivative at the same times whatever the state is."""
    method = METHODS[solver.method]
    return not method.implicit and (not method.adaptive or solver.step_size is not None)


def share(batch: Tensor, fabric: Fabric) -> Tensor:
    """This device's part of a batch (n, …): as many as the others', or one more or less."""
    return batch.tensor_split(fabric.world_size)[fabric.global_rank]
