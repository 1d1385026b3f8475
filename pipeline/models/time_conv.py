"""A convolution that also sees the time, as a constant channel."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class TimeConv2d(nn.Conv2d):
    """The 3×3 convolution of `cat((y, t), dim=1)`, one channel full of t behind the image's own (thind 7.3.1).

    Its weight (out, in + 1, 3, 3) is the concatenating layer's, and so is its value; but a convolution is linear, and
    the time's part t · (w ∗ 1) is the same for all images: computed once, it spares the copy of every image.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False):
        super().__init__(in_channels + 1, out_channels, kernel_size=3, padding=1, bias=bias)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """Images (n, out, h, w) of a scalar time and images (n, in, h, w)."""
        ones = y.new_ones(1, 1, *y.shape[2:])
        time = functional.conv2d(ones, self.weight[:, -1:], padding=1)
        return functional.conv2d(y, self.weight[:, :-1], self.bias, padding=1) + t * time
