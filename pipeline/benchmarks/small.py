"""The small system: an MLP 4–32–4 over a long time, where everything but the derivative counts."""

from __future__ import annotations

import copy
import io
import json
import os
import sys

import pandas as pd
import torch
import torchdiffeq

import nodekit
from pipeline.benchmarks.peers import Mlp, diffrax_solves, torchode_solve
from pipeline.benchmarks.table import Measured, speedup
from pipeline.benchmarks.timing import interleaved, printed_by, ratio

TOLERANCE, END, BATCH, OUTPUTS = 1e-6, 100.0, 64, 100
# Where the gradient of the steps is about as exact as the peer's adjoint at the tolerance of the others.
AT_EQUAL_ERROR = "nodekit, compiled, tolerance 5e-9"


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
    module, y = problem()
    given = {"rtol": TOLERANCE, "atol": TOLERANCE, "method": "dopri5"}
    ends = torch.tensor([0.0, END])

    def without_gradient(solve):
        def run():
            with torch.no_grad():
                return solve()

        return run

    def forward(solve, **more):
        return without_gradient(lambda: solve(module, y, ends, **given, **more))

    forwards = {
        "nodekit, compiled": forward(nodekit.odeint, compile=True),
        "nodekit": forward(nodekit.odeint),
        "nodekit, independent": forward(nodekit.odeint, batch="independent"),
        "torchdiffeq": forward(torchdiffeq.odeint),
        "diffrax": diffrax_solves(module, y, ends, TOLERANCE)[0],
        "torchode": without_gradient(torchode_solve(module, y, ends, TOLERANCE)),
        "evaluations alone": evaluations(module, y, nodekit.solve(module, y, ends, **given).stats.nfe_forward),
    }
    with torch.no_grad():
        exact = copy.deepcopy(module).double()
        reference = nodekit.odeint(exact, y.double(), ends.double(), rtol=1e-10, atol=1e-10)
    errors = {
        name: relative_error([run()[-1]], [reference[-1]]) for name, run in forwards.items() if "alone" not in name
    }
    samples, (in_turn, gradient_errors) = interleaved(forwards, seconds), gradients(seconds)
    alone, alone_errors = gradients_on_one_core(seconds)

    value, low, high = ratio(samples, "nodekit", "evaluations alone")
    own, adjoint = "nodekit, compiled", "torchdiffeq adjoint"
    found = {
        "mlp_forward": speedup(samples, own, "torchdiffeq", errors),
        "mlp_forward_diffrax": speedup(samples, own, "diffrax", errors),
        "mlp_forward_torchode": speedup(samples, "nodekit, independent", "torchode", errors),
        "mlp_gradient": speedup(in_turn, own, adjoint, gradient_errors),
        "mlp_gradient_eager": speedup(in_turn, "nodekit", adjoint, gradient_errors),
        "mlp_gradient_equal_error": speedup(in_turn, AT_EQUAL_ERROR, adjoint, gradient_errors),
        "mlp_gradient_diffrax": speedup(in_turn, own, "diffrax", gradient_errors),
        "mlp_gradient_diffrax_one_core": speedup(alone, own, "diffrax", alone_errors),
        "overhead_mlp": Measured(value=value, ci_low=low, ci_high=high),
        **backward_evaluations(),
    }
    works = {"MLP forward": samples, "MLP gradient, 100 outputs": in_turn, "MLP gradient on one core": alone}
    return found, pd.concat([tidy(part, work) for work, part in works.items()])


def problem() -> tuple[Mlp, torch.Tensor]:
    """The network and its batch of initial states."""
    torch.manual_seed(0)
    return Mlp(), torch.randn(BATCH, 4)


def gradients(seconds: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """Samples of the times of a forward pass with its gradient, 100 outputs, and the relative errors of the gradients.

    Args:
        seconds: to spend.
    """
    module, y = problem()
    times = torch.linspace(0, END, OUTPUTS)

    def by(solve, tolerance=TOLERANCE, **more):
        return lambda: gradient_of(solve, module, y, times, rtol=tolerance, atol=tolerance, method="dopri5", **more)

    runs = {
        "nodekit, compiled": by(nodekit.odeint, compile=True),
        AT_EQUAL_ERROR: by(nodekit.odeint, 5e-9, compile=True),
        "nodekit": by(nodekit.odeint),
        "torchdiffeq adjoint": by(torchdiffeq.odeint_adjoint),
        "diffrax": diffrax_solves(module, y, times, TOLERANCE)[1],
    }
    exact, tight = copy.deepcopy(module).double(), {"rtol": 1e-10, "atol": 1e-10}
    reference = gradient_of(nodekit.odeint, exact, y.double(), times.double(), **tight)
    errors = {name: relative_error(run(), reference) for name, run in runs.items()}
    return interleaved(runs, seconds), errors


def gradients_on_one_core(seconds: float) -> tuple[pd.DataFrame, dict[str, float]]:
    """`gradients`, by a process that has one core, whatever threads its libraries start."""
    errors, _, samples = printed_by(["-m", "pipeline.benchmarks.small", str(seconds)]).partition("\n")
    return pd.read_csv(io.StringIO(samples)), json.loads(errors)


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
    (module, y), found = problem(), {}
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


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    samples, errors = gradients(float(sys.argv[1]))
    print(json.dumps(errors))
    print(samples.to_csv(index=False))
