"""Rule benchmarks: nodekit and nodekitr beside their peers, their goals, and how costs grow."""

import logging
from pathlib import Path

import pandas as pd
import torch

from pipeline.benchmarks import evaluate, first_call, growth, images, in_r, iterations, load_goals, small
from pipeline.benchmarks.timing import Quiet
from pipeline.data import load_dataset
from pipeline.files import write_csv
from pipeline.runs.provenance import cpu_name
from pipeline.study import Dataset

logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(levelname)s %(message)s")  # noqa: F821
seconds, threads = snakemake.params.seconds, snakemake.threads  # noqa: F821
folder = Path(snakemake.params.folder)  # noqa: F821
torch.set_num_threads(threads)
device = torch.device("cpu")
name = f"{cpu_name()}, {threads} threads"
splits = load_dataset(Dataset(name="mnist", arrangement="normalised"), 1, Path(snakemake.input[0]).parent)  # noqa: F821
measured, samples, quiet = {}, [], Quiet()
parts = (
    images.measure(splits, seconds, device),
    small.measure(seconds),
    iterations.measure(seconds),
    first_call.measure(),
)
for part in parts:
    measured |= part[0]
    samples.append(part[1])
grown, table = growth.measure(seconds / 4, device)
measured |= grown
in_turn = pd.read_csv(snakemake.input.in_r)  # noqa: F821
measured |= in_r.measured(in_turn)
samples.append(in_turn[samples[0].columns])
others = quiet.share_of_others()
write_csv(evaluate(load_goals(), measured, name).assign(others=others), folder / "goals.csv")
write_csv(pd.concat(samples).assign(device=name), folder / "samples.csv")
write_csv(table.assign(device=name), folder / "growth.csv")
