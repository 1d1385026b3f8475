"""How time and memory grow: with the steps, the batch, the state's size, the outputs and the independent samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

import nodekit
from pipeline.benchmarks.table import Measured
from pipeline.benchmarks.timing import interleaved
from pipeline.compute.orders import slope_with_interval
from pipeline.runs.memory import peak_memory


class Rotation(nn.Module):
    """y' = tanh(W y), W = −Wᵀ, so that the solution neither grows nor dies, on the way there nor on the way back."""

    def __init__(self, size: int):
        super().__init__()
        weight = torch.randn(size, size)
        self.weight = nn.Parameter((weight - weight.T) / (2 * size) ** 0.5)

    def forward(self, t, y):
        """The slope at y (batch, size)."""
        return torch.tanh(y @ self.weight)


def computation(steps=64, batch=32, size=16, outputs=2, gradient="checkpoint", independent=False):
    """A solve with its gradient: rk4 on a grid, or dopri5 where every sample has steps of its own."""
    torch.manual_seed(0)
    module, start = Rotation(size), torch.randn(batch, size)
    times = torch.linspace(0, steps / 64, outputs)
    fixed = {"method": "rk4", "options": {"step_size": 1 / 64}}
    own = {"method": "dopri5", "rtol": 1e-4, "atol": 1e-4, "batch": "independent"}

    def run():
        y = start.clone().requires_grad_()
        out = nodekit.odeint(module, y, times, gradient=gradient, **(own if independent else fixed))
        return torch.autograd.grad(out.square().mean(), [y, module.weight])

    return run


SERIES = {
    "steps": [("steps", {"steps": n}, n) for n in (64, 256, 1024)],
    "batch": [("batch", {"batch": n}, n) for n in (64, 512, 4096)],
    "size": [("size", {"size": n}, n) for n in (32, 128, 512)],
    "outputs": [("outputs", {"outputs": n, "steps": 512}, n) for n in (2, 16, 128)],
    "samples": [("samples", {"batch": n, "independent": True}, n) for n in (16, 128, 1024)],
}
STEPS = (100, 1000, 10_000)


def measure(seconds: float, device: torch.device) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of memory, and every series of growth with its slope.

    Args:
        seconds: to spend on the times of a series.
    """
    rows = []
    for name, points in SERIES.items():
        times = interleaved({str(x): computation(**given) for _, given, x in points}, seconds).median()
        for _, given, x in points:
            rows.append((name, "checkpoint", "seconds", x, times[str(x)]))
            rows.append((name, "checkpoint", "peak memory", x, peak_memory(computation(**given), device)))
    for gradient in ("checkpoint", "checkpoint, √N states", "reversible"):
        for steps in STEPS:
            rows.append(("many steps", gradient, "peak memory", steps, many_steps(gradient, steps, device)))
    table = pd.DataFrame(rows, columns=["by", "gradient", "quantity", "x", "value"])
    slopes = table.groupby(["by", "gradient", "quantity"], sort=False)[["x", "value"]].apply(
        lambda part: pd.Series(slope_with_interval(*np.log(part).to_numpy().T), index=["slope", "ci_low", "ci_high"])
    )
    table = table.merge(slopes.reset_index(), on=["by", "gradient", "quantity"])
    measured = {}
    for name, gradient in {"memory_checkpoint": "checkpoint, √N states", "memory_reversible": "reversible"}.items():
        value, low, high = slopes.loc[("many steps", gradient, "peak memory")]
        measured[name] = Measured(value=value, ci_low=low, ci_high=high)
    return measured, table


def many_steps(gradient: str, steps: int, device: torch.device) -> int:
    """Peak bytes of a solve of many Euler steps with its gradient.

    In float64: in float32 the rounding errors of 10 000 undone steps grow until "reversible" refuses its gradient.
    """
    torch.manual_seed(0)
    module, start = Rotation(256).double(), torch.randn(128, 256, dtype=torch.float64)
    options = {"step_size": 10 / steps}
    if "√N" in gradient:
        options["checkpoints"] = round(steps**0.5)
    name = gradient.split(",")[0]

    def run():
        y = start.clone().requires_grad_()
        times = torch.tensor([0.0, 10.0])
        out = nodekit.odeint(module, y, times, method="euler", options=options, gradient=name)
        return torch.autograd.grad(out[-1].square().mean(), [y, module.weight])

    return peak_memory(run, device)
