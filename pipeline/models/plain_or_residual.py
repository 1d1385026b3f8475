"""Plain networks and the same with shortcuts, of any depth (He et al. 2016a; reading 1, thind 3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.study import ConfigurationError


class ConvPair(nn.Module):
    """Twice a convolution and batch normalisation, a ReLU after each; `residual` adds the input before the last."""

    def __init__(self, filters: int, residual: bool):
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)

    def forward(self, y: Tensor) -> Tensor:
        """Images (n, filters, h, w) of the same shape."""
        hidden = self.norm2(self.conv2(self.norm1(self.conv1(y)).relu()))
        return (y + hidden if self.residual else hidden).relu()


def plain_or_residual(
    depth: int, residual: bool, channels: int = 1, classes: int = 10, filters: int = 16
) -> nn.Sequential:
    """Images (n, channels, h, w) to logits (n, classes) by `depth` layers with weights, an even number.

    A convolution of stride 4, (depth − 2) / 2 pairs of convolutions, a dense layer. Plain and residual networks have
    the same weights, drawn as He et al. (2015) do.
    """
    if depth < 4 or depth % 2:
        raise ConfigurationError(f"depth {depth}: it is 2 and 2 for each pair of convolutions, so 4, 6, 8, …")
    first = nn.Conv2d(channels, filters, 5, stride=4, padding=2, bias=False)
    network = nn.Sequential(
        nn.Sequential(first, nn.BatchNorm2d(filters), nn.ReLU()),
        *[ConvPair(filters, residual) for _ in range((depth - 2) // 2)],
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, classes)),
    )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network
