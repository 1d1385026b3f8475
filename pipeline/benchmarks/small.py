"""The small system: an MLP 4–32–4 over a long time, where everything but the derivative counts."""

from __future__ import annotations

import copy

import pandas as pd
import torch
import torchdiffeq

import nodekit
from pipeline.benchmarks.peers import Mlp, diffrax_solves, torchode_forward
from pipeline.benchmarks.table import Measured, speedup
from pipeline.benchmarks.timing import interleaved, ratio

TOLERANCE, END, BATCH, OUTPUTS = 1e-6, 100.0, 64, 100


def relative_error(found, reference) -> float:
    """The norm of the difference of several tensors over the norm of the reference."""
    difference = sum(float((a.double() - b).square().sum()) for a, b in zip(found, reference, strict=True))
    return (difference / sum(float(b.square().sum()) for b in reference)) ** 0.5


def gradient_of(solve, module, y, times, **arguments):
    """The gradients of y0 and of the parameters of the mean square of all outputs."""
    y = y.detach().clone().requires_grad_()
    out = solve(module, y, times, **arguments)
    return torch.autograd.grad(out.square().mean(), [y, *module.parameters()])


def measure(seconds: float) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of the small system, and the samples of the times.

    Args:
        seconds: to spend on each comparison.
    """
    torch.manual_seed(0)
    module, y = Mlp(), torch.randn(BATCH, 4)
    exact = copy.deepcopy(module).double()
    tight = {"rtol": 1e-10, "atol": 1e-10}
    given = {"rtol": TOLERANCE, "atol": TOLERANCE, "method": "dopri5"}
    ends, times = torch.tensor([0.0, END]), torch.linspace(0, END, OUTPUTS)
    forward_diffrax, gradient_diffrax = (
        diffrax_solves(module, y, ends, TOLERANCE)[0],
        diffrax_solves(module, y, times, TOLERANCE)[1],
    )

    def forward(solve, **more):
        def run():
            with torch.no_grad():
                return solve(module, y, ends, **given, **more)

        return run

    forwards = {
        "nodekit, compiled": forward(nodekit.odeint, compile=True),
        "nodekit": forward(nodekit.odeint),
        "nodekit, independent": forward(nodekit.odeint, batch="independent"),
        "torchdiffeq": forward(torchdiffeq.odeint),
        "diffrax": forward_diffrax,
        "torchode": torchode_forward(module, y, ends, TOLERANCE),
        "evaluations alone": evaluations(module, y, nodekit.solve(module, y, ends, **given).stats.nfe_forward),
    }
    gradients = {
        "nodekit, compiled": lambda: gradient_of(nodekit.odeint, module, y, times, **given, compile=True),
        "nodekit": lambda: gradient_of(nodekit.odeint, module, y, times, **given),
        "torchdiffeq adjoint": lambda: gradient_of(torchdiffeq.odeint_adjoint, module, y, times, **given),
        "diffrax": gradient_diffrax,
    }
    with torch.no_grad():
        reference = nodekit.odeint(exact, y.double(), ends.double(), **tight)
    errors = {
        name: relative_error([run()[-1]], [reference[-1]]) for name, run in forwards.items() if "alone" not in name
    }
    reference = gradient_of(nodekit.odeint, exact, y.double(), times.double(), **tight)
    gradient_errors = {name: relative_error(run(), reference) for name, run in gradients.items()}
    samples, gradient_samples = interleaved(forwards, seconds), interleaved(gradients, seconds)

    value, low, high = ratio(samples, "nodekit", "evaluations alone")
    own = "nodekit, compiled"
    found = {
        "mlp_forward": speedup(samples, own, "torchdiffeq", errors),
        "mlp_forward_diffrax": speedup(samples, own, "diffrax", errors),
        "mlp_forward_torchode": speedup(samples, "nodekit, independent", "torchode", errors),
        "mlp_gradient": speedup(gradient_samples, own, "torchdiffeq adjoint", gradient_errors),
        "mlp_gradient_diffrax": speedup(gradient_samples, own, "diffrax", gradient_errors),
        "overhead_mlp": Measured(value=value, ci_low=low, ci_high=high),
        **backward_evaluations(),
    }
    return found, pd.concat([tidy(samples, "MLP forward"), tidy(gradient_samples, "MLP gradient, 100 outputs")])


def evaluations(module, y, count: int):
    """A function that evaluates the derivative so many times and does nothing else."""

    def run():
        with torch.no_grad():
            for _ in range(count):
                module(None, y)

    return run


def backward_evaluations() -> dict[str, Measured]:
    """How many more evaluations the backward pass takes for 100 output times than for 2.

    With a budget of `graph_bytes` the default gradient evaluates nothing again; without one it takes every step again.
    """
    torch.manual_seed(0)
    module, y, found = Mlp(), torch.randn(BATCH, 4), {}
    for name, gradient in {"nfe_outputs": "checkpoint", "nfe_outputs_adjoint": "adjoint"}.items():
        counts, options = [], {"graph_bytes": 0} if gradient == "checkpoint" else None
        for outputs in (2, OUTPUTS):
            times = torch.linspace(0, END, outputs)
            given = {"rtol": TOLERANCE, "atol": TOLERANCE, "gradient": gradient, "options": options}
            solution = nodekit.solve(module, y.clone().requires_grad_(), times, **given)
            solution.y.square().mean().backward()
            counts.append(solution.stats.nfe_backward)
        found[name] = Measured(value=counts[1] / counts[0], own=counts[1], peer=counts[0])
    return found


def tidy(samples: pd.DataFrame, work: str) -> pd.DataFrame:
    """Samples as rows: work, series, round, seconds."""
    rows = samples.rename_axis("round").reset_index().melt("round", var_name="series", value_name="seconds")
    return rows.assign(work=work)
