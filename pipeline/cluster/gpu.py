"""What the long trainings of a profile would take on one GPU, estimated, for docs/gpu.md: nothing is run on one.

A training step is taken once on this machine's CPU, on random images, and its operations are counted. Each is taken to
last the longest of what its start, its memory traffic and its arithmetic take, at about half of the rates of NVIDIA's
data sheet for an A100 (float32, no tensor cores). The solver takes as many evaluations as with untrained weights.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import yaml
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pipeline.data import ImageSplits
from pipeline.files import write_between
from pipeline.runs.devices import make_fabric
from pipeline.runs.reproducible import reproducible
from pipeline.study import WHOLE, Run, Study, load_study
from pipeline.train.loop import Training

PAGE, BEGIN, END = Path("docs/gpu.md"), "<!-- estimate: begin -->\n", "<!-- estimate: end -->"
#: channels, height and width of an image
SHAPES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "iceberg": (3, 75, 75)}
#: seconds that an operation's start takes; bytes and floating-point operations a second
START, TRAFFIC, ARITHMETIC = 10e-6, 1e12, 1e13


class Operations(TorchDispatchMode):
    """Counts operations, and the seconds that they would take on a GPU."""

    def __init__(self):
        super().__init__()
        self.count, self.seconds = 0, 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            packet = func.overloadpacket
            tensors = [x for x in tree_leaves((args, out)) if isinstance(x, Tensor)]
            flop = flop_registry[packet](*args, **(kwargs or {}), out_val=out) if packet in flop_registry else 0
            self.count += 1
            self.seconds += max(START, sum(x.nbytes for x in tensors) / TRAFFIC, flop / ARITHMETIC)
        return out


def step(run: Run) -> Operations:
    """The operations of a training step of a run, forward and backward."""
    settings = run.settings
    random, count = np.random.default_rng(1), settings.batch_size
    images = random.normal(size=(count, *SHAPES[settings.dataset.name])).astype(np.float32)
    labels = random.integers(0, 2, count)
    splits = ImageSplits(images, labels, images, labels, "random numbers", "computed", ("0", "1"))
    with reproducible(run.seed, settings.threads):
        training = Training(make_fabric("cpu", 1, "32-true"), run, splits, Path(), "32-true", math.inf)
        with Operations() as operations:
            training.differentiate_first_batch()
    return operations


def steps(run: Run) -> int:
    """How many steps a training takes."""
    images = run.settings.dataset.train_images or WHOLE[run.settings.dataset.name]["train_images"]
    return run.settings.epochs * math.ceil(images / run.settings.batch_size)


def table(study: Study, experiments: list[str]) -> str:
    """What the trainings of some experiments would take, in Markdown."""
    lines = [
        "| training | operations a step | milliseconds a step | steps | seeds | hours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    total, seeds = 0.0, {}
    for run in study.runs():
        if run.experiment in experiments and run.kind == "train":
            seeds.setdefault((run.experiment, run.variant), []).append(run)
    for (experiment, variant), runs in seeds.items():
        one, count = step(runs[0]), steps(runs[0])
        hours = one.seconds * count * len(runs) / 3600
        total += hours
        lines.append(
            f"| {experiment}/{variant} | {one.count} | {1e3 * one.seconds:.1f} | {count} | {len(runs)} | {hours:.1f} |"
        )
    return "\n".join([*lines, f"| all of these | | | | | {total:.0f} |"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=["N3", "M1", "M2", "M3", "M5"])
    parser.add_argument("--wanted", type=Path, default=Path("pipeline/config/full.yaml"))
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args()
    text = table(load_study(yaml.safe_load(chosen.wanted.read_text(encoding="utf-8"))), chosen.experiments)
    write_between(text, chosen.page, BEGIN, END)
    print(text)


if __name__ == "__main__":
    main()
