"""A residual network and the differential equation behind it (row P7)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


class ResidualBlock(nn.Module):
    """z ↦ z + f(z), the layer of a residual network (thind eq. 11, reading 1)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + self.change(z)


def residual_and_continuous(run: Run) -> Tables:
    """P7: the jumps of a residual network with shared weights, the path and the vector field of its equation."""
    given = run.settings.arguments
    torch.manual_seed(run.seed)
    change = nn.Sequential(nn.Linear(1, given["width"]), nn.Tanh(), nn.Linear(given["width"], 1)).double()
    # A steeper field than that of initial weights, so that discrete and continuous are seen to differ.
    for parameter in change.parameters():
        parameter.data.mul_(given["gain"])
    block, depth = ResidualBlock(change), given["layers"]
    starts = torch.tensor(given["initial"], dtype=torch.float64)[:, None]
    with torch.no_grad():
        layers = [starts]
        for _ in range(depth):
            layers.append(block(layers[-1]))
        t = torch.arange(depth + 1, dtype=torch.float64)
        euler = nodekit.odeint(lambda t, z: change(z), starts, t, method="euler")
        fine = torch.linspace(0, depth, given["points"], dtype=torch.float64)
        path = nodekit.odeint(lambda t, z: change(z), starts, fine, method="dopri5", rtol=1e-8, atol=1e-8)
        discrete = torch.stack(layers)
        low, high = path.min().item(), path.max().item()
        grid = torch.linspace(low - 0.2, high + 0.2, 15, dtype=torch.float64)[:, None]
        field = change(grid)
    history = [
        pd.DataFrame({"series": "residual", "start": k, "t": t, "z": discrete[:, k, 0]}) for k in range(len(starts))
    ]
    history += [pd.DataFrame({"series": "ODE", "start": k, "t": fine, "z": path[:, k, 0]}) for k in range(len(starts))]
    arrows = [pd.DataFrame({"series": "field", "t": at, "z": grid[:, 0], "slope": field[:, 0]}) for at in t.tolist()]
    gap = (discrete - euler).abs().max().item()
    return tables(run, history + arrows, {"residual_minus_euler": (gap, "largest absolute difference")})
