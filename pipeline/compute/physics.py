"""Toy systems of the slides (rows P4, P5 and P8): decay, bodies joined by springs, untrained networks."""

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


class Springs:
    """Bodies in a plane, each pair joined by a spring: masses (n,), strengths and lengths by pair."""

    def __init__(self, masses: np.ndarray, strengths: np.ndarray, lengths: np.ndarray) -> None:
        self.masses, self.strengths, self.lengths = masses, strengths, lengths
        # A row a pair: position differences are its product with the positions.
        pairs = np.array(list(combinations(range(len(masses)), 2)))
        self.between = np.eye(len(masses))[pairs[:, 1]] - np.eye(len(masses))[pairs[:, 0]]

    def stretch(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each spring by how much it is longer than at rest (…, pairs), and its direction (…, pairs, 2)."""
        along = self.between @ positions
        distance = np.linalg.norm(along, axis=-1)
        return distance - self.lengths, along / distance[..., None]

    def slope(self, t: float, state: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Velocities and accelerations (n, 2) of positions and velocities."""
        positions, velocities = state
        extension, direction = self.stretch(positions)
        pull = (self.strengths * extension)[:, None] * direction
        return velocities, -self.between.T @ pull / self.masses[:, None]

    def energy(self, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """Of motion and of the springs, at every time."""
        return 0.5 * ((velocities**2).sum(-1) @ self.masses + self.stretch(positions)[0] ** 2 @ self.strengths)


def springs(run: Run) -> Tables:
    """P5: three bodies joined by springs, their paths, and what methods make of their energy over a long time."""
    given = run.settings.arguments
    masses, positions, velocities, strengths, lengths = (
        np.array(given[name], dtype=float) for name in ("masses", "positions", "velocities", "strengths", "lengths")
    )
    system, start = Springs(masses, strengths, lengths), (positions, velocities)
    t = np.linspace(0.0, given["end"], given["points"])
    paths, _ = nodekit.odeint(system.slope, start, t, method="dopri5", rtol=1e-9, atol=1e-9)
    history = [
        pd.DataFrame({"panel": "paths", "series": f"body {k + 1}", "t": t, "x": paths[:, k, 0], "y": paths[:, k, 1]})
        for k in range(len(masses))
    ]
    values = {"parameters": (float(positions.size + velocities.size + strengths.size + lengths.size), "")}
    long = given["energy"]
    for method, numerics in long["methods"].items():
        errors, evaluations = energy_errors(system, start, method, numerics, long["end"], long["windows"])
        history.append(errors.assign(panel="energy", series=method, evaluations=evaluations))
        values[f"energy error growth, {method}"] = (growth(errors.error), "")
    return tables(run, history, values)


SOLVES_A_WINDOW = 10


def energy_errors(
    system: Springs, start: tuple, method: str, numerics: dict, end: float, windows: int
) -> tuple[pd.DataFrame, float]:
    """By window of time, the largest relative error of the energy seen in it; and evaluations per unit of time.

    numerics: `step_size`, or `rtol` and `atol`.
    """
    t = np.linspace(0.0, end, windows * SOLVES_A_WINDOW + 1)
    options = {"step_size": numerics["step_size"]} if "step_size" in numerics else {}
    tolerances = {name: numerics[name] for name in ("rtol", "atol") if name in numerics}
    solution = nodekit.solve(system.slope, start, t, method=method, options=options, **tolerances)
    energy = system.energy(*solution.y)
    errors = np.abs(energy[1:] / energy[0] - 1).reshape(windows, SOLVES_A_WINDOW).max(axis=1)
    table = pd.DataFrame({"t": t[SOLVES_A_WINDOW::SOLVES_A_WINDOW], "error": errors})
    return table, solution.stats.nfe_forward / end


def growth(errors: pd.Series) -> float:
    """The mean of the last quarter over that of the first: 1 of what stays, 7 of what grows in proportion to time."""
    quarter = len(errors) // 4
    return float(errors[-quarter:].mean() / errors[:quarter].mean())


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
