"""A run's record as the tables that the rest of the study reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from pipeline.runs.columns import Source, labelled
from pipeline.study import Run

HALFLIFE = 10


@dataclass
class Record:
    """How far a run has come and what it has seen; plain numbers, all that a checkpoint needs beside the tensors.

    epoch counts from 1; batch, correct, nfe_forward, nfe_backward and seconds belong to that epoch so far.
    losses: one a training iteration, over all epochs. history: a row for each epoch that is complete.
    """

    epoch: int = 1
    batch: int = 0
    correct: int = 0
    nfe_forward: float = 0
    nfe_backward: float = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, float | None]] = field(default_factory=list)
    timing: list[float] = field(default_factory=list)

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.timing.append(self.seconds)
        self.epoch += 1
        self.batch = self.correct = self.nfe_forward = self.nfe_backward = 0
        self.seconds = 0.0


def history_table(run: Run, source: Source, record: Record) -> pd.DataFrame:
    """A row an epoch: losses, percentages, evaluations of the ODE's function a batch, learning rate."""
    epochs = [{"epoch": epoch, **row} for epoch, row in enumerate(record.history, start=1)]
    return labelled(run, pd.DataFrame(epochs), source)


def metrics_table(
    run: Run, source: Source, record: Record, parameters: int, peak_memory: int | None = None
) -> pd.DataFrame:
    """The run's outcome after its last epoch, a row a quantity; those that are None have none."""
    last = record.history[-1]
    values = [
        ("test_accuracy", last["test_accuracy"], "percent"),
        ("peak_test_accuracy", max(row["test_accuracy"] for row in record.history), "percent"),
        ("test_error", 100 - last["test_accuracy"], "percent"),
        ("train_accuracy", last["train_accuracy"], "percent"),
        ("most_predicted", last["most_predicted"], "percent"),
        ("test_loss", last["test_loss"], "nats"),
        ("train_loss", last["train_loss"], "nats"),
        ("parameters", parameters, "count"),
        ("nfe_forward", last["nfe_forward"], "evaluations"),
        ("nfe_backward", last["nfe_backward"], "evaluations"),
        ("peak_memory", peak_memory, "bytes"),
    ]
    known = [row for row in values if row[1] is not None]
    return labelled(run, pd.DataFrame(known, columns=["quantity", "value", "unit"]), source)


def losses_table(run: Run, batches: int, record: Record) -> pd.DataFrame:
    """A row an iteration, with the columns of thind's listing: the images before it, the loss with half-life 10."""
    losses = pd.Series(record.losses)
    table = pd.DataFrame(
        {
            "iteration": losses.index,
            "epoch": losses.index // batches + 1,
            "loss": losses,
            "Trained_Images": losses.index * run.settings.batch_size,
            "Halflife_Loss": losses.ewm(halflife=HALFLIFE).mean(),
        }
    )
    return labelled(run, table)


def timing_table(run: Run, record: Record, share: float, device: str, threads: int) -> pd.DataFrame:
    """A row an epoch: seconds of training, without the test; the only table that is not the same every time.

    Args:
        share: of a step's seconds that the evaluations of an ODE's derivative take, with their gradients.
    """
    epochs = range(1, len(record.timing) + 1)
    machine = {"device": device, "threads": threads}
    table = pd.DataFrame({"epoch": epochs, "seconds": record.timing, "derivative_share": share, **machine})
    return labelled(run, table)
