"""What surrounds the derivative in the forward pass and must surround it again when it is evaluated in the backward.

Autocast: the mode of the forward pass is entered again. Buffers of modules (BatchNorm's running statistics): only the
forward pass updates them; backward passes work on scratch copies. Random numbers: where the derivative draws them
(dropout), the exact gradients replay the forward pass's draws step by step.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import torch

from .parameters import modules_of
from .reachable import reachable


class Surroundings:
    """The forward pass's surroundings, recorded at construction.

    Args:
        func: the derivative, with its arguments.
        device: the state's device.
    """

    def __init__(self, func: Callable, device: torch.device):
        kind = self.device_type = device.type
        self.device = device
        self.autocast = torch.is_autocast_enabled(kind)
        self.autocast_dtype = torch.get_autocast_dtype(kind) if self.autocast else None
        self.func = func

    @functools.cached_property
    def modules(self) -> list[torch.nn.Module]:
        """The modules that func is or holds; a forward pass that is recorded never asks."""
        return modules_of(reachable(self.func))

    @contextlib.contextmanager
    def again(self):
        """The surroundings for evaluations in a backward pass."""
        autocast = torch.autocast(self.device_type, self.autocast_dtype, enabled=self.autocast)
        with autocast, self._scratch_buffers():
            yield

    @contextlib.contextmanager
    def forward(self):
        """The surroundings for the forward pass without gradients.

        Autocast's cache of cast weights is off: weights cast without a graph must not serve code that needs one.
        """
        if not self.autocast:
            yield
            return
        with torch.autocast(self.device_type, self.autocast_dtype, cache_enabled=False):
            yield

    @contextlib.contextmanager
    def _scratch_buffers(self):
        owners = [module for module in self.modules if module.training and module._buffers]
        originals = [dict(module._buffers.items()) for module in owners]
        try:
            for module, buffers in zip(owners, originals, strict=True):
                for name, buffer in buffers.items():
                    if buffer is not None and not buffer.requires_grad:
                        setattr(module, name, buffer.clone())  # TorchScript's modules have no dict to be updated
            yield
        finally:
            for module, buffers in zip(owners, originals, strict=True):
                for name, buffer in buffers.items():
                    setattr(module, name, buffer)


#: accelerators with generators of their own
_GENERATORS = ("cuda", "xpu", "mps")


def _generator(device: torch.device) -> tuple[torch.device, ...]:
    """How an accelerator's functions name the device's generator; of Apple's there is one."""
    return () if device.type == "mps" else (device,)


class RandomState:
    """The state of the random number generators a derivative on this device may draw from."""

    __slots__ = ("accelerator", "cpu")

    def __init__(self, device: torch.device):
        self.cpu = torch.get_rng_state()
        self.accelerator = None
        if device.type in _GENERATORS:
            self.accelerator = torch.get_device_module(device).get_rng_state(*_generator(device))

    def restore(self, device: torch.device) -> None:
        """Continue the generators from here."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, *_generator(device))

    def __eq__(self, other) -> bool:
        alike = torch.equal(self.cpu, other.cpu)
        return alike and (self.accelerator is None or torch.equal(self.accelerator, other.accelerator))

    __hash__ = None


@contextlib.contextmanager
def replayed_randomness(state: RandomState | None, device: torch.device):
    """Draw the same random numbers as when the state was recorded, and leave the generators as they were."""
    if state is None:
        yield
        return
    before = RandomState(device)
    state.restore(device)
    try:
        yield
    finally:
        before.restore(device)
