"""The numbers of which steps are made: Python floats in one solve, tensors where every sample has its own, or compiled.

Both namespaces have the same names, so that the control of step sizes is written once; `<=`, `&`, `|` and arithmetic
serve either.
"""

from __future__ import annotations

import math
import operator

import torch
from torch import Tensor

#: of either namespace
Number = float | Tensor
Condition = bool | Tensor


def host(x: Tensor | float) -> float:
    """A number on the host: the one place where the solver waits for the device.

    Under `torch.func.vmap` the largest of the batch: its members then share their steps.
    """
    if not isinstance(x, Tensor):
        return float(x)
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return float(x if x.ndim == 0 else x.max())


def is_finite(y: Tensor) -> bool:
    """Whether a state is finite; not asked where the answer cannot be waited for."""
    if torch.compiler.is_compiling() or (y.is_cuda and torch.cuda.is_current_stream_capturing()):
        return True
    return host(torch.isfinite(y.detach()).all().logical_not()) == 0


class Floats:
    """Of one solve, on the host, which does not wait for a device to compute with them."""

    isfinite, invert, smaller, larger, of = map(staticmethod, (math.isfinite, operator.not_, min, max, host))
    any = staticmethod(bool)

    @staticmethod
    def sign(x: float) -> int:
        return (x > 0) - (x < 0)

    @staticmethod
    def where(condition: bool, a: float, b: float) -> float:
        return a if condition else b

    @staticmethod
    def full(like: float, value: float) -> float:
        """A number, as many times as there are others."""
        return value

    @staticmethod
    def clip(x: float, low: float, high: float) -> float:
        return low if x < low else high if x > high else x

    @staticmethod
    def resolution(t: float) -> float:
        """The distance to the next number away from zero."""
        return math.ulp(abs(t))


class Tensors:
    """Of every sample, or of one compiled solve, on the device."""

    where, isfinite, invert, sign = map(staticmethod, (torch.where, torch.isfinite, torch.logical_not, torch.sign))
    clip, full = staticmethod(torch.clamp), staticmethod(torch.full_like)

    @staticmethod
    def smaller(a: Tensor, b: Tensor | float) -> Tensor:
        return a.clamp(max=b)

    @staticmethod
    def larger(a: Tensor, b: Tensor | float) -> Tensor:
        return a.clamp(min=b)

    @staticmethod
    def resolution(t: Tensor) -> Tensor:
        """The distance to the next number away from zero."""
        return torch.nextafter(t.abs(), torch.full_like(t, math.inf)) - t.abs()

    @staticmethod
    def any(condition: Tensor) -> bool:
        return host(condition.any()) != 0

    @staticmethod
    def of(x: Tensor) -> Tensor:
        """Norms as numbers, constants of every derivative, forward-mode ones included."""
        return x.detach().double()
