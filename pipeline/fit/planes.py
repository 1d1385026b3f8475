"""Densities in the plane: data drawn from them, targets given by a formula, and the grid they are shown on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_circles, make_moons
from torch import Tensor


def draw_points(name: str, count: int, noise: float, seed: int) -> Tensor:
    """Points (count, 2) of "moons" or "circles", scikit-learn's, the circles' radii 1 and 1/2."""
    make = {"moons": make_moons, "circles": lambda **given: make_circles(factor=0.5, **given)}[name]
    points, _ = make(n_samples=count, noise=noise, random_state=seed)
    return torch.from_numpy(points).float()


def wave(z: Tensor) -> Tensor:
    """w₁(z) of Rezende & Mohamed 2015, table 1."""
    return torch.sin(2 * torch.pi * z[..., 0] / 4)


def ring_energy(z: Tensor) -> Tensor:
    """Energy 1 of Rezende & Mohamed 2015, table 1: a ring of radius 2 with two modes."""
    ring = ((z.norm(dim=-1) - 2) / 0.4).square() / 2
    modes = torch.stack([-((z[..., 0] - centre) / 0.6).square() / 2 for centre in (2, -2)])
    return ring - modes.logsumexp(0)


def wave_energy(z: Tensor) -> Tensor:
    """Energy 2 of Rezende & Mohamed 2015, table 1, a wave; a soft wall keeps it within |z₁| < 4."""
    wall = (z[..., 0].abs() - 4).clamp(min=0) / 0.4
    return ((z[..., 1] - wave(z)) / 0.4).square() / 2 + wall.square() / 2


ENERGIES: dict[str, Callable[[Tensor], Tensor]] = {"ring": ring_energy, "wave": wave_energy}


def log_normalizer(energy: Callable[[Tensor], Tensor], edge: float = 8.0, points: int = 801) -> float:
    """log ∫ exp(−energy) by a sum over a fine grid that holds all of the mass."""
    grid, area = square(edge, points)
    return float((-energy(grid.double())).logsumexp(0)) + float(np.log(area))


def square(edge: float, points: int, device: torch.device | None = None) -> tuple[Tensor, float]:
    """The points (points², 2) of a grid over [−edge, edge]², and the area that each stands for."""
    axis = torch.linspace(-edge, edge, points, device=device)
    return torch.cartesian_prod(axis, axis), (2 * edge / (points - 1)) ** 2


def density_table(series: str, grid: Tensor, log_density: Tensor, **columns) -> pd.DataFrame:
    """A density on a grid, as a tidy series."""
    values = torch.cat((grid, log_density.exp()[:, None]), dim=1).cpu().numpy()
    return pd.DataFrame(values, columns=["x", "y", "density"]).assign(series=series, **columns)


def points_table(series: str, points: Tensor, **columns) -> pd.DataFrame:
    """Points (n, 2) as a tidy series, numbered so that they can be followed."""
    table = pd.DataFrame(points.cpu().numpy(), columns=["x", "y"])
    return table.assign(series=series, point=range(len(table)), **columns)
