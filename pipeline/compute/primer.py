"""The differential-equation primer (rows P1 to P3): every curve solved by nodekit and held to its analytic solution."""

from __future__ import annotations

import numpy as np
import pandas as pd

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


def solution_curves(run: Run) -> Tables:
    """P1: y' + y/2 = 3/2 from several initial values, beside y = 3 − (3 − y0)·exp(−x/2) (thind eq. 24 to 29)."""
    given = run.settings.arguments
    x = np.linspace(0.0, given["end"], given["points"])
    initial = np.array(given["initial_values"], dtype=float)
    y = nodekit.odeint(lambda t, y: 1.5 - y / 2, initial, x, rtol=1e-10, atol=1e-10, method="dopri5")
    exact = 3 - (3 - initial) * np.exp(-x[:, None] / 2)
    curves = [
        pd.DataFrame({"series": f"y(0) = {start:g}", "x": x, "y": y[:, k], "exact": exact[:, k]}).assign(
            highlighted=start == given["highlighted"]
        )
        for k, start in enumerate(initial)
    ]
    return tables(run, curves, {"largest_error": (float(np.abs(y - exact).max()), "")})


def logistic_portrait(run: Run) -> Tables:
    """P2: the slope r(1 − y/K)y over y, its equilibria, and the side to which solutions move (thind eq. 30)."""
    rate, capacity = run.settings.arguments["growth_rate"], run.settings.arguments["capacity"]

    def slope(y: np.ndarray) -> np.ndarray:
        return rate * (1 - y / capacity) * y

    y = np.linspace(-0.3 * capacity, 1.3 * capacity, run.settings.arguments["points"])
    curve = pd.DataFrame({"series": "slope", "y": y, "slope": slope(y)})
    # Solved long enough, a start just above each equilibrium returns to it where it is stable.
    equilibria = np.array([0.0, capacity])
    nearby = equilibria + 1e-3 * capacity
    later = nodekit.odeint(lambda t, y: slope(y), nearby, np.array([0.0, 5.0 / rate]), method="dopri5")[-1]
    stable = np.abs(later - equilibria) < np.abs(nearby - equilibria)
    points = pd.DataFrame({"series": np.where(stable, "stable", "unstable"), "y": equilibria, "slope": 0.0})
    values = {f"{kind}_equilibrium": (float(at), "") for kind, at in zip(points.series, points.y, strict=True)}
    return tables(run, [curve, points], values)


def euler_table(run: Run) -> Tables:
    """P3: Euler's method for y' = y, y(0) = 1, beside exp(x) (thind 7.4.2)."""
    step, end = run.settings.arguments["step_size"], run.settings.arguments["end"]
    x = np.arange(0.0, end + step / 2, step)
    y = nodekit.odeint(lambda t, y: y, np.array(1.0), x, method="euler", options={"step_size": step})
    fine = np.linspace(0.0, end, 201)
    history = [
        pd.DataFrame({"series": "Euler", "x": x, "y": y, "slope": y}),
        pd.DataFrame({"series": "exact", "x": fine, "y": np.exp(fine), "slope": np.exp(fine)}),
    ]
    values = {
        f"{name}_at_{at:g}": (float(value), "") for name in ("y", "slope") for at, value in zip(x, y, strict=True)
    }
    return tables(run, history, values)
