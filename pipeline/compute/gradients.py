"""Gradients through a solve against the exact ones (row A3), on a problem whose gradients are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.linalg import expm, expm_frechet

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


def exact_gradients(matrix: np.ndarray, start: np.ndarray, span: tuple[float, float], target: np.ndarray) -> dict:
    """Gradients of |y(t1) − target|² for y' = My: by the matrix exponential and its Fréchet derivative."""
    length = span[1] - span[0]
    end = expm(matrix * length) @ start
    adjoint = 2 * (end - target)
    slope = matrix @ end
    by_matrix = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape):
        direction = np.zeros_like(matrix)
        direction[index] = length
        by_matrix[index] = adjoint @ expm_frechet(matrix * length, direction, compute_expm=False) @ start
    by_time = adjoint @ slope
    return {
        "h(0)": expm(matrix * length).T @ adjoint,
        "θ": by_matrix,
        "t0": np.array(-by_time),
        "t1": np.array(by_time),
    }


def solved_gradients(matrix: np.ndarray, start: np.ndarray, span: tuple, target: np.ndarray, **solver) -> dict:
    """The same gradients through nodekit."""
    m, h, t = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (matrix, start, span))
    end = nodekit.odeint(lambda t, y: m @ y, h, t, **solver)[-1]
    by_h, by_m, by_t = torch.autograd.grad((end - torch.tensor(target)).square().sum(), (h, m, t))
    return {"h(0)": by_h.numpy(), "θ": by_m.numpy(), "t0": by_t[0].numpy(), "t1": by_t[1].numpy()}


def sign_conventions(matrix: np.ndarray, start: np.ndarray, span: tuple, target: np.ndarray) -> dict[str, np.ndarray]:
    """dL/dh(0) with a = +∂L/∂h (slides) and with a = −∂L/∂z (thind, reading), the adjoint equation solved backwards."""
    end = expm(matrix * (span[1] - span[0])) @ start
    found = {}
    for name, sign in (("a = +dL/dh", 1.0), ("a = −dL/dz", -1.0)):
        t = np.array([span[1], span[0]])
        # Both have the same linear equation, a' = −aᵀ ∂f/∂h; they differ in where it starts and what is read.
        a = nodekit.odeint(
            lambda t, a: -a @ matrix, sign * 2 * (end - target), t, method="dopri5", rtol=1e-12, atol=1e-12
        )
        found[name] = sign * a[-1]
    return found


def gradient_errors(run: Run) -> Tables:
    """A3: the relative error of every gradient method against the exact gradient, by tolerance, in float64."""
    given = run.settings.arguments
    problem = [np.array(given[name], dtype=float) for name in ("matrix", "initial")]
    problem += [tuple(map(float, given["span"])), np.array(given["target"], dtype=float)]
    exact = exact_gradients(*problem)
    rows = []
    for gradient, method in given["gradients"].items():
        for tolerance in given["tolerances"]:
            solved = solved_gradients(*problem, gradient=gradient, method=method, rtol=tolerance, atol=tolerance)
            for name, value in exact.items():
                error = np.linalg.norm(solved[name] - value) / np.linalg.norm(value)
                rows.append({"series": gradient, "with_respect_to": name, "tolerance": tolerance, "error": error})
    history = pd.DataFrame(rows)
    tightest = history[history.tolerance == min(given["tolerances"])]
    values = {
        f"relative error, {row.series}, {row.with_respect_to}": (row.error, "")
        for row in tightest.itertuples(index=False)
    }
    plus, minus = sign_conventions(*problem).values()
    values["sign conventions differ by"] = (float(np.abs(plus - minus).max()), "largest absolute difference")
    return tables(run, [history], values)
