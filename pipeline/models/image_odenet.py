"""thind's `ContinuousNeuralMNISTClassifier` (4.2, 7.3.1), which ulala's shapes use too (3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import nodekit
from pipeline.models.time_conv import TimeConv2d
from pipeline.study import ConfigurationError, Solver


class ConvDerivative(nn.Module):
    """dy/dt = f(t, y) of images y (n, channels, h, w): twice a convolution, ReLU, then batch normalisation, as listed.

    In training mode every evaluation normalises by the statistics of its own batch, so f mixes the images of a batch;
    in evaluation mode by the running statistics, which all times share. Those follow the evaluations of the forward
    solve only: nodekit's backward passes work on copies, whereas the listing's backward solve moves them once more.
    Without `running_statistics` evaluation mode normalises as training does: one mean for all times is far from the
    means at each of them until the network has been trained for long.
    """

    def __init__(self, channels: int, running_statistics: bool = True):
        super().__init__()
        self.conv1 = TimeConv2d(channels, channels)
        self.norm1 = nn.BatchNorm2d(channels, track_running_stats=running_statistics)
        self.conv2 = TimeConv2d(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels, track_running_stats=running_statistics)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative at time t, of the shape of y."""
        hidden = self.norm1(self.conv1(t, y).relu())
        return self.norm2(self.conv2(t, hidden).relu())


class Later(nn.Module):
    """dy/dt = f(t + delay, y): a step of Euler's method takes the slope of f at a later time, but at its first state.

    That is how an implicit step may be programmed that evaluates its network once and solves nothing.
    """

    def __init__(self, derivative: nn.Module, delay: float):
        super().__init__()
        self.derivative, self.delay = derivative, delay

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative at time t, of the shape of y."""
        return self.derivative(t + self.delay, y)


class ImageODENet(nn.Module):
    """Images (n, channels, h, w), h and w at least 10, to logits (n, classes), by way of an ODE over t = 0…1.

    solver: how the ODE is solved and differentiated. running_statistics: those of `ConvDerivative`.
    slope_at: the part of a step after whose beginning its slope is taken, see `Later`; for methods with a step size.
    The parts have the listing's names, and PyTorch's defaults.
    """

    def __init__(
        self,
        solver: Solver,
        channels: int = 1,
        classes: int = 10,
        filters: int = 64,
        running_statistics: bool = True,
        slope_at: float = 0.0,
    ):
        super().__init__()
        self.downsampling = nn.Sequential(
            nn.Conv2d(channels, filters, kernel_size=3, stride=1),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
            nn.Conv2d(filters, filters, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
            nn.Conv2d(filters, filters, kernel_size=4, stride=2, padding=1),
        )
        derivative = ConvDerivative(filters, running_statistics)
        self.feature = ode_block(Later(derivative, slope_at * solver.step_size) if slope_at else derivative, solver)
        self.norm = nn.BatchNorm2d(filters)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(filters, classes)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU at these sizes; the numbers are the same

    def forward(self, images: Tensor) -> Tensor:
        """The logits of a batch of images."""
        features = self.norm(self.feature(self.downsampling(images)))
        return self.fc(self.avg_pool(features).flatten(1))


def ode_block(derivative: nn.Module, solver: Solver) -> nodekit.NeuralODE:
    """The layer that solves `derivative` over t = 0…1 as the settings say.

    The equations of an implicit method's steps are solved to `rtol`, where nodekit would solve them to rounding: that
    takes three to seven times as long in training. From 1e-4 to 1e-3 the logits move by one or two thousandths.
    """
    if solver.method not in nodekit.METHODS:
        hint = nodekit.errors.nearest(solver.method, nodekit.METHODS)
        raise ConfigurationError(f"unknown method '{solver.method}' of an ODE. {hint}")
    step = {} if solver.step_size is None else {"step_size": solver.step_size}
    accuracy = {"newton_tol": solver.rtol} if nodekit.METHODS[solver.method].implicit else {}
    return nodekit.NeuralODE(
        derivative,
        t=(0.0, 1.0),
        method=solver.method,
        rtol=solver.rtol,
        atol=solver.atol,
        options={**step, **accuracy, **solver.options},
        gradient=solver.gradient,
    )
