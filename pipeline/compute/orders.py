"""How fast solvers converge and when they are stable (row P6)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

import nodekit
from pipeline.compute.tables import Tables, tables
from pipeline.study import Run

# Problems with known solutions: name → (slope, initial value, solution).
PROBLEMS = {
    "y' = y cos t": (lambda t, y: y * math.cos(t), 1.0, lambda t: math.exp(math.sin(t))),
    "y' = y(1 − y)": (lambda t, y: y * (1 - y), 0.2, lambda t: 1 / (1 + 4 * math.exp(-t))),
}


def end_error(method: str, problem: str, end: float, steps: int) -> float:
    """The error at the end of a fixed-step solve of a problem with a known solution."""
    slope, start, solution = PROBLEMS[problem]
    options = {"step_size": end / steps}
    y = nodekit.odeint(slope, np.array(start), np.array([0.0, end]), method=method, options=options)
    return abs(float(y[-1]) - solution(end))


def slope_with_interval(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """The slope of the regression of y on x and its confidence interval."""
    fit = stats.linregress(x, y)
    half = stats.t.ppf((1 + level) / 2, len(x) - 2) * fit.stderr
    return fit.slope, fit.slope - half, fit.slope + half


def convergence(run: Run) -> Tables:
    """P6: the order of every fixed-step method of the kit, and the largest stable step of both Euler methods."""
    given = run.settings.arguments
    parts, values = [], {}
    for name, method in nodekit.METHODS.items():
        if name in given["left_out"]:
            continue
        for problem in PROBLEMS:
            errors = pd.DataFrame(
                [(given["end"] / n, end_error(name, problem, given["end"], n)) for n in step_counts(method.order)],
                columns=["step", "error"],
            )
            # What is left below this is rounding, not the method.
            errors = errors[errors.error > given["rounding"]]
            fitted = slope_with_interval(np.log(errors.step), np.log(errors.error))
            columns = {"order": method.order, "slope": fitted[0], "slope_low": fitted[1], "slope_high": fitted[2]}
            parts.append(errors.assign(panel="order", series=name, problem=problem, **columns))
        mean = np.mean([part.slope.iloc[0] for part in parts if part.series.iloc[0] == name])
        values[f"order, {name}"] = (float(mean), "")
    for name in ("euler", "implicit_euler"):
        decay, limit = stability(name, given["decay"], given["stability_end"], np.array(given["scaled_steps"]))
        parts.append(decay.assign(panel="stability"))
        values[f"stable up to h·a, {name}"] = (limit, "")
    return tables(run, parts, values)


def step_counts(order: int) -> list[int]:
    """Numbers of steps at which a method of this order is neither far from its limit nor at rounding."""
    coarsest = {1: 128, 2: 64, 3: 32, 4: 16, 5: 12, 6: 8}.get(order, 4)
    return [round(coarsest * 2 ** (k / 2)) for k in range(6)]


def stability(method: str, decay: float, end: float, scaled_steps: np.ndarray) -> tuple[pd.DataFrame, float]:
    """Solutions of y' = −ay with steps around 2/a, and the largest h·a at which the method decays (inf: any tried)."""

    def solve(scaled: float) -> tuple[np.ndarray, np.ndarray]:
        # At least one step, however long it is.
        t = np.arange(0.0, max(end, 1.5 * scaled / decay), scaled / decay)
        step = {"step_size": scaled / decay}
        return t, nodekit.odeint(lambda t, y: -decay * y, np.array(1.0), t, method=method, options=step)

    parts = []
    for scaled in scaled_steps:
        t, y = solve(scaled)
        parts.append(pd.DataFrame({"series": method, "scaled_step": scaled, "x": t, "y": y}))
    low, high = 0.5, 100.0
    if abs(solve(high)[1][-1]) < 1:
        return pd.concat(parts), math.inf
    while high - low > 1e-6:
        middle = (low + high) / 2
        t, y = solve(middle)
        low, high = (middle, high) if abs(y[1]) < 1 else (low, middle)
    return pd.concat(parts), (low + high) / 2
