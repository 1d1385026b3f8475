"""Vector fields for continuous flows: planar ones, whose trace has a closed form, and free-form ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class HyperPlanarField(nn.Module):
    """dz/dt = (1/M) Σₘ uₘ(t) tanh(wₘ(t)ᵀz + bₘ(t)): M planar units whose parameters a small network gives at time t.

    The planar continuous flow of Chen et al. 2018 (eq. 9 to 11 and section 5), whose trace has a closed form. The
    network is Dense(hidden, tanh) → Dense(hidden, tanh) → Dense; each uₘ is multiplied by a gate in (0, 1).

    Args:
        dimension: d, of the data.
        hidden: units in each hidden layer of the network.
        width: M, number of planar units.
    """

    def __init__(self, dimension: int, hidden: int = 32, width: int = 16):
        super().__init__()
        self.dimension, self.width = dimension, width
        self.network = nn.Sequential(
            nn.Linear(1, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, width * (3 * dimension + 1)),
        )

    def parameters_at(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The units' weights w (M, d), biases b (M,) and directions u (M, d) at a scalar time t."""
        size = self.width * self.dimension
        values = self.network(t.reshape(1).to(self.network[0].weight))
        weight, direction, gate, bias = values.split((size, size, size, self.width))
        direction = direction * torch.sigmoid(gate)
        return weight.view(self.width, -1), bias, direction.view(self.width, -1)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The velocity (…, d) at a scalar time t and points z (…, d)."""
        weight, bias, direction = self.parameters_at(t)
        return torch.tanh(z @ weight.T + bias) @ direction / self.width

    def with_trace(self, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity (…, d) and the trace (…) of its Jacobian, (1/M) Σₘ (1 − tanh²) uₘᵀwₘ."""
        weight, bias, direction = self.parameters_at(t)
        bent = torch.tanh(z @ weight.T + bias)
        slopes = (weight * direction).sum(-1)
        return bent @ direction / self.width, (1 - bent.square()) @ slopes / self.width


class MLPField(nn.Module):
    """dz/dt = MLP(z, t): a free-form field, in the spirit of FFJORD (Grathwohl et al. 2019), time as a further input.

    Args:
        dimension: d, of the data.
        hidden: units in each hidden layer.
        activation: of the hidden layers; smooth, since the trace is differentiated again in training.
        context: c, size of a context that is a further input.
    """

    def __init__(
        self,
        dimension: int,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.Tanh,
        context: int = 0,
    ):
        super().__init__()
        self.dimension = dimension
        sizes = (dimension + 1 + context, *hidden)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), activation()]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], dimension))

    def forward(self, t: Tensor, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The velocity (…, d) at a scalar time t and points z (…, d), given a context (…, c) if it takes one."""
        inputs = [z, t.to(z).reshape(1)] if context is None else [z, t.to(z).reshape(1), context.to(z)]
        return self.network(torch.cat([x.expand(*z.shape[:-1], -1) for x in inputs], dim=-1))
