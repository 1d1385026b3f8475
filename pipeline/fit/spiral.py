"""Row D1: a network learns the slides' spiral from short pieces of one trajectory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nodekit
from pipeline.fit.fitting import Fitted, Job
from pipeline.fit.tables import Tables, tables
from pipeline.models.keras_defaults import dense
from pipeline.study import Solver

# The slides' matrix: y' = (y³) A, y a row.
MATRIX = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])


class SpiralField(nn.Module):
    """The slides' system y' = (y³) A."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The slope (…, 2) at states y (…, 2)."""
        return y**3 @ MATRIX.to(y)


class SpiralNetwork(nn.Module):
    """The slides' model of it: Dense(hidden, tanh) → Dense(2) on y³, with Keras's initial weights."""

    def __init__(self, hidden: int = 50):
        super().__init__()
        self.layers = nn.Sequential(dense(2, hidden), nn.Tanh(), dense(hidden, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The slope (…, 2) at states y (…, 2)."""
        return self.layers(y**3)


class Together(nn.Module):
    """A network as it was at each snapshot of its fit, each with a state of its own."""

    def __init__(self, fitted: Fitted):
        super().__init__()
        states = [fitted.snapshots[iteration] for iteration in sorted(fitted.snapshots)]
        self.network = fitted.model
        device = next(fitted.model.parameters()).device
        self.stacked = {name: torch.stack([state[name] for state in states]).to(device) for name in states[0]}

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The slopes (snapshots, 2) at states y (snapshots, 2)."""
        one = torch.func.functional_call
        return torch.vmap(lambda state, y: one(self.network, state, (t, y)))(self.stacked, y)


def solve(field: nn.Module, start: Tensor, t: Tensor, solver: Solver) -> Tensor:
    """The states (T, …, 2) at times t, with the gradient that the settings choose."""
    step = {} if solver.step_size is None else {"step_size": solver.step_size}
    return nodekit.solve(
        field,
        start,
        t,
        method=solver.method,
        rtol=solver.rtol,
        atol=solver.atol,
        options={**step, **solver.options},
        gradient=solver.gradient,
    ).y


def truth(start: Tensor, t: Tensor) -> Tensor:
    """The spiral itself, (T, 2), solved in float64 far below what a figure shows."""
    start, t = start.double(), t.double()
    return nodekit.odeint(SpiralField(), start, t, method="dopri5", rtol=1e-9, atol=1e-9).float()


def spiral(job: Job) -> Tables:
    """D1: trajectories of the network before, during and after training, and continued far beyond the data."""
    given, solver = job.arguments, job.run.settings.solver
    job.data_source = "computed: the slides' spiral"
    t = torch.linspace(0, given["end"], given["points"]).to(job.device)
    start = torch.tensor(given["initial"]).to(job.device)
    states = truth(start, t)
    window, size = given["window"], job.run.settings.batch_size
    pieces = states.unfold(0, window, 1).permute(2, 0, 1)  # (window, pieces, 2)

    def loss(model: nn.Module) -> Tensor:
        chosen = torch.randint(pieces.shape[1], (size,)).to(job.device)
        target = pieces[:, chosen]
        predicted = solve(model, target[0], t[:window], solver)
        if given["loss"] == "end point":
            return (predicted[-1] - target[-1]).abs().mean()
        return (predicted - target).abs().mean()

    def trajectory_error(model: nn.Module) -> dict[str, float]:
        return {"trajectory_error": (solve(model, start, t, solver) - states).abs().mean().item()}

    iterations = given["iterations"]
    early = min(given["early"], iterations)
    frames = sorted({*frame_iterations(iterations, given["frames"]), early})
    fitted = job.fit(
        "network",
        lambda: SpiralNetwork(given["hidden"]),
        loss,
        iterations=iterations,
        observe=trajectory_error,
        snapshots=frames,
    )

    curves = [path("truth", states, t), field_arrows("true field", SpiralField(), states, given["arrows"])]
    errors = {}
    with torch.no_grad():
        # All networks at once: a step costs no more for many of them.
        every = solve(Together(fitted), start.expand(len(frames), 2), t, solver)
        for iteration, predicted in zip(frames, every.unbind(1), strict=True):
            errors[iteration] = (predicted - states).abs().mean().item()
            stage = {0: "initial", early: "early", iterations: "final"}.get(iteration, "")
            curves.append(path("network", predicted, t).assign(iteration=iteration, stage=stage))
        later = torch.linspace(0, given["extrapolation_end"], given["points"]).to(job.device)
        continued, beyond = solve(fitted.model, states[-1], later, solver), truth(states[-1], later)
        learned = field_arrows("learned field", fitted.model, states, given["arrows"])
    curves += [learned, path("extrapolation", continued, later), path("true continuation", beyond, later)]
    metrics = {
        "trajectory_error, initial": (errors[0], "mean absolute error"),
        "trajectory_error, early": (errors[early], "mean absolute error"),
        "trajectory_error, final": (errors[iterations], "mean absolute error"),
        "extrapolation_error": ((continued - beyond).abs().mean().item(), "mean absolute error"),
    }
    return tables(job, curves, metrics)


def frame_iterations(iterations: int, count: int) -> list[int]:
    """So many iterations from 0 to the last, close together at first, when a model changes most."""
    return sorted({round(iterations * (k / (count - 1)) ** 2) for k in range(count)})


def path(series: str, states: Tensor, t: Tensor) -> pd.DataFrame:
    """A path in the plane, states (T, 2) at times t."""
    x, y = states.cpu().numpy().T
    return pd.DataFrame({"series": series, "t": t.cpu().numpy(), "x": x, "y": y})


def field_arrows(series: str, field: nn.Module, states: Tensor, count: int) -> pd.DataFrame:
    """A field's directions (u, v), of unit length, on a grid around the states, and its speed."""
    edge = 1.1 * states.abs().max().item()
    axis = torch.linspace(-edge, edge, count).to(states)
    points = torch.cartesian_prod(axis, axis)
    slopes = field(axis[0], points)
    speed = slopes.norm(dim=1, keepdim=True)
    columns = torch.cat((points, slopes / speed.clamp(min=1e-12), speed), dim=1).cpu().numpy()
    return pd.DataFrame(columns, columns=["x", "y", "u", "v", "speed"]).assign(series=series).astype({"x": np.float64})
