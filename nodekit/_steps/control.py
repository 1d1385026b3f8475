"""Step sizes: the norm of the error, the controller, and the first step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidOption, UnsupportedCombination
from .numbers import Condition, Number
from .stepper import combine

if TYPE_CHECKING:
    from .._choices.options import Options
    from .._derivative.state import Packing

#: (proportional, integral, derivative) coefficients; Hairer, Nørsett & Wanner II.4 and Söderlind 2003.
CONTROLLERS = {"I": (0.0, 1.0, 0.0), "PI": (0.2, 0.65, 0.0), "PID": (0.1, 0.7, 0.03)}


def constant():
    """A context in which nothing is recorded, for what gradients take as constant: step sizes and their errors."""
    return torch.no_grad() if torch.is_grad_enabled() else contextlib.nullcontext()


def rms_norm(x: Tensor) -> Tensor:
    """√(mean x²), the norm in which a state of any size is judged alike."""
    return torch.linalg.vector_norm(x) / math.sqrt(max(x.numel(), 1))


def norm_of(options: Options, packing: Packing) -> Callable[[Tensor], Tensor]:
    """The norm of a scaled error: the user's, or the root mean square (the largest of several tensors')."""
    if options.norm is not None and not callable(options.norm):
        raise InvalidOption(f"the option norm must be a function of the state, not {options.norm!r}")
    if callable(options.norm):
        return lambda x: torch.as_tensor(options.norm(packing.unpack(x)))
    if packing.single:
        return rms_norm
    return lambda x: torch.stack([rms_norm(part) for part in packing.parts(x)]).max()


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


class Pace(NamedTuple):
    """How a solve steps on.

    Attributes:
        size: of the step to try next.
        last, before: the factors by which the last two accepted steps' errors alone would have changed it.
    """

    size: Number
    last: Number = 1.0
    before: Number = 1.0


@dataclass(frozen=True)
class Controller:
    """Chooses step sizes from error ratios (1 = just tolerable): of one solve in floats, of every sample in tensors.

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

    def propose(self, n, pace: Pace, t: Number, stop: Number, sign: Number, low: Number, high: Number):
        """The next step's end, whether the stop cuts it, and the pace with the size that is meant.

        No step passes the stop nor leaves a crumb before it. The controller's margin is given up where that saves a
        step: at size / safety the error is just tolerable.

        Args:
            n: the namespace of the numbers, `Floats` or `Tensors`.
            sign: of the direction of time.
            low, high: limits of the size.
        """
        size = n.clip(pace.size, low, high)
        cut = abs(stop - t) <= n.smaller(size / self.safety, high)
        return n.where(cut, stop, t + sign * size), cut, Pace(size, pace.last, pace.before)

    def judge(self, n, ratio: Number, t: Number, length: Number, cut: Condition, pace: Pace, low: Number):
        """What the error of a step leads to.

        Args:
            ratio: the error in units of what is allowed.
            t, length: where the step began, and how far it went: nowhere, if it was below the resolution of time.
            cut, pace: as `propose` gave them.
            low: a step meant to be no longer is accepted whatever its error.

        Returns:
            Whether the step is accepted; whether no smaller one is to be tried either; the pace to go on with; and the
            next step's size if nothing had cut this one short.
        """
        finite, least = n.isfinite(ratio), self._least(n, length, pace, low)
        accepted = ((ratio <= 1.0) | (least & finite)) & (length > 0)
        # An error of zero still grows the step by no more than ifactor.
        now = n.clip(ratio, 1e-10, math.inf) ** (-1 / self.exponent)
        onward, last, before = self.safety * now ** (self.pcoeff + self.icoeff + self.dcoeff), pace.last, pace.before
        if self.pcoeff or self.dcoeff:
            onward = onward * last ** -(self.pcoeff + 2 * self.dcoeff) * before**self.dcoeff
            last, before = n.where(accepted, now, last), n.where(accepted, last, before)
        onward = n.clip(onward, self.dfactor, self.ifactor)
        factor = n.where(accepted, onward, n.clip(self.safety * now, self.dfactor, 1.0))
        free = length * n.where(finite, factor, self.dfactor)
        # A step cut short by a stop says little about the sizes to come: the size before the cut stays.
        size = n.where(accepted & cut, n.larger(free, pace.size), free)
        failed = n.invert(accepted) & self._exhausted(n, free, t, least)
        return accepted, failed, Pace(size, last, before), free

    def retry(self, n, t: Number, length: Number, pace: Pace, low: Number) -> tuple[Pace, Condition]:
        """How to go on after a step that has no result, and so no error; and whether that is hopeless."""
        size = length / 4
        return pace._replace(size=size), self._exhausted(n, size, t, self._least(n, length, pace, low))

    @staticmethod
    def _least(n, length: Number, pace: Pace, low: Number) -> Condition:
        """Whether a step was the shortest there may be.

        By the size that was meant: t + size − t may round to more, and a step may be stretched to a stop. Judged by
        its length alone, it would be rejected, proposed again, and rejected for ever.
        """
        return n.smaller(length, pace.size) <= low

    @staticmethod
    def _exhausted(n, size: Number, t: Number, least: Condition) -> Condition:
        """Whether no step of this size is worth trying, after one that was the shortest there may be or was not."""
        return least | (size <= 16 * n.resolution(t))


def error_norm(step, scale: Tensor, norm: Callable) -> Tensor:
    """The norm of a step's error in units of what is allowed."""
    ratio = norm(step.error / scale)
    if step.error_third is None:
        return ratio
    # DOP853: the fifth-order estimate, lifted to the eighth order by the third-order one (HNW II.10).
    third = norm(step.error_third / scale)
    square = ratio * ratio
    return torch.where(square == 0, square, square / torch.sqrt(square + 0.01 * third * third))


def first_step(
    n, func, clock, t: Number, end: Number, y: Tensor, slope: Tensor, order: int, part: float, scale: Tensor, norm
):
    """A first step size from the sizes of y, y' and y'' (Hairer, Nørsett & Wanner I, section II.4). One evaluation.

    They allow the step hundredth the error that it might have; it is allowed the whole here. Over the problems of
    DETEST that costs no more rejections and no accuracy, and a solve of few steps takes fewer.

    Args:
        n: the namespace of the numbers, `Floats` or `Tensors`.
        order: of the error estimate.
        part: of |y| / |y'| that the step may have.
        scale: the error allowed at the start.
    """
    span = abs(end - t)
    d0, d1 = n.of(norm(y / scale)), n.of(norm(slope / scale))
    known = (d0 >= 1e-5) & (d1 >= 1e-5) & n.isfinite(d1)
    h0 = n.smaller(n.where(known, 0.01 * d0 / n.larger(d1, 1e-5), 1e-6), span)
    signed = n.where(end > t, h0, -h0)
    ahead = func(clock.instant(t + signed), combine(y, clock.length(signed), [(0, 1.0)], [slope]))
    d2 = n.of(norm((ahead - slope) / scale)) / h0
    largest = n.larger(d1, d2)
    steep = n.larger(largest, 1e-15) ** (-1 / (order + 1))
    h1 = n.where(largest <= 1e-15, n.larger(h0 * 1e-3, 1e-6), steep)
    return n.where(n.isfinite(largest), n.smaller(n.smaller(100 * part * h0, h1), span), h0)
