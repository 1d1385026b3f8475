"""Statistics of a trained ODE-Net (row M4; Chen et al., Fig. 3)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

import nodekit
from pipeline.compute.orders import slope_with_interval
from pipeline.data import ImageSplits
from pipeline.runs.columns import Source, Tables, labelled, tables
from pipeline.runs.reproducible import reproducible
from pipeline.runs.stopwatch import fastest
from pipeline.study import Run


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as its training left it: the run's settings, the images, and the history of its training."""

    run: Run
    network: nn.Module
    splits: ImageSplits
    history: pd.DataFrame


def trained_odenet(run: Run, device: torch.device, trained: TrainedNetwork) -> Tables:
    """M4: error and evaluations by tolerance, evaluations over training (history), seconds (timing)."""
    given = run.settings.arguments
    with reproducible(run.seed, run.settings.threads):
        network = trained.network.to(device).train()  # GroupNorm treats both modes alike; gradients are taken
        count, size = given["batches"] * given["batch_size"], given["batch_size"]
        images = torch.from_numpy(trained.splits.test_images[:count]).to(device)
        rows, times = [], []
        for batch, chosen in enumerate(images.split(size)):
            with torch.no_grad():
                y0 = network.downsampling(chosen)
            exact = reference(network.feature.func, y0, given["reference"])
            for tolerance in given["tolerances"]:
                measured, seconds = solve_once(network.feature, y0, exact, tolerance, given["repeats"])
                rows.append({"batch": batch, "tolerance": tolerance, **measured})
                times.append({"batch": batch, "tolerance": tolerance, **seconds})
    by_tolerance = pd.DataFrame(rows).assign(panel="tolerance")
    training = trained.history[["epoch", "nfe_forward", "nfe_backward"]].assign(panel="training")
    source = Source(trained.splits.data_source, trained.splits.origin)
    values = summary(by_tolerance, training, trained.run.settings.solver.rtol)
    made = tables(run, [by_tolerance, training], values, source)
    timing = pd.DataFrame(times).assign(device=device.type, threads=run.settings.threads)
    return {**made, "timing": labelled(run, timing)}


def reference(derivative: nn.Module, y0: torch.Tensor, solver: dict) -> torch.Tensor:
    """The end of the solve in float64, as exact as `solver` makes it."""
    exact = copy.deepcopy(derivative).double()
    with torch.no_grad():
        return nodekit.odeint(exact, y0.double(), torch.tensor([0.0, 1.0], dtype=torch.float64), **solver)[-1]


def solve_once(feature: nodekit.NeuralODE, y0: torch.Tensor, exact: torch.Tensor, tolerance: float, repeats: int):
    """A batch through the ODE and back at a tolerance: its error (relative) and evaluations, seconds."""
    block = nodekit.NeuralODE(feature.func, **{**feature.arguments, "rtol": tolerance, "atol": tolerance})
    start = y0.clone().requires_grad_()
    end = block(start)
    block.zero_grad()
    end.square().mean().backward()
    error = ((end.detach().double() - exact).norm() / exact.norm()).item()
    counts = {"nfe_forward": block.nfe_forward, "nfe_backward": block.nfe_backward}
    with torch.no_grad():
        forward = fastest(lambda: block(y0), repeats)
    return {**counts, "error": error}, {**counts, "seconds": forward}


def summary(by_tolerance: pd.DataFrame, training: pd.DataFrame, trained_at: float) -> dict[str, tuple[float, str]]:
    """The metrics: evaluations at the tolerance of training, their ratio at each, the error's growth with tolerance."""
    means = by_tolerance.groupby("tolerance")[["nfe_forward", "nfe_backward", "error"]].mean()
    usual = means.loc[trained_at]
    exponent, low, high = slope_with_interval(np.log(by_tolerance.tolerance), np.log(by_tolerance.error))
    values = {
        "nfe_forward": (usual.nfe_forward, "evaluations"),
        "nfe_backward": (usual.nfe_backward, "evaluations"),
        "backward over forward": (usual.nfe_backward / usual.nfe_forward, ""),
    }
    for tolerance, row in means.iloc[::-1].iterrows():
        values[f"backward over forward, tolerance {tolerance:g}"] = (row.nfe_backward / row.nfe_forward, "")
    return values | {
        "error exponent": (exponent, ""),
        "error exponent lower bound": (low, ""),
        "error exponent upper bound": (high, ""),
        "nfe growth": (training.nfe_forward.iloc[-1] - training.nfe_forward.iloc[0], "evaluations"),
    }
