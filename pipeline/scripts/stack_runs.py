"""Rule stack_runs: the tables of all runs of an experiment, one below the other."""

from pathlib import Path

import pandas as pd

from pipeline.files import write_csv

write_csv(pd.concat(map(pd.read_csv, snakemake.input), ignore_index=True), Path(snakemake.output[0]))  # noqa: F821
