"""The gradient of every layer's weights at the start of training (row Q2), by networks with and without shortcuts."""

from __future__ import annotations

import math

import pandas as pd
import torch
from torch import Tensor, nn

from pipeline.models.plain_or_residual import plain_or_residual
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run

IMAGE, CLASSES = (1, 28, 28), 10


class SigmoidLayer(nn.Linear):
    """σ(a + αz), thind eq. (8) to (10); with a shortcut σ(a + αz) + z, its eq. (11). As wide behind as before."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__(width, width)
        self.shortcut = shortcut

    def forward(self, z: Tensor) -> Tensor:
        changed = super().forward(z).sigmoid()
        return z + changed if self.shortcut else changed


def sigmoid_network(depth: int, width: int, shortcut: bool) -> nn.Sequential:
    """Images to logits by `depth` dense layers, all but the first and the last of them alike."""
    first, last = nn.Linear(IMAGE[1] * IMAGE[2], width), nn.Linear(width, CLASSES)
    between = [SigmoidLayer(width, shortcut) for _ in range(depth - 2)]
    return nn.Sequential(nn.Flatten(), first, nn.Sigmoid(), *between, last)


NETWORKS = {"sigmoid": sigmoid_network, "normalized": plain_or_residual}


def gradient_norms(given: dict, batch: int, seed: int) -> list[float]:
    """The norm of the loss's gradient for each layer's weights, first layer first, of a network with initial weights.

    given: `kind` of network and its arguments. The batch is of Gaussian pixels, the classes are drawn at random.
    """
    torch.manual_seed(seed)
    arguments = dict(given)
    network = NETWORKS[arguments.pop("kind")](**arguments)
    images, labels = torch.randn(batch, *IMAGE), torch.randint(CLASSES, (batch,))
    nn.functional.cross_entropy(network(images), labels).backward()
    return [
        float(layer.weight.grad.double().norm())
        for layer in network.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]


def first_over_last(norms: list[float]) -> float:
    """The first layer's norm over that of the last hidden one; the output layer's has the scale of its input."""
    return norms[0] / norms[-2]


def gradients_by_layer(run: Run) -> Tables:
    """Q2: gradient norms layer by layer, and how far apart the first and the last hidden layer's are."""
    given = run.settings.arguments
    norms = gradient_norms(given["network"], given["batch"], run.seed)
    history = pd.DataFrame({"series": "gradient", "layer": range(1, len(norms) + 1), "norm": norms})
    share = first_over_last(norms)
    values = {"first_over_last": (share, ""), "powers_of_ten_between": (abs(math.log10(share)), "")}
    return tables(run, [history], values)
