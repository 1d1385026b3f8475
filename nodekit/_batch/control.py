"""Step sizes of every sample at once, as tensors on its device: the scalar formulas of `nodekit._control`."""

from __future__ import annotations

import torch
from torch import Tensor

from .._control import Controller


def error_ratios(step, t: Tensor, y: Tensor, tolerance, norm) -> Tensor:
    """Every sample's error in units of its tolerance, shape (batch,) in float64."""
    scale = tolerance.positive_scale(t, torch.maximum(y.detach().abs(), step.y1.detach().abs()))
    ratio = norm(step.error / scale).double()
    if step.error_third is None:
        return ratio
    third = norm(step.error_third / scale).double()
    square = ratio * ratio
    return torch.where(square == 0, square, square / torch.sqrt(square + 0.01 * third * third))


class StepFactors:
    """A controller for every sample, with its own history.

    Args:
        controller: its coefficients.
        samples: how many.
    """

    def __init__(self, controller: Controller, samples: Tensor):
        self.controller = controller
        self.one = self.two = torch.ones_like(samples)

    def __call__(self, ratio: Tensor, accepted: Tensor) -> Tensor:
        """By what to multiply every sample's step size."""
        c = self.controller
        p, i, d = c.pcoeff, c.icoeff, c.dcoeff
        now = ratio.clamp(min=1e-10).pow(-1 / c.exponent)
        again = (c.safety * now).clamp(c.dfactor, 1.0)
        onward = c.safety * now.pow(p + i + d)
        if p or d:
            onward = onward * self.one.pow(-(p + 2 * d)) * self.two.pow(d)
            self.two = torch.where(accepted, self.one, self.two)
            self.one = torch.where(accepted, now, self.one)
        onward = onward.clamp(c.dfactor, c.ifactor)
        factor = torch.where(accepted, onward, again)
        return torch.where(torch.isfinite(ratio), factor, c.dfactor)


def first_steps(func, clock, t: Tensor, end: Tensor, y: Tensor, slope: Tensor, order: int, tolerance, norm) -> Tensor:
    """A first step size for every sample, shape (batch,) in float64. One evaluation."""
    packing = clock.packing
    scale = tolerance.scale(clock.instant(t), y.abs())
    d0, d1 = norm(y / scale).double(), norm(slope / scale).double()
    span = (end - t).abs()
    tiny = (d0 < 1e-5) | (d1 < 1e-5) | ~torch.isfinite(d1)
    h0 = torch.minimum(torch.where(tiny, 1e-6, 0.01 * d0 / d1), span)
    h0 = torch.where(torch.isfinite(h0), h0, torch.full_like(h0, 1e-6).minimum(span))
    signed = torch.copysign(h0, end - t)
    ahead = func(clock.instant(t + signed), torch.addcmul(y, slope, packing.spread(signed.to(y.dtype), y)))
    d2 = norm((ahead - slope) / scale).double() / h0
    largest = torch.maximum(d1, d2)
    h1 = torch.where(largest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), largest.pow(-1 / (order + 1)))
    return torch.where(torch.isfinite(largest), torch.minimum(torch.minimum(100 * h0, h1), span), h0)
