"""Memory and time of every gradient against the number of evaluations (row A4)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nodekit
from pipeline.compute.orders import slope_with_interval
from pipeline.runs.columns import Tables, labelled, tables
from pipeline.runs.memory import peak_memory
from pipeline.runs.reproducible import reproducible
from pipeline.runs.stopwatch import fastest
from pipeline.study import Run


class Layers(nn.Module):
    """dy/dt = f(y) of states y (n, size): two layers with tanh, as a block of a deep network."""

    def __init__(self, size: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, size), nn.Tanh())

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The derivative, of the shape of y; the same at all times."""
        return self.layers(y)


class Pass:
    """One solve over t = 0…1 by `steps` steps and its gradient, by one of the experiment's series."""

    def __init__(self, layers: Layers, y0: Tensor, steps: int, method: str, gradient: str, thinned: bool = False):
        options = {"step_size": 1 / steps}
        if gradient == "checkpoint":  # all steps are taken again: kept graphs would cost what backprop costs
            options["graph_bytes"] = 0
        if thinned:
            options["checkpoints"] = math.isqrt(steps)
        self.block = nodekit.NeuralODE(layers, method=method, options=options, gradient=gradient)
        self.y0 = y0

    def __call__(self) -> None:
        self.block.zero_grad()
        self.y0.grad = None
        self.block(self.y0).square().mean().backward()


def gradient_costs(run: Run, device: torch.device) -> Tables:
    """A4: bytes at the peak and evaluations (history), their growth (metrics) and seconds (timing) by gradient."""
    given = run.settings.arguments
    rows, times, values = [], [], {}
    with reproducible(run.seed, run.settings.threads):
        layers = Layers(given["size"]).to(device)
        y0 = torch.randn(given["states"], given["size"]).to(device).requires_grad_()
        for series, chosen in given["gradients"].items():
            for steps in given["steps"]:
                solve = Pass(layers, y0, steps, **chosen)
                peak = peak_memory(solve, device)
                forward, backward = solve.block.nfe_forward, solve.block.nfe_backward
                counts = {"steps": steps, "nfe_forward": forward, "nfe_backward": backward}
                rows.append({"series": series, **counts, "peak_memory": peak})
                times.append({"series": series, **counts, "seconds": fastest(solve, given["repeats"])})
    history = pd.DataFrame(rows)
    for series, part in history.groupby("series", sort=False):
        by = np.log(part.nfe_forward)
        for name, column in (("memory", part.peak_memory), ("evaluations", part.nfe_forward + part.nfe_backward)):
            slope, low, high = slope_with_interval(by, np.log(column))
            values |= {
                f"{name} exponent, {series}": (slope, ""),
                f"{name} exponent lower bound, {series}": (low, ""),
                f"{name} exponent upper bound, {series}": (high, ""),
            }
    timing = pd.DataFrame(times).assign(device=device.type, threads=run.settings.threads)
    return {**tables(run, [history], values), "timing": labelled(run, timing)}
