"""The networks of torchdiffeq's MNIST example, which homework trains (5–7) and Chen et al. compare (Table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.image_odenet import ode_block
from pipeline.models.time_conv import TimeConv2d
from pipeline.study import ConfigurationError, Solver

FILTERS_A_GROUP = 2
RESIDUAL_BLOCKS = 6


def group_norm(filters: int) -> nn.GroupNorm:
    """Group normalisation in groups of two, as the example's 64 filters in 32 groups.

    With groups of one an image's mean would be the same in every filter, and the classifier sees little but means.
    """
    return nn.GroupNorm(max(1, filters // FILTERS_A_GROUP), filters)


class GroupNormDerivative(nn.Module):
    """dy/dt = f(t, y) of images y (n, filters, h, w): the example's `ODEfunc`, which treats each image by itself."""

    def __init__(self, filters: int):
        super().__init__()
        self.norm1 = group_norm(filters)
        self.conv1 = TimeConv2d(filters, filters, bias=True)
        self.norm2 = group_norm(filters)
        self.conv2 = TimeConv2d(filters, filters, bias=True)
        self.norm3 = group_norm(filters)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative at time t, of the shape of y."""
        hidden = self.conv1(t, self.norm1(y).relu())
        return self.norm3(self.conv2(t, self.norm2(hidden).relu()))


class PreActivationBlock(nn.Module):
    """A residual block as of He et al. (2016b): normalise, ReLU, convolve, twice, and add the input.

    With a stride of two it halves the image. Its shortcut then is a 1×1 convolution (`projection`, the example's), or
    else every second pixel, which needs no parameters.
    """

    def __init__(self, filters: int, stride: int = 1, projection: bool = True):
        super().__init__()
        self.norm1 = group_norm(filters)
        self.conv1 = nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False)
        self.norm2 = group_norm(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.stride = stride
        self.projection = nn.Conv2d(filters, filters, 1, stride, bias=False) if projection and stride > 1 else None

    def forward(self, y: Tensor) -> Tensor:
        """Images (n, filters, h, w) to images of height and width divided by the stride, rounded up."""
        hidden = self.norm1(y).relu()
        shortcut = self.projection(hidden) if self.projection else y[..., :: self.stride, :: self.stride]
        return shortcut + self.conv2(self.norm2(self.conv1(hidden)).relu())


class ResidualBlocks(nn.Module):
    """`count` blocks y + f(k / count, y), each with an f of its own: what an ODE block stands for."""

    def __init__(self, filters: int, count: int = RESIDUAL_BLOCKS):
        super().__init__()
        self.derivatives = nn.ModuleList(GroupNormDerivative(filters) for _ in range(count))

    def forward(self, y: Tensor) -> Tensor:
        """Images (n, filters, h, w) to images of the same shape."""
        for index, derivative in enumerate(self.derivatives):
            y = y + derivative(y.new_full((), index / len(self.derivatives)), y)
        return y


def convolutions(channels: int, filters: int) -> nn.Sequential:
    """The example's `conv`: halves an image twice, 28×28 to 6×6."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3),
        group_norm(filters),
        nn.ReLU(inplace=True),
        nn.Conv2d(filters, filters, 4, stride=2, padding=1),
        group_norm(filters),
        nn.ReLU(inplace=True),
        nn.Conv2d(filters, filters, 4, stride=2, padding=1),
    )


def residual_downsampling(channels: int, filters: int, projection: bool = True) -> nn.Sequential:
    """The example's `res`: halves an image twice by residual blocks, 28×28 to 7×7."""
    halving = [PreActivationBlock(filters, stride=2, projection=projection) for _ in range(2)]
    return nn.Sequential(nn.Conv2d(channels, filters, 3), *halving)


DOWNSAMPLING = {
    "conv": convolutions,
    "res": residual_downsampling,
    "res_without_projection": lambda channels, filters: residual_downsampling(channels, filters, projection=False),
}


class ExampleNet(nn.Module):
    """Images (n, channels, h, w) to logits (n, classes): downsampling, a feature block, a linear classifier.

    solver: how the ODE over t = 0…1 is solved and differentiated; None for six residual blocks in its place.
    downsampling: a key of `DOWNSAMPLING`.
    """

    def __init__(
        self,
        solver: Solver | None,
        channels: int = 1,
        classes: int = 10,
        filters: int = 64,
        downsampling: str = "conv",
    ):
        super().__init__()
        if downsampling not in DOWNSAMPLING:
            raise ConfigurationError(f"no downsampling '{downsampling}'; known are {', '.join(DOWNSAMPLING)}")
        self.downsampling = DOWNSAMPLING[downsampling](channels, filters)
        self.feature = ode_block(GroupNormDerivative(filters), solver) if solver else ResidualBlocks(filters)
        self.classifier = nn.Sequential(
            group_norm(filters),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(filters, classes),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """The logits of a batch of images."""
        return self.classifier(self.feature(self.downsampling(images)))


def example_resnet(channels: int = 1, classes: int = 10, filters: int = 64, downsampling: str = "conv") -> ExampleNet:
    """The example's `resnet`: six residual blocks in place of the ODE."""
    return ExampleNet(None, channels, classes, filters, downsampling)


def one_hidden_layer(channels: int = 1, height: int = 28, hidden: int = 300, classes: int = 10) -> nn.Sequential:
    """LeCun et al. (1998), a single hidden layer of 300 units with tanh: images (n, channels, h, h) to logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height**2, hidden), nn.Tanh(), nn.Linear(hidden, classes))
