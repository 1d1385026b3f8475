"""Every equation of the adjoint method held to numbers (row A5): its two sides are computed in different ways.

The small problem is z' = cos(t)·tanh(Wz) with z in the plane, θ = W row by row, and the loss L = |z(t1) − target|². All
its derivatives are written out below, so that no side of an equation rests on automatic differentiation. Vectors that
differentiate L are rows: a f_z is aᵀ ∂f/∂z.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run

TIGHT = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}


@dataclass(frozen=True)
class SmallProblem:
    """z' = cos(t)·tanh(Wz) from z(t0) = start, and the squared distance of z(t1) from a target."""

    matrix: np.ndarray
    start: np.ndarray
    target: np.ndarray
    t0: float
    t1: float

    def f(self, t: float, z: np.ndarray) -> np.ndarray:
        """The slope (2,)."""
        return np.cos(t) * np.tanh(self.matrix @ z)

    def f_z(self, t: float, z: np.ndarray) -> np.ndarray:
        """∂f/∂z (2, 2)."""
        return np.cos(t) * (1 - np.tanh(self.matrix @ z) ** 2)[:, None] * self.matrix

    def f_theta(self, t: float, z: np.ndarray) -> np.ndarray:
        """∂f/∂θ (2, 4), θ = W row by row."""
        return np.cos(t) * np.kron(np.diag(1 - np.tanh(self.matrix @ z) ** 2), z)

    def solve(self) -> np.ndarray:
        """z(t1)."""
        return integral(self.f, self.start, self.t0, self.t1)

    def loss(self) -> float:
        """L."""
        return float(((self.solve() - self.target) ** 2).sum())

    def loss_z1(self) -> np.ndarray:
        """∂L/∂z(t1)."""
        return 2 * (self.solve() - self.target)

    def sensitivities(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z(t1), ∂z(t1)/∂z(t0) (2, 2) and ∂z(t1)/∂θ (2, 4), all solved forwards."""

        def slope(t: float, state: np.ndarray) -> np.ndarray:
            z, by_start, by_theta = parts(state)
            f_z = self.f_z(t, z)
            return np.concatenate(
                [self.f(t, z), (f_z @ by_start).ravel(), (f_z @ by_theta + self.f_theta(t, z)).ravel()]
            )

        def parts(state: np.ndarray) -> tuple[np.ndarray, ...]:
            return state[:2], state[2:6].reshape(2, 2), state[6:].reshape(2, 4)

        begin = np.concatenate([self.start, np.eye(2).ravel(), np.zeros(8)])
        return parts(integral(slope, begin, self.t0, self.t1))

    def adjoint(self, sign: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z(t0), a(t0) and ∫ a f_θ dt from t0 to t1: one solve backwards in time, from a(t1) = sign·∂L/∂z(t1)."""

        def slope(t: float, state: np.ndarray) -> np.ndarray:
            z, a = state[:2], state[2:4]
            return np.concatenate([self.f(t, z), -a @ self.f_z(t, z), -a @ self.f_theta(t, z)])

        end = np.concatenate([self.solve(), sign * self.loss_z1(), np.zeros(4)])
        state = integral(slope, end, self.t1, self.t0)
        return state[:2], state[2:4], state[4:]


def integral(slope: Callable, start: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The state at `end` of state' = slope(t, state)."""
    return np.asarray(nodekit.odeint(lambda t, y: slope(float(t), y), start, np.array([begin, end]), **TIGHT)[-1])


def difference_quotient(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """The gradient of `function` by central differences of fourth order, for every element of `at`."""
    gradient = np.empty(at.size)
    for k in range(at.size):
        move = np.zeros(at.size)
        move[k] = step
        near, far = ([function((at.ravel() + s * move).reshape(at.shape)) for s in (d, -d)] for d in (1, 2))
        gradient[k] = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * step)
    return gradient


def any_multiplier(problem: SmallProblem) -> dict[str, np.ndarray]:
    """Both sides of the Lagrangian's steps for a multiplier λ(t) that solves nothing: (sin 3t + 1, t² − 1)."""

    def multiplier(t: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([np.sin(3 * t) + 1, t * t - 1]), np.array([3 * np.cos(3 * t), 2 * t])

    def slope(t: float, state: np.ndarray) -> np.ndarray:
        z, by_theta = state[:2], state[2:10].reshape(2, 4)
        value, rate = multiplier(t)
        f, f_z, f_theta = problem.f(t, z), problem.f_z(t, z), problem.f_theta(t, z)
        return np.concatenate(
            [
                f,
                (f_z @ by_theta + f_theta).ravel(),
                (rate + value @ f_z) @ by_theta,
                value @ f_theta,
                [value @ f, rate @ z],
            ]
        )

    state = integral(slope, np.concatenate([problem.start, np.zeros(18)]), problem.t0, problem.t1)
    z, by_theta, under, last, by_parts = state[:2], state[2:10].reshape(2, 4), state[10:14], state[14:18], state[18:]
    (first, _), (end, _) = multiplier(problem.t0), multiplier(problem.t1)
    return {
        "gradient": (problem.loss_z1() - end) @ by_theta + under + last,
        "by_parts_left": by_parts[:1],
        "by_parts_right": np.array([end @ z - first @ problem.start - by_parts[1]]),
    }


def through_layers(problem: SmallProblem, steps: int) -> np.ndarray:
    """∂L/∂z(t0) through `steps` Euler steps, layer by layer with the discrete chain rule."""
    h = (problem.t1 - problem.t0) / steps
    states = [problem.start]
    for k in range(steps):
        states.append(states[-1] + h * problem.f(problem.t0 + k * h, states[-1]))
    a = 2 * (states[-1] - problem.target)
    for k in reversed(range(steps)):
        a = a @ (np.eye(2) + h * problem.f_z(problem.t0 + k * h, states[k]))
    return a


def linear_system(size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """uᵀB with AB = C, by solving for B and by solving Aᵀv = u (reading 1)."""
    a, c = generator.normal(size=(size, size)), generator.normal(size=(size, size))
    u = generator.normal(size=size)
    return u @ np.linalg.solve(a, c), np.linalg.solve(a.T, u) @ c


def equations(problem: SmallProblem, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every equation of docs/adjoint.md by its number there: its two sides."""
    z1, by_start, by_theta = problem.sensitivities()
    back, a0, by_integral = problem.adjoint()
    minus0, minus_integral = problem.adjoint(sign=-1.0)[1:]
    loss_z1 = problem.loss_z1()
    lagrangian = any_multiplier(problem)
    matrix, start, times = problem.matrix, problem.start, np.array([problem.t0, problem.t1])
    by_difference = difference_quotient(lambda w: replace(problem, matrix=w).loss(), matrix)
    from_start = difference_quotient(lambda z: replace(problem, start=z).loss(), start)
    from_times = difference_quotient(lambda t: replace(problem, t0=t[0], t1=t[1]).loss(), times)
    at_times = np.array([-a0 @ problem.f(problem.t0, start), loss_z1 @ problem.f(problem.t1, z1)])
    halfway = replace(problem, t1=(problem.t0 + problem.t1) / 2)
    second = replace(problem, t0=halfway.t1, start=halfway.solve())
    chained = second.adjoint()[1] @ halfway.sensitivities()[1]
    return {
        "1 uᵀB = vᵀC": linear_system(8, np.random.default_rng(seed)),
        "2 chain rule over a time": (chained, a0),
        "4 a(t0) = ∂L/∂z(t0)": (a0, from_start),
        "5 a(t0) = a(t1) ∂z(t1)/∂z(t0)": (a0, loss_z1 @ by_start),
        "6 dL/dθ = ∫ a f_θ dt": (by_integral, by_difference),
        "7 dL/dt0 and dL/dt1": (at_times, from_times),
        "8 by parts": (lagrangian["by_parts_left"], lagrangian["by_parts_right"]),
        "9 any λ gives dL/dθ": (lagrangian["gradient"], loss_z1 @ by_theta),
        "10 chosen λ gives dL/dθ": (by_integral, loss_z1 @ by_theta),
        "11 −a gives dL/dz(t0) and dL/dθ": (-np.concatenate([minus0, minus_integral]), np.r_[a0, by_integral]),
        "12 z(t0) found again": (back, start),
        "13 nodekit's adjoint": (nodekit_gradient(problem), np.concatenate([a0, by_integral])),
    }


def nodekit_gradient(problem: SmallProblem) -> np.ndarray:
    """∂L/∂z(t0) and dL/dθ through nodekit.odeint with gradient="adjoint"."""
    matrix, start = (torch.tensor(value, requires_grad=True) for value in (problem.matrix, problem.start))
    end = nodekit.odeint(
        lambda t, z: torch.cos(t) * torch.tanh(matrix @ z),
        start,
        torch.tensor([problem.t0, problem.t1], dtype=torch.float64),
        gradient="adjoint",
        **TIGHT,
    )[-1]
    found = torch.autograd.grad((end - torch.tensor(problem.target)).square().sum(), (start, matrix))
    return torch.cat([part.flatten() for part in found]).numpy()


def limits(problem: SmallProblem, steps: list[int]) -> pd.DataFrame:
    """Where an equation holds only in the limit: what is left of it with steps of finite size."""
    a0 = problem.adjoint()[1]
    slope = -a0 @ problem.f_z(problem.t0, problem.start)
    rows = []
    for count in steps:
        h = (problem.t1 - problem.t0) / count
        later = replace(problem, t0=problem.t0 + h, start=replace(problem, t1=problem.t0 + h).solve()).adjoint()[1]
        quotient = np.linalg.norm((later - a0) / h - slope) / np.linalg.norm(slope)
        layers = np.linalg.norm(through_layers(problem, count) - a0) / np.linalg.norm(a0)
        rows += [
            {"series": "3 (a(t+ε) − a(t))/ε → −a f_z", "step": h, "difference": quotient},
            {"series": "14 layer by layer → a(t0)", "step": h, "difference": layers},
        ]
    return pd.DataFrame(rows)


def small_problem(given: dict) -> SmallProblem:
    """The problem that settings describe."""
    matrix, start, target = (np.array(given[name], dtype=float) for name in ("matrix", "initial", "target"))
    return SmallProblem(matrix, start, target, *map(float, given["span"]))


def adjoint_equations(run: Run) -> Tables:
    """A5: the relative difference between the two sides of every equation, and the order of the limits."""
    given = run.settings.arguments
    problem = small_problem(given)
    rows = [
        {"series": name, "difference": float(np.linalg.norm(left - right) / np.linalg.norm(right))}
        for name, (left, right) in equations(problem, run.seed).items()
    ]
    checked, limit = pd.DataFrame(rows).assign(panel="equation"), limits(problem, given["steps"]).assign(panel="limit")
    values = {f"difference_at_eq_{row['series'].split()[0]}": (row["difference"], "relative") for row in rows}
    for name, part in limit.groupby("series", sort=False):
        order = np.polyfit(np.log(part.step), np.log(part.difference), 1)[0]
        values[f"order_at_eq_{name.split()[0]}"] = (float(order), "")
    return tables(run, [checked, limit], values)
