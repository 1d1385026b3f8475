"""Toy systems of the slides (rows P4, P5 and P8): decay, bodies joined by springs, an untrained network."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import nn

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run, nodekit_method


def radioactive_decay(run: Run) -> Tables:
    """P4: N' = −λN by Euler with several step counts, and Euler beside the slides' midpoint, against exp(−λt)."""
    given = run.settings.arguments
    rate, start, end = given["rate"], given["initial"], given["end"]

    def solved(method: str, points: int, panel: str) -> pd.DataFrame:
        t = np.linspace(0.0, end, points)
        y = nodekit.odeint(lambda t, y: -rate * y, np.array(start), t, method=nodekit_method(method))
        label = f"{'midpoint' if method == 'slides_midpoint' else 'Euler'}, {points - 1} steps"
        return pd.DataFrame({"panel": panel, "series": label, "x": t, "y": y, "exact": start * np.exp(-rate * t)})

    t = np.linspace(0.0, end, given["points"])
    exact = start * np.exp(-rate * t)
    analytic = pd.DataFrame({"series": "analytic", "x": t, "y": exact, "exact": exact})
    euler = [solved("euler", steps + 1, "Euler's steps") for steps in given["euler_steps"]]
    both = [solved(method, given["comparison_points"], "Euler vs midpoint") for method in ("euler", "slides_midpoint")]
    history = [analytic.assign(panel="Euler's steps"), *euler, analytic.assign(panel="Euler vs midpoint"), *both]
    errors = {
        f"largest_error, {part.series[0]}": (float((part.y - part.exact).abs().max()), "") for part in (*euler, *both)
    }
    by_euler, by_midpoint = (float((part.y - part.exact).abs().max()) for part in both)
    return tables(run, history, errors | {"midpoint_error_share": (by_midpoint / by_euler, "of Euler's")})


def springs(run: Run) -> Tables:
    """P5: three bodies in a plane, each pair joined by a spring; masses, lengths and strengths are in the settings."""
    given = run.settings.arguments
    masses, positions, velocities = (
        np.array(given[name], dtype=float) for name in ("masses", "positions", "velocities")
    )
    pairs = list(combinations(range(len(masses)), 2))
    strengths, lengths = np.array(given["strengths"], dtype=float), np.array(given["lengths"], dtype=float)

    def stretch(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        along = np.stack([position[j] - position[i] for i, j in pairs])
        distance = np.linalg.norm(along, axis=1)
        return distance - lengths, along / distance[:, None]

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        position, velocity = state
        extension, direction = stretch(position)
        force = np.zeros_like(position)
        for (i, j), pull in zip(pairs, strengths[:, None] * extension[:, None] * direction, strict=True):
            force[i] += pull
            force[j] -= pull
        return np.stack([velocity, force / masses[:, None]])

    t = np.linspace(0.0, given["end"], given["points"])
    start = np.stack([positions, velocities])
    states = nodekit.odeint(slope, start, t, method="dopri5", rtol=1e-9, atol=1e-9)
    energy = np.array([0.5 * (masses @ (v**2).sum(axis=1)) + 0.5 * (strengths @ stretch(p)[0] ** 2) for p, v in states])
    paths = [
        pd.DataFrame({"series": f"body {k + 1}", "t": t, "x": states[:, 0, k, 0], "y": states[:, 0, k, 1]})
        for k in range(len(masses))
    ]
    values = {
        "parameters": (float(positions.size + velocities.size + strengths.size + lengths.size), ""),
        "energy_drift": (float(np.abs(energy / energy[0] - 1).max()), "relative"),
    }
    return tables(run, paths, values)


class UntrainedNetworks(nn.Module):
    """Two Dense(2, tanh) layers minus a quarter of the state, with Keras's initial weights (slides), drawn many times.

    States are (draws, 2), each with a network of its own.
    """

    def __init__(self, draws: int, width: int, decay: float, generator: torch.Generator) -> None:
        super().__init__()
        weights = torch.empty(draws, 2, width, width)
        for weight in weights.flatten(0, 1):
            nn.init.xavier_uniform_(weight, generator=generator)
        self.first, self.second, self.decay = *weights.unbind(1), decay

    def forward(self, t: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        hidden = torch.einsum("dij,dj->di", self.first, h).tanh()
        return torch.einsum("dij,dj->di", self.second, hidden).tanh() - self.decay * h


# A state slower than this has come to rest, and one so near the origin has ended there.
AT_REST, AT_ORIGIN = 1e-4, 1e-2


def untrained_network(run: Run) -> Tables:
    """P8: the path of a state through untrained networks, by the slides' midpoint method on their grid, and its end."""
    given = run.settings.arguments
    generator = torch.Generator().manual_seed(run.seed)
    networks = UntrainedNetworks(given["draws"], len(given["initial"]), given["decay"], generator)
    t = torch.linspace(0.0, given["end"], given["points"])
    with torch.no_grad():
        start = torch.tensor(given["initial"]).expand(given["draws"], -1)
        h = nodekit.odeint(networks, start, t, method=nodekit_method("slides_midpoint"))
        distance, speed = h[-1].norm(dim=1), networks(t[-1], h[-1]).norm(dim=1)
    ends = np.where(speed < AT_REST, np.where(distance < AT_ORIGIN, "the origin", "another rest point"), "a cycle")
    paths = [
        pd.DataFrame({"series": f"draw {draw + 1}", "end": end, "t": t.numpy(), "x": path[:, 0], "y": path[:, 1]})
        for draw, (end, path) in enumerate(zip(ends, h.numpy().transpose(1, 0, 2), strict=True))
    ]
    counts = {f"draws that end in {end}": (int((ends == end).sum()), "count") for end in ENDS}
    return tables(run, paths, {"largest_distance_at_end": (distance.max().item(), ""), **counts})


ENDS = ("the origin", "another rest point", "a cycle")
