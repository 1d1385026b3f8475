"""Iceberg or ship: thind's multilayer perceptron (2.2, 7.1.2)."""

from __future__ import annotations

import itertools

from torch import nn

from pipeline.models.keras_defaults import dense


def iceberg_mlp(pixels: int = 75 * 75, hidden: int = 128, depth: int = 4) -> nn.Module:
    """`depth` dense layers of `hidden` rectified units on the flattened image, then one logit of "an iceberg".

    The listing's sigmoid is part of the loss, `binary_cross_entropy`. Input (n, 1, 75, 75), output (n, 1).
    """
    widths = [pixels, *[hidden] * depth]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths):
        layers += [dense(before, after), nn.ReLU()]
    return nn.Sequential(*layers, dense(hidden, 1))
