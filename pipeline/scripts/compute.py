"""Rule compute: the tables of an experiment that needs no training, or one clear message."""

import logging
import sys
from pathlib import Path

from nodekit.errors import NodekitError
from pipeline.data import DataError, load_dataset
from pipeline.files import write_csv
from pipeline.runs.code import code_of
from pipeline.runs.function import function_of
from pipeline.runs.logs import log_to
from pipeline.runs.made_by import sign
from pipeline.study import ConfigurationError, Run

job = snakemake  # noqa: F821
log_to(job.log[0])
try:
    run = Run.model_validate(job.params.run)
    sign(job.params.made_by, code=code_of(run))
    dataset = run.settings.dataset
    images = [load_dataset(dataset, run.seed, Path(job.params.processed))] if dataset else []
    for name, table in function_of(run)(run, *images).items():
        write_csv(table, Path(job.output[name]))
except (ConfigurationError, DataError, NodekitError, OSError) as error:
    logging.error("%s", error)
    sys.exit(1)
