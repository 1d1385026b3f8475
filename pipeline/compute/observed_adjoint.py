"""The adjoint of a loss at several times, which jumps at each of them (row Q3; ulala Fig. 2, Chen et al. Fig. 2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

import nodekit
from pipeline.compute.adjoint import TIGHT, SmallProblem, difference_quotient, small_problem
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


def observed_loss(problem: SmallProblem, times: np.ndarray, targets: np.ndarray) -> float:
    """Σ |z(t_i) − target_i|² over the observations after the problem's first time."""
    later = times > problem.t0
    states = solved(problem, np.r_[problem.t0, times[later]])[1:]
    return float(((states - targets[later]) ** 2).sum())


def solved(problem: SmallProblem, times: np.ndarray) -> np.ndarray:
    """The states at `times`, the first of them the problem's start."""
    found = nodekit.odeint(lambda t, z: problem.f(float(t), z), problem.start, times, **TIGHT)
    return np.asarray(found)


def with_jumps(problem: SmallProblem, times: np.ndarray, targets: np.ndarray, points: int) -> tuple:
    """a(t) at `points` times between observations, ∂L/∂z(t0) and dL/dθ, backwards from the last observation.

    Between observations a' = −a f_z and nothing else happens; at each the observation's own ∂L/∂z(t_i) is added.
    """

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        z, a = state[:2], state[2:4]
        return np.concatenate([problem.f(t, z), -a @ problem.f_z(t, z), -a @ problem.f_theta(t, z)])

    states = solved(problem, np.r_[problem.t0, times])[1:]
    a, by_theta, frames = np.zeros(2), np.zeros(4), []
    before = np.r_[problem.t0, times[:-1]]
    for index in reversed(range(len(times))):
        a = a + 2 * (states[index] - targets[index])
        t = np.linspace(times[index], before[index], points)
        begin = np.concatenate([states[index], a, by_theta])
        back = np.asarray(nodekit.odeint(lambda t, s: slope(float(t), s), begin, t, **TIGHT))
        frames.append(pd.DataFrame({"segment": index, "t": t, "a1": back[:, 2], "a2": back[:, 3]}))
        a, by_theta = back[-1, 2:4], back[-1, 4:]
    return pd.concat(frames), a, by_theta


def nodekit_gradients(problem: SmallProblem, times: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """∂L/∂z(t0) and dL/dθ through one nodekit.odeint with all times and gradient="adjoint"."""
    matrix, start = (torch.tensor(value, requires_grad=True) for value in (problem.matrix, problem.start))
    grid = torch.tensor(np.r_[problem.t0, times])
    states = nodekit.odeint(
        lambda t, z: torch.cos(t) * torch.tanh(matrix @ z), start, grid, gradient="adjoint", **TIGHT
    )
    loss = (states[1:] - torch.tensor(targets)).square().sum()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, (start, matrix))]).numpy()


def relative(found: np.ndarray, true: np.ndarray) -> tuple[float, str]:
    """The relative distance of `found` from `true`, with its unit."""
    return float(np.linalg.norm(found - true) / np.linalg.norm(true)), "relative"


def observed_adjoint(run: Run) -> Tables:
    """Q3: the adjoint with a jump at each observation, against difference quotients at the start and between them."""
    given = run.settings.arguments
    problem = small_problem(given)
    times, targets = np.array(given["times"], dtype=float), np.array(given["targets"], dtype=float)
    curve, a0, by_theta = with_jumps(problem, times, targets, given["points"])
    from_start = difference_quotient(lambda z: observed_loss(replace(problem, start=z), times, targets), problem.start)
    from_theta = difference_quotient(
        lambda w: observed_loss(replace(problem, matrix=w), times, targets), problem.matrix
    )
    between = []
    for _, segment in curve.groupby("segment"):
        middle = segment.iloc[len(segment) // 2]
        at = replace(problem, t0=middle.t, start=solved(problem, np.array([problem.t0, middle.t]))[-1])
        true = difference_quotient(lambda z, at=at: observed_loss(replace(at, start=z), times, targets), at.start)
        between.append(relative(middle[["a1", "a2"]].to_numpy(dtype=float), true)[0])
    dense = np.linspace(problem.t0, times[-1], 4 * given["points"])
    path = pd.DataFrame(solved(problem, dense), columns=["z1", "z2"]).assign(series="state", t=dense)
    observed = pd.DataFrame(targets, columns=["z1", "z2"]).assign(series="observation", t=times)
    values = {
        "difference_at_start": relative(a0, from_start),
        "difference_between": (max(between), "relative"),
        "difference_of_parameters": relative(by_theta, from_theta),
        "difference_of_nodekit": relative(nodekit_gradients(problem, times, targets), np.r_[from_start, from_theta]),
    }
    return tables(run, [path, observed, curve.assign(series="adjoint")], values)
