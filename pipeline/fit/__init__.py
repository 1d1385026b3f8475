"""What is fitted beside images: dynamics and densities, one function an experiment, named in its
YAML, from its run to its tables."""

from __future__ import annotations

from pathlib import Path

import torch

from pipeline.files import write_csv
from pipeline.fit.fitting import Job
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs.function import function_of
from pipeline.runs.reproducible import reproducible
from pipeline.study import Run

__all__ = ["fit"]


def fit(
    run: Run,
    output: Path,
    checkpoint: Path,
    device: str = "auto",
    checkpoint_seconds: float = 30,
    progress: bool = True,
) -> None:
    """Make a run's fits and write history.csv, metrics.csv, losses.csv, timing.csv and curves.csv.

    run: the resolved settings of one variant and seed. output: the folder to write to, each file whole or not at all.
    checkpoint: fits go on from files of this name with their own behind the stem, kept at least every
        `checkpoint_seconds` and removed at the end. On a CPU a run that was killed and went on writes the same bytes
        as an undisturbed one (timing.csv excepted).
    device: "cpu", "cuda", or "auto": a GPU where there is one.
    progress: whether to show a bar where standard error is a terminal.
    Raises `TrainingError` when a loss is no longer a number.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    job = Job(run, checkpoint, torch.device(device), checkpoint_seconds, progress)
    with reproducible(run.seed, run.settings.threads):
        for name, table in function_of(run)(job).items():
            write_csv(table, output / f"{name}.csv")
    for fitted in job.fits:
        checkpoints.remove(job.checkpoint_of(fitted.name))
