"""What a flow can make of a number, in one dimension and in two (row Q1; ulala 2.4.3, thind 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.isotonic import IsotonicRegression
from torch import Tensor, nn

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


class TimedField(nn.Module):
    """f(t, z) of states z (n, dimensions): a dense layer of tanh on (z, t), then a dense layer."""

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dimensions + 1, width), nn.Tanh(), nn.Linear(width, dimensions))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat([z, t.expand(len(z), 1)], dim=1))


def least_increasing_error(x: np.ndarray, y: np.ndarray) -> float:
    """The least root mean square error that a function increasing in x can have on y."""
    return float(np.sqrt(np.mean((IsotonicRegression().fit_transform(x, y) - y) ** 2)))


def fitted_flow(run: Run) -> Tables:
    """Q1: z' = f(t, z) from z(0) = x, and zeros in the further dimensions, fitted so that z(1) begins with xⁿ."""
    given = run.settings.arguments
    torch.manual_seed(run.seed)
    x = torch.linspace(-1, 1, given["points"], dtype=torch.float64)
    y = x ** given["power"]
    start = torch.cat([x[:, None], torch.zeros(len(x), given["dimensions"] - 1, dtype=torch.float64)], dim=1)
    field = TimedField(given["dimensions"], given["width"]).double()
    descent = torch.optim.Adam(field.parameters(), lr=given["lr"])

    def path(t: list[float]) -> Tensor:
        times = torch.tensor(t, dtype=torch.float64)
        return nodekit.odeint(field, start, times, method="rk4", gradient="backprop", options={"step_size": 0.1})

    for _ in range(given["iterations"]):
        descent.zero_grad()
        (path([0.0, 1.0])[-1, :, 0] - y).square().mean().backward()
        descent.step()
    times = np.linspace(0, 1, 11).tolist()
    with torch.no_grad():
        states = path(times)[:, :, 0]
    error = float((states[-1] - y).square().mean().sqrt())
    fit = pd.DataFrame({"series": "fit", "x": x, "y": y, "fitted": states[-1]})
    shown = range(0, len(x), max(1, len(x) // 12))
    paths = [pd.DataFrame({"series": "path", "x": x[k].item(), "t": times, "z": states[:, k]}) for k in shown]
    values = {
        "error": (error, ""),
        "error_less_least_of_an_increasing_function": (error - least_increasing_error(x.numpy(), y.numpy()), ""),
    }
    return tables(run, [fit, *paths], values)
