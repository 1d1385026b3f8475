"""What the flow of a differential equation can and cannot do: follow a curve that turns, and move far by a little."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from torch import nn

import nodekit
from pipeline.errata.finding import Finding


def best_increasing_fit(power: int, points: int) -> Finding:
    """ulala 2.4.3: the least error that an increasing function can have on xⁿ over [−1, 1], and that of a constant.

    Paths of one equation in one dimension cannot cross, so what a flow does to x is increasing in x.
    """
    x = np.linspace(-1, 1, points)
    y = x**power
    fit = IsotonicRegression().fit_transform(x, y)
    least, constant = float(np.sqrt(np.mean((fit - y) ** 2))), float(y.std())
    numbers = {f"least error of an increasing function on x^{power}": least, "error of the best constant": constant}
    return Finding(least > 0.1 * constant, numbers)


def nearby_solutions(width: int, moved: list[float], seed: int) -> Finding:
    """ulala 2.4.3: how far apart two solutions of a network's equation end, for small changes of the start.

    Grönwall: at most exp(LT) times the change, where L bounds the slope of the network (the product of its weights'
    norms, tanh having slopes up to one).
    """
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).double()
    bound = float(np.exp(np.prod([float(torch.linalg.matrix_norm(network[k].weight.data, 2)) for k in (0, 2)])))
    start = torch.randn(2, dtype=torch.float64)
    direction = nn.functional.normalize(torch.randn(2, dtype=torch.float64), dim=0)

    def end(start: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return nodekit.odeint(lambda t, y: network(y), start, torch.tensor([0.0, 1.0], dtype=torch.float64))[-1]

    ratios = {change: float((end(start + change * direction) - end(start)).norm()) / change for change in moved}
    numbers = {f"start moved by {change:g}, end moves by": ratio * change for change, ratio in ratios.items()}
    numbers["end moves at most by, times the change"] = bound
    return Finding(max(ratios.values()) <= bound, numbers)
