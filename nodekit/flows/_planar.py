"""The planar normalizing flow: a stack of layers, each of which bends space along one direction."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._base import Flow, StandardNormal

# wᵀû stays so far above −1, so that rounding cannot take a layer's inverse away.
MARGIN = 1e-6


class PlanarFlow(Flow):
    """`depth` layers z ↦ z + û tanh(wᵀz + b), invertible since wᵀû > −1 (Rezende & Mohamed 2015, eq. 10, appendix A).

    The inverse has no closed form; along w it is the root of a monotone function of one variable, found by bisection
    to the precision of the dtype. Both directions are differentiable.

    Args:
        dimension: d, of the data.
        depth: number of layers K.
        base: see `Flow`; by default the standard normal distribution.
    """

    def __init__(self, dimension: int, depth: int, base: Any = None):
        super().__init__(StandardNormal(dimension) if base is None else base)
        bound = 1 / math.sqrt(dimension)
        self.weight = nn.Parameter(torch.empty(depth, dimension).uniform_(-bound, bound))
        self.direction = nn.Parameter(torch.empty(depth, dimension).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(depth))

    def layers(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The weight w (d,), bias b (), constrained direction û (d,) and slope wᵀû () of every layer."""
        product = (self.weight * self.direction).sum(-1)
        slope = functional.softplus(product) - (1 - MARGIN)
        shift = (slope - product) / self.weight.square().sum(-1)
        directions = self.direction + shift[:, None] * self.weight
        return list(zip(self.weight, self.bias, directions, slope, strict=True))

    def forward(self, x: Tensor, after: int = 0) -> tuple[Tensor, Tensor]:
        """Points z (…, d) of data x (…, d), and log|det ∂z/∂x| (…), by the matrix determinant lemma (eq. 12).

        With `after`, x is what the data have become after so many layers, and only the others are applied.
        """
        z, logdet = x, x.new_zeros(x.shape[:-1])
        for weight, bias, direction, slope in self.layers()[after:]:
            bent = torch.tanh(z @ weight + bias)
            z = z + bent[..., None] * direction
            logdet = logdet + torch.log1p(slope * (1 - bent.square()))
        return z, logdet

    def inverse(self, z: Tensor, after: int = 0) -> tuple[Tensor, Tensor]:
        """Data x (…, d) of points z (…, d), or what they are after some layers, and log|det ∂x/∂z| (…)."""
        x, logdet = z, z.new_zeros(z.shape[:-1])
        for weight, bias, direction, slope in reversed(self.layers()[after:]):
            bent = torch.tanh(_before_bending(x @ weight, bias, slope) + bias)
            x = x - bent[..., None] * direction
            logdet = logdet - torch.log1p(slope * (1 - bent.square()))
        return x, logdet

    def log_prob(self, x: Tensor, after: int = 0) -> Tensor:
        """The log-density (…) at points x (…, d) of what the data have become after some layers, by default none."""
        return super().log_prob(x, after)


def _before_bending(after: Tensor, bias: Tensor, slope: Tensor) -> Tensor:
    """The root a of a + slope · tanh(a + bias) = after, for slope > −1; differentiable."""
    with torch.no_grad():
        low, high = after - slope.abs(), after + slope.abs()
        for _ in range(math.ceil(-math.log2(torch.finfo(after.dtype).eps))):
            middle = (low + high) / 2
            below = middle + slope * torch.tanh(middle + bias) < after
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        root = (low + high) / 2
    # Newton's method sharpens the root, and gives it the derivatives of the implicit function: one step the first ones,
    # two steps those up to the third.
    for _ in range(2):
        bent = torch.tanh(root + bias)
        root = root - (root + slope * bent - after) / (1 + slope * (1 - bent.square()))
    return root
