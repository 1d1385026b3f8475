"""Iceberg or ship: thind's Keras-style residual network (3.2, 7.2.2), layer for layer."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.keras_defaults import batch_norm_1d, batch_norm_2d, conv_2d, dense

KERNEL_SIZE = 5


class IcebergResNet(nn.Module):
    """Images (n, channels, 75, 75) to the two logits of "ship" and "iceberg".

    The listing's softmax is part of the loss, `softmax_binary_cross_entropy`. As listed, the *second* residual block
    too adds `input_CNN`, the input of the first one, and not its own input.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        self.input_cnn = nn.Sequential(
            batch_norm_2d(channels),
            *convolution(channels, 32),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            *convolution(32, 64),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
        )
        self.first_residual = residual(64, 128)
        self.second_residual = residual(64, 128)
        self.top_cnn = nn.Sequential(
            *convolution(64, 128),
            nn.MaxPool2d(2),
            *convolution(128, 256),
            nn.Dropout(0.25),
            nn.MaxPool2d(2),
            *convolution(256, 512),
            nn.Dropout(0.25),
            nn.MaxPool2d(2),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.output = nn.Sequential(
            dense(512, 512),
            batch_norm_1d(512),
            nn.ELU(),
            nn.Dropout(0.5),
            dense(512, 256),
            batch_norm_1d(256),
            nn.ELU(),
            nn.Dropout(0.5),
            dense(256, 2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The logits (n, 2) of images (n, channels, 75, 75)."""
        shortcut = self.input_cnn(images)
        features = self.first_residual(shortcut) + shortcut
        features = self.second_residual(features) + shortcut
        return self.output(self.top_cnn(features))


def convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Convolution, batch normalisation, ELU: the listing's unit."""
    return [conv_2d(in_channels, out_channels, KERNEL_SIZE), batch_norm_2d(out_channels), nn.ELU()]


def residual(channels: int, inner: int) -> nn.Sequential:
    """What a residual block adds to its shortcut."""
    return nn.Sequential(
        batch_norm_2d(channels), *convolution(channels, inner), nn.Dropout(0.25), *convolution(inner, channels)
    )
