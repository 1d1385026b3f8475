"""Rules stack_<kind>_runs: each table of all runs of an experiment, one run below the other, or one clear message."""

import logging
import sys
from pathlib import Path

import pandas as pd

from pipeline.files import write_csv
from pipeline.runs.logs import log_to

job = snakemake  # noqa: F821
log_to(job.log[0])
try:
    for output in map(Path, job.output):
        runs = [path for path in job.input if Path(path).name == output.name]
        table = pd.concat(map(pd.read_csv, runs), ignore_index=True)
        table.insert(table.columns.get_loc("variant") + 1, "variant_name", table["variant"].map(job.params.called))
        write_csv(table, output)
except OSError as error:
    logging.error("%s", error)
    sys.exit(1)
