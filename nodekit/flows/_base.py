"""What every flow is: an invertible map of data to a base distribution, and the density and samples it gives."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InvalidState


class StandardNormal(nn.Module):
    """The normal distribution of mean 0 and covariance I in `dimension` dimensions, on the device of its module.

    Args:
        dimension: of the samples; None: it has a density in any, but no samples.
    """

    def __init__(self, dimension: int | None):
        super().__init__()
        self.register_buffer("mean", None if dimension is None else torch.zeros(dimension), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density (…) at points z (…, d)."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Samples (*shape, d) from torch's global generator.

        Raises:
            InvalidState: the dimension d is not known.
        """
        if self.mean is None:
            raise InvalidState(
                "a standard normal distribution of no given dimension has no samples",
                remedy="Give the flow's field an attribute `dimension`, or the flow a base=StandardNormal(d)",
            )
        return torch.randn(*shape, *self.mean.shape, dtype=self.mean.dtype, device=self.mean.device)


class Flow(nn.Module):
    """An invertible map of data x to points z of a base distribution.

    Subclasses define `forward` (x to z) and `inverse` (z to x), both with the log-determinant of their Jacobian. Used
    the other way round, as a map of the base to the target, the density of y = forward(z) is base(z) / |det|. What
    `log_prob` and `sample` are given beyond, such as a context, they hand on to these two.

    Args:
        base: a distribution with `log_prob(z)` and `sample(shape)`, e.g. of `torch.distributions`, event shape (d,).
    """

    def __init__(self, base: Any):
        super().__init__()
        self.base = base

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points z (…, d) of data x (…, d), and log|det ∂z/∂x| (…)."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Data x (…, d) of points z (…, d), and log|det ∂x/∂z| (…)."""
        raise NotImplementedError

    def log_prob(self, x: Tensor, *given: Any) -> Tensor:
        """The log-density (…) of data x (…, d), by the change of variables: log p(x) = log p(z) + log|det ∂z/∂x|."""
        z, logdet = self(x, *given)
        return self.base.log_prob(z) + logdet

    @torch.no_grad()
    def sample(self, count: int, *given) -> Tensor:
        """Samples (count, d): points of the base from torch's global generator, mapped back; without gradient."""
        return self.inverse(self.base.sample((count,)), *given)[0]
