"""homework's models of CIFAR-10 (task 7): the MNIST example's ODE-Net and what was added to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.models.example_networks import ExampleNet, group_norm
from pipeline.study import Solver


class Normalize(nn.Module):
    """Images (n, channels, h, w) less each channel's mean, over its standard deviation."""

    def __init__(self, mean: Sequence[float], standard_deviation: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("standard_deviation", torch.tensor(standard_deviation)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """The normalised images."""
        return (images - self.mean) / self.standard_deviation


def cifar_odenet(
    solver: Solver,
    filters: int = 64,
    downsampling: str = "conv",
    convolutions: int = 0,
    hidden_layers: int = 0,
    dropout: float = 0.0,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    standard_deviation: Sequence[float] = (1.0, 1.0, 1.0),
) -> nn.Sequential:
    """Images (n, 3, 32, 32) of values from 0 to 1, to logits (n, 10).

    solver, filters, downsampling: of the example's `ExampleNet`, whose defaults for three channels this has.
    convolutions: how many convolutions of stride 1, each with a normalisation and a ReLU, stand before the
        downsampling and keep the image's size.
    hidden_layers: how many dense layers with a ReLU stand before the last one, which `dropout` precedes.
    mean, standard_deviation: of each channel, for the normalisation of the images.
    """
    layers: list[nn.Module] = [Normalize(mean, standard_deviation)]
    for channels in [3, *[filters] * convolutions][:convolutions]:
        layers += [nn.Conv2d(channels, filters, 3, padding=1), group_norm(filters), nn.ReLU(inplace=True)]
    network = ExampleNet(solver, filters if convolutions else 3, 10, filters, downsampling)
    dense = [layer for _ in range(hidden_layers) for layer in (nn.Linear(filters, filters), nn.ReLU(inplace=True))]
    network.classifier[-1] = nn.Sequential(*dense, nn.Dropout(dropout), nn.Linear(filters, 10))
    return nn.Sequential(*layers, network).to(memory_format=torch.channels_last)
