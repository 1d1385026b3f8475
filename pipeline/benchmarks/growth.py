"""How time and memory grow, beside the peers': by steps, batch, state, width, outputs and independent samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import torchdiffeq
from torch import Tensor, nn

import nodekit
from pipeline.benchmarks.peers import Mlp, diffrax_solves, torchode_solve
from pipeline.benchmarks.small import gradient_of
from pipeline.benchmarks.table import Measured
from pipeline.benchmarks.timing import interleaved
from pipeline.compute.orders import slope_with_interval
from pipeline.runs.memory import peak_memory


class Rotation(nn.Module):
    """y' = tanh(W y), W = −Wᵀ, so that the solution neither grows nor dies, on the way there nor on the way back."""

    def __init__(self, size: int):
        super().__init__()
        weight = torch.randn(size, size)
        self.weight = nn.Parameter((weight - weight.T) / (2 * size) ** 0.5)

    def forward(self, t, y):
        """The slope at y (batch, size)."""
        return torch.tanh(y @ self.weight)


@dataclass(frozen=True)
class Case:
    """An MLP's solve with its gradient: midpoint steps of 1/64, or dopri5 where every sample has steps of its own.

    size, width: of the state and of the hidden layer.
    """

    steps: int = 64
    batch: int = 32
    size: int = 16
    outputs: int = 2
    width: int = 16
    independent: bool = False

    def problem(self) -> tuple[Mlp, Tensor, Tensor]:
        """The network, the initial states and the output times."""
        torch.manual_seed(0)
        times = torch.linspace(0, self.steps * STEP, self.outputs)
        return Mlp(self.size, self.width), torch.randn(self.batch, self.size), times


def by_nodekit(case: Case) -> Callable[[], object]:
    """The gradients by default, nothing compiled."""
    own = {"method": "dopri5", "rtol": TOLERANCE, "atol": TOLERANCE, "batch": "independent"}
    return partial(gradient_of, nodekit.odeint, *case.problem(), **(own if case.independent else FIXED))


def by_torchdiffeq(case: Case) -> Callable[[], object]:
    """The gradients by backpropagation through its steps."""
    return partial(gradient_of, torchdiffeq.odeint, *case.problem(), **FIXED)


def by_diffrax(case: Case) -> Callable[[], object]:
    """The gradients by its default, compiled."""
    return diffrax_solves(*case.problem(), step_size=STEP)[1]


def by_torchode(case: Case) -> Callable[[], object]:
    """The gradients by backpropagation through its steps."""
    module, y, times = case.problem()

    def run():
        start = y.clone().requires_grad_()
        out = torchode_solve(module, start, times, TOLERANCE)()
        return torch.autograd.grad(out.square().mean(), [start, *module.parameters()])

    return run


STEP, TOLERANCE = 1 / 64, 1e-4
FIXED = {"method": "midpoint", "options": {"step_size": STEP}}
# How each solver takes its gradient here, and the function that makes the computation of a case.
SOLVERS = {
    "nodekit": ("checkpoint", by_nodekit),
    "torchdiffeq": ("backprop", by_torchdiffeq),
    "diffrax": ("checkpoint", by_diffrax),
    "torchode": ("backprop", by_torchode),
}
SHARED = ("nodekit", "torchdiffeq", "diffrax")
# What grows: through which values, beside what else, solved by whom.
SERIES = {
    "steps": ((32, 128, 512, 2048), {}, SHARED),
    "batch": ((32, 256, 2048, 16384), {}, SHARED),
    "size": ((16, 64, 256, 1024), {}, SHARED),
    "width": ((64, 256, 1024, 4096), {}, SHARED),
    "outputs": ((2, 8, 32, 128), {"steps": 512}, SHARED),
    "samples": ((16, 64, 256, 1024), {"independent": True}, ("nodekit", "torchode")),
}
STEPS = (100, 1000, 10_000)
LINE = ["by", "series", "gradient", "quantity"]


def measure(seconds: float, device: torch.device) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of memory, and every series of growth with its slope.

    Args:
        seconds: to spend on the times of a series.
    """
    rows = []
    for name, (values, given, solvers) in SERIES.items():
        size = "batch" if name == "samples" else name
        runs = {(solver, x): SOLVERS[solver][1](Case(**given, **{size: x})) for solver in solvers for x in values}
        times = interleaved(runs, seconds).median()
        for (solver, x), run in runs.items():
            row = (name, solver, SOLVERS[solver][0])
            rows.append((*row, "seconds", x, times[solver, x]))
            if solver != "diffrax":  # whose arrays are not torch's: nothing here counts them
                rows.append((*row, "peak memory", x, peak_memory(run, device)))
    for gradient in ("checkpoint", "checkpoint, √N states", "reversible"):
        for steps in STEPS:
            rows.append(("many steps", "nodekit", gradient, "peak memory", steps, many_steps(gradient, steps, device)))
    table = pd.DataFrame(rows, columns=[*LINE, "x", "value"])
    slopes = table.groupby(LINE, sort=False)[["x", "value"]].apply(
        lambda part: pd.Series(slope_with_interval(*np.log(part).to_numpy().T), index=["slope", "ci_low", "ci_high"])
    )
    table = table.merge(slopes.reset_index(), on=LINE)
    measured = {}
    for name, gradient in {"memory_checkpoint": "checkpoint, √N states", "memory_reversible": "reversible"}.items():
        value, low, high = slopes.loc[("many steps", "nodekit", gradient, "peak memory")]
        measured[name] = Measured(value=value, ci_low=low, ci_high=high)
    return measured, table


def many_steps(gradient: str, steps: int, device: torch.device) -> int:
    """Peak bytes of a solve of many Euler steps with its gradient.

    In float64: in float32 the rounding errors of 10 000 undone steps grow until "reversible" refuses its gradient.
    """
    torch.manual_seed(0)
    module, start = Rotation(256).double(), torch.randn(128, 256, dtype=torch.float64)
    options = {"step_size": 10 / steps}
    if "√N" in gradient:
        options["checkpoints"] = round(steps**0.5)
    name = gradient.split(",")[0]

    def run():
        y = start.clone().requires_grad_()
        times = torch.tensor([0.0, 10.0])
        out = nodekit.odeint(module, y, times, method="euler", options=options, gradient=name)
        return torch.autograd.grad(out[-1].square().mean(), [y, module.weight])

    return peak_memory(run, device)
