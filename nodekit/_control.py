"""Step sizes: the norm of the error, the controller, and the first step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .errors import UnknownOption, UnsupportedCombination, nearest

#: (proportional, integral, derivative) coefficients; Hairer, Nørsett & Wanner II.4 and Söderlind 2003.
CONTROLLERS = {"I": (0.0, 1.0, 0.0), "PI": (0.2, 0.65, 0.0), "PID": (0.1, 0.7, 0.03)}


def constant():
    """A context in which nothing is recorded, for what gradients take as constant: step sizes and their errors."""
    return torch.no_grad() if torch.is_grad_enabled() else contextlib.nullcontext()


def rms_norm(x: Tensor) -> Tensor:
    """√(mean x²), the norm in which a state of any size is judged alike."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


def host(x: Tensor | float) -> float:
    """A number on the host: the one place where the solver waits for the device.

    Under `torch.func.vmap` the largest of the batch: its members then share their steps.
    """
    if not isinstance(x, Tensor):
        return float(x)
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return float(x if x.ndim == 0 else x.max())


def refuse_vmap(x: Tensor) -> Tensor:
    """The plain tensor under those that torch.func wraps around it.

    Raises:
        UnsupportedCombination: under vmap, whose members would each have decisions of their own.
    """
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        if torch._C._functorch.is_batchedtensor(x):
            raise UnsupportedCombination(
                "under torch.func.vmap no member can have events or steps of its own",
                remedy='Solve the whole batch at once, with batch="independent" for steps of its own for every sample',
            )
        x = torch._C._functorch.get_unwrapped(x)
    return x


def host_values(x: Tensor) -> list:
    """A tensor's numbers on the host, also while torch.func differentiates.

    Raises:
        UnsupportedCombination: under vmap.
    """
    return refuse_vmap(x).detach().tolist()


@dataclass
class Tolerance:
    """atol + rtol·|y|: each a number, a tensor that broadcasts to the state, or a function of t giving either."""

    rtol: float | Tensor | Callable
    atol: float | Tensor | Callable

    def scale(self, t: float, size: Tensor) -> Tensor:
        """The error allowed at time t in every component of a state of this size, a tensor that it may overwrite."""
        rtol = self.rtol(t) if callable(self.rtol) else self.rtol
        atol = self.atol(t) if callable(self.atol) else self.atol
        if isinstance(rtol, float) and isinstance(atol, float):
            return size.mul_(rtol).add_(atol)
        return size * rtol + atol

    def positive_scale(self, t: float, size: Tensor) -> Tensor:
        """The same, but nowhere zero: a component that stays zero has an error of zero, and of that the ratio is 0."""
        scale = self.scale(t, size)
        if isinstance(self.atol, float) and self.atol > 0:
            return scale
        return scale.clamp(min=torch.finfo(scale.dtype).tiny)


@dataclass
class Controller:
    """Chooses step sizes from error ratios (1 = just tolerable).

    The factor between steps is safety · ε₀^(kI+kP+kD) · ε₁^−(kP+2kD) · ε₂^kD with ε = ratio^(−1/exponent): a PID
    controller (Söderlind, Digital filters in adaptive time-stepping, 2003), of which kP = kD = 0 is the classical one.

    Args:
        exponent: the error of a step is proportional to dt to this power.
        safety, ifactor, dfactor: the factor's margin, its largest and its smallest value.
        pcoeff, icoeff, dcoeff: kP, kI, kD.
    """

    exponent: float
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    pcoeff: float = 0.0
    icoeff: float = 1.0
    dcoeff: float = 0.0
    history: tuple[float, float] = field(default=(1.0, 1.0), init=False)

    def factor(self, ratio: float, accepted: bool) -> float:
        """By what to multiply the step size after a step with this error ratio."""
        if not math.isfinite(ratio):
            return self.dfactor
        # An error of zero still grows the step by no more than ifactor.
        now = max(ratio, 1e-10) ** (-1 / self.exponent)
        one, two = self.history
        p, i, d = self.pcoeff, self.icoeff, self.dcoeff
        if not accepted:
            return min(1.0, max(self.dfactor, self.safety * now))
        factor = self.safety * now ** (p + i + d) * one ** -(p + 2 * d) * two**d
        self.history = (now, one)
        return min(self.ifactor, max(self.dfactor, factor))


def controller_coefficients(name: str) -> tuple[float, float, float]:
    """The coefficients of a controller known by name.

    Raises:
        UnknownOption: with the nearest name.
    """
    try:
        return CONTROLLERS[name]
    except (KeyError, TypeError):
        raise UnknownOption(f"no controller is called {name!r}", remedy=nearest(name, CONTROLLERS)) from None


def error_ratio(step, t: float, y: Tensor, tolerance: Tolerance, norm: Callable) -> float:
    """The norm of a step's error in units of the tolerance, on the host; to be called where nothing is recorded."""
    return host(error_norm(step, t, y, tolerance, norm))


def error_norm(step, t: float, y: Tensor, tolerance: Tolerance, norm: Callable) -> Tensor:
    """The norm of a step's error in units of the tolerance."""
    scale = tolerance.positive_scale(t, torch.maximum(y.abs(), step.y1.abs()))
    ratio = norm(step.error / scale)
    if step.error_third is None:
        return ratio
    # DOP853: the fifth-order estimate, lifted to the eighth order by the third-order one (HNW II.10).
    third = norm(step.error_third / scale)
    square = ratio * ratio
    return torch.where(square == 0, square, square / torch.sqrt(square + 0.01 * third * third))


def first_step(func, clock, t: float, end: float, y: Tensor, slope: Tensor, order: int, tolerance, norm) -> float:
    """A first step size from the sizes of y, y' and y'' (Hairer, Nørsett & Wanner I, section II.4). One evaluation.

    They allow the step hundredth the error that it might have; it is allowed the whole here. Over the problems of
    DETEST that costs no more rejections and no accuracy, and a solve of few steps takes fewer.

    Args:
        order: of the error estimate.
    """
    scale = tolerance.scale(t, y.abs())
    d0, d1 = host(norm(y / scale)), host(norm(slope / scale))
    span = abs(end - t)
    h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 or not math.isfinite(d1) else 0.01 * d0 / d1
    h0 = min(h0, span)
    signed = math.copysign(h0, end - t)
    ahead = func(clock.instant(t + signed), torch.add(y, slope, alpha=signed))
    d2 = host(norm((ahead - slope) / scale)) / h0
    largest = max(d1, d2)
    if not math.isfinite(largest):
        return h0
    h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else largest ** (-1 / (order + 1))
    return min(100 * h0, h1, span)
