"""Initial conditions found by the adjoint (rows A1 and A2): hit a target state, hit a target with a bullet."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run, nodekit_method


def shoot(
    slope: Callable,
    start: torch.Tensor,
    free: slice,
    t: torch.Tensor,
    miss: Callable[[torch.Tensor], torch.Tensor],
    optimizer: dict,
    iterations: int,
    shown: list[int],
    solver: dict,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Moves the `free` part of `start` down the gradient of `miss` at the end of the path; losses, and paths shown."""
    moved = start[free].clone().requires_grad_()
    settings = dict(optimizer)
    descent = getattr(torch.optim, settings.pop("name"))([moved], **settings)
    losses, paths = [], []
    solver = {**solver, "method": nodekit_method(solver["method"])}
    # Only the end of the path is differentiated; the grid of its steps is t all the same.
    ends, grid = t[[0, -1]], {"grid_constructor": lambda func, y0, ends: t}
    for iteration in range(iterations):
        state = start.clone()
        state[free] = moved
        loss = miss(nodekit.solve(slope, state, ends, options=grid, **solver).y[-1])
        descent.zero_grad()
        loss.backward()
        losses.append((iteration, loss.item()))
        if iteration in shown:
            with torch.no_grad():
                path = nodekit.odeint(slope, state, t, method=solver["method"])
            frame = pd.DataFrame(path.numpy(), columns=[f"h{k + 1}" for k in range(path.shape[1])])
            paths.append(frame.assign(series="path", iteration=iteration, t=t.numpy()))
        descent.step()
    return pd.DataFrame(losses, columns=["iteration", "loss"]).assign(series="loss"), pd.concat(paths)


def marked(target: list[float]) -> pd.DataFrame:
    """The target as a row of the history, for the figure."""
    return pd.DataFrame({"series": ["target"], "h1": target[0], "h2": target[1]})


def target_state(run: Run) -> Tables:
    """A1: the h(0) whose path under h' = hW ends in the target, by gradient steps with momentum (slides)."""
    given = run.settings.arguments
    matrix = torch.tensor(given["matrix"], dtype=torch.float64)
    target = torch.tensor(given["target"], dtype=torch.float64)
    t = torch.linspace(0.0, given["end"], round(given["end"] / given["step_size"]) + 1, dtype=torch.float64)
    multiply = (lambda t, h: h @ matrix) if given["vectors"] == "row" else (lambda t, h: matrix @ h)
    losses, paths = shoot(
        multiply,
        torch.tensor(given["initial"], dtype=torch.float64),
        slice(None),
        t,
        lambda end: (end - target).square().sum(),
        given["optimizer"],
        given["iterations"],
        given["shown"],
        given["solver"],
    )
    # The slides' own remark: the problem is solved at once by running time backwards from the target.
    direct = nodekit.odeint(multiply, target, t.flip(0), method="dopri5", rtol=1e-10, atol=1e-12)[-1]
    gap = torch.tensor(paths[paths.iteration == max(given["shown"])].iloc[0][["h1", "h2"]].to_list()) - direct
    values = {"final_loss": (losses.loss.iloc[-1], ""), "distance_to_time_reversed_start": (gap.norm().item(), "")}
    return tables(run, [losses, paths, marked(given["target"])], values)


def bullet(run: Run) -> Tables:
    """A2: the initial velocity of a bullet under gravity and drag that ends at the target (slides' notebook)."""
    given = run.settings.arguments
    gravity, target = (torch.tensor(given[name], dtype=torch.float64) for name in ("gravity", "target"))
    drag = given["drag"]

    def slope(t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        velocity = state[2:]
        return torch.cat([velocity, gravity - drag * velocity])

    losses, paths = shoot(
        slope,
        torch.tensor([0.0, 0.0, *given["velocity"]], dtype=torch.float64),
        slice(2, 4),
        torch.linspace(0.0, given["end"], given["points"], dtype=torch.float64),
        lambda end: (end[:2] - target).square().sum(),
        given["optimizer"],
        given["iterations"],
        given["shown"],
        given["solver"],
    )
    return tables(run, [losses, paths, marked(given["target"])], {"final_miss": (losses.loss.iloc[-1] ** 0.5, "")})
