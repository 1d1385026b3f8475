"""How often a trained ODE-Net is right, by the tolerance with which it is solved (row M6; ulala 2.4.1)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor, nn

import nodekit
from pipeline.measure.trained_odenet import TrainedNetwork
from pipeline.runs.columns import Source, Tables, labelled, tables
from pipeline.runs.reproducible import reproducible
from pipeline.runs.stopwatch import fastest
from pipeline.study import Run


def accuracy_by_tolerance(run: Run, device: torch.device, trained: TrainedNetwork) -> Tables:
    """M6: right answers on test images and evaluations for a batch (history), seconds for all of them (timing)."""
    given, splits = run.settings.arguments, trained.splits
    rows, times = [], []
    with reproducible(run.seed, run.settings.threads):
        network = trained.network.to(device).eval()
        images = torch.from_numpy(splits.test_images[: given["images"]]).to(device)
        labels = torch.from_numpy(splits.test_labels[: given["images"]]).to(device)
        batches = images.split(run.settings.test_batch_size)
        for tolerance in given["tolerances"]:
            answers, evaluations = answered(network, batches, tolerance)
            right = int((answers == labels).sum())
            rows.append(
                {"tolerance": tolerance, "nfe_forward": evaluations, "correct": right, "images": len(labels)}
                | {"accuracy": 100 * right / len(labels)}
            )
            seconds = fastest(lambda at=tolerance: answered(network, batches, at), given["repeats"])
            times.append({"tolerance": tolerance, "seconds": seconds})
    history = pd.DataFrame(rows)
    values, source = summary(history, trained.run.settings.solver.rtol), Source(splits.data_source, splits.origin)
    made = tables(run, [history.assign(series="tolerance")], values, source)
    timing = pd.DataFrame(times).assign(device=device.type, threads=run.settings.threads)
    return {**made, "timing": labelled(run, timing)}


@torch.no_grad()
def answered(network: nn.Module, batches: tuple[Tensor, ...], tolerance: float) -> tuple[Tensor, float]:
    """A network's answers to images, its ODE solved at a tolerance, and the mean evaluations for a batch."""
    feature = network.feature
    block = nodekit.NeuralODE(feature.func, **{**feature.arguments, "rtol": tolerance, "atol": tolerance})
    answers, evaluations = [], 0
    for batch in batches:
        answers.append(network.classifier(block(network.downsampling(batch))).argmax(1))
        evaluations += block.nfe_forward
    return torch.cat(answers), evaluations / len(batches)


def summary(history: pd.DataFrame, trained_at: float) -> dict[str, tuple[float, str]]:
    """The metrics: accuracy at each tolerance, what the loosest gains on that of training, what the tightest costs."""
    by = history.set_index("tolerance").sort_index()
    values = {f"test accuracy, tolerance {tolerance:g}": (row.accuracy, "percent") for tolerance, row in by.iterrows()}
    return values | {
        "accuracy gained by the loosest tolerance": (by.accuracy.iloc[-1] - by.accuracy[trained_at], "points"),
        "evaluations, tightest over loosest": (by.nfe_forward.iloc[0] / by.nfe_forward.iloc[-1], ""),
    }
