"""Keras's layers and initial values in PyTorch: what a document leaves unsaid where its listing uses Keras."""

from __future__ import annotations

from torch import nn

# Keras: moving = 0.99 · moving + 0.01 · batch; PyTorch names the other share. The variance that Keras's fused (image)
# layer averages is the unbiased one, as PyTorch's; its dense layer's is the biased one, here too the unbiased is used.
BATCH_NORM = {"momentum": 1 - 0.99, "eps": 1e-3}


def dense(in_features: int, out_features: int) -> nn.Linear:
    """Keras's `Dense` without its activation: Glorot uniform weights, zero biases (Glorot and Bengio 2010, eq. 16)."""
    return glorot(nn.Linear(in_features, out_features))


def conv_2d(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """Keras's `Conv2D` of stride 1 with padding "same", for an odd kernel size."""
    return glorot(nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2))


def batch_norm_2d(channels: int) -> nn.BatchNorm2d:
    """Keras's `BatchNormalization(momentum = 0.99)` over the channels of images."""
    return nn.BatchNorm2d(channels, **BATCH_NORM)


def batch_norm_1d(features: int) -> nn.BatchNorm1d:
    """Keras's `BatchNormalization(momentum = 0.99)` over features."""
    return nn.BatchNorm1d(features, **BATCH_NORM)


def glorot(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """`layer`, its weights drawn anew from ±√(6 / (fan in + fan out)) and its biases set to zero."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
