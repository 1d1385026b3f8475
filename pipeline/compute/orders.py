"""How fast solvers converge and when they are stable (row P6)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import DOCUMENT_METHODS, Run, nodekit_method

# Problems with known solutions: name → (slope, initial value, end, solution).
PROBLEMS = {
    "y' = y(1 − y)": (lambda t, y: y * (1 - y), 0.5, 3.0, lambda t: 1 / (1 + math.exp(-t))),
    # Its errors are large, so that a method of high order is above rounding where its order has settled.
    "y' = 1 + y²": (lambda t, y: 1 + y * y, 0.0, 1.2, math.tan),
}


def end_error(method: str, problem: str, steps: int) -> tuple[float, float]:
    """The step size and the error at the end of a fixed-step solve of a problem with a known solution."""
    slope, start, end, solution = PROBLEMS[problem]
    options = {"step_size": end / steps}
    y = nodekit.solve(slope, np.array(start), np.array([0.0, end]), method=nodekit_method(method), options=options).y
    return end / steps, abs(float(y[-1]) - solution(end))


def slope_with_interval(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """The slope of the regression of y on x and its confidence interval."""
    fit = stats.linregress(x, y)
    half = stats.t.ppf((1 + level) / 2, len(x) - 2) * fit.stderr
    return fit.slope, fit.slope - half, fit.slope + half


def convergence(run: Run) -> Tables:
    """P6: the order of every method for states of any kind, and the largest stable step of both Euler methods."""
    given = run.settings.arguments
    parts, values = [], {}
    for name in [*nodekit.METHODS, *DOCUMENT_METHODS]:
        method = nodekit.METHODS[nodekit_method(name)]
        if name in given["left_out"] or not method.fixed or method.pairs:
            continue
        measured = given["orders"].get(name, given["orders"].get(str(method.order)))
        errors = [end_error(name, measured["problem"], steps) for steps in measured["steps"]]
        errors = pd.DataFrame(errors, columns=["step", "error"])
        slope, low, high = slope_with_interval(np.log(errors.step), np.log(errors.error))
        columns = {"order": method.order, "slope": slope, "slope_low": low, "slope_high": high}
        kind = "implicit" if method.implicit else "explicit"
        parts.append(errors.assign(panel="order", series=name, kind=kind, problem=measured["problem"], **columns))
        values[f"order, {name}"] = (slope, "")
    for name in ("euler", "implicit_euler"):
        decay, limit = stability(name, given["decay"], given["stability_end"], np.array(given["scaled_steps"]))
        parts.append(decay.assign(panel="stability"))
        values[f"stable up to h·a, {name}"] = (limit, "")
    return tables(run, parts, values)


def stability(method: str, decay: float, end: float, scaled_steps: np.ndarray) -> tuple[pd.DataFrame, float]:
    """Solutions of y' = −ay with steps around 2/a, and the largest h·a at which the method decays (inf: any tried)."""

    def solve(scaled: float) -> tuple[np.ndarray, np.ndarray]:
        # At least one step, however long it is.
        t = np.arange(0.0, max(end, 1.5 * scaled / decay), scaled / decay)
        step = {"step_size": scaled / decay}
        return t, nodekit.solve(lambda t, y: -decay * y, np.array(1.0), t, method=method, options=step).y

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
