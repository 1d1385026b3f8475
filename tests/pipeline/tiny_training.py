"""A training run of a fraction of a second for tests: 22 random images, a network with dropout and normalisation.

As a program, `python tiny_training.py FOLDER`, it goes through `SCENARIOS`: it trains in one process after another,
each killed at the next of its moments, until one comes to the end, and prints how many were killed.
"""

import itertools
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.data import ImageSplits
from pipeline.models import MODELS
from pipeline.study import Run
from pipeline.train import loop, train

MODELS["tiny"] = lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
MOMENTS = {
    "batch": (loop.Training, "train_batch"),
    "test": (loop.Training, "test"),
    "written": (os, "fsync"),
    "replaced": (os, "replace"),
}
# Seconds between checkpoints, and the moments: "name:count" is the count-th call of one of MOMENTS in its process.
SCENARIOS = {
    "every_batch": (
        0,
        "batch:1 batch:4 written:1 replaced:1 replaced:2 written:2 test:1 replaced:3 batch:5 replaced:4",
    ),
    "every_epoch": (1000, "batch:1 batch:6 written:1 test:1 replaced:1 replaced:2 batch:8 replaced:3"),
}
TABLES = ["history.csv", "metrics.csv", "losses.csv"]


def tiny_run(**settings) -> Run:
    """Three epochs of six batches, the last of two images; `settings` may change any part."""
    usual = {
        "model": {"name": "tiny"},
        "augmentation": [{"name": "RandomHorizontalFlip"}],
        "optimizer": {"name": "Adam"},
        "schedule": {"name": "MultiStepLR", "arguments": {"milestones": [1, 2], "gamma": 0.5}},
        "loss": "cross_entropy",
        "epochs": 3,
        "batch_size": 4,
        "test_batch_size": 4,
    }
    return Run(
        experiment="T1", variant="tiny", seed=1, kind="train", settings=usual | settings, reduced="22 of 60 images"
    )


def tiny_splits(data_source: str = "random numbers") -> ImageSplits:
    """Images of two classes, one brighter than the other by two standard deviations."""
    random = np.random.default_rng(5)
    labels = np.arange(32) % 2
    images = random.normal(2.0 * labels[:, None, None, None], size=(32, 1, 4, 4)).astype(np.float32)
    return ImageSplits(images[:22], labels[:22], images[22:], labels[22:], data_source, "computed", ("dark", "bright"))


def enlarged(splits: ImageSplits, size: int) -> ImageSplits:
    """The same images in so many pixels a side."""
    images = [
        nn.functional.interpolate(torch.from_numpy(each), size=size).numpy()
        for each in (splits.train_images, splits.test_images)
    ]
    return replace(splits, train_images=images[0], test_images=images[1])


def tiny_train(folder: Path, run: Run | None = None, checkpoint_seconds: float = 0, **arguments) -> Path:
    """Train in `folder`: the tables come into it, the checkpoint beside it. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    splits, device = arguments.pop("splits", None) or tiny_splits(), arguments.pop("device", "cpu")
    checkpoint = folder.with_suffix(".pt")
    train(run or tiny_run(), splits, folder, checkpoint, device, "32-true", checkpoint_seconds, progress=False)
    return folder


def kill_at(moment: str) -> None:
    """Have this process killed when it comes to `moment`."""
    name, count = moment.split(":")
    owner, attribute = MOMENTS[name]
    original, calls = getattr(owner, attribute), iter(range(1, sys.maxsize))

    def wrapper(*arguments):
        if next(calls) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(owner, attribute, wrapper)


def in_child(folder: Path, checkpoint_seconds: float, moment: str) -> int:
    """The exit code of a process that trains, -9 when it was killed."""
    child = os.fork()
    if child == 0:
        kill_at(moment)
        tiny_train(folder, checkpoint_seconds=checkpoint_seconds)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    tiny_train(Path(sys.argv[1], "warm"))  # what is imported late is imported once for all children
    for name, (seconds, moments) in SCENARIOS.items():
        codes = (in_child(Path(sys.argv[1], name), seconds, moment) for moment in itertools.cycle(moments.split()))
        print(sum(1 for _ in itertools.takewhile(lambda code: code == -signal.SIGKILL, codes)))
