"""Rules stack_<kind>_runs: each table of all runs of an experiment, one run below the other."""

from pathlib import Path

import pandas as pd

from pipeline.files import write_csv

for output in map(Path, snakemake.output):  # noqa: F821
    runs = [path for path in snakemake.input if Path(path).name == output.name]  # noqa: F821
    write_csv(pd.concat(map(pd.read_csv, runs), ignore_index=True), output)
