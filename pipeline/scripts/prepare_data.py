"""The adapter of rule prepare_data: one data set into data/processed, or one clear message."""

import logging
import sys
from pathlib import Path

from pipeline.data import DataError, prepare

job = snakemake  # noqa: F821
handlers = [logging.FileHandler(job.log[0], mode="w"), logging.StreamHandler()]
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)
log = logging.getLogger("pipeline.data")
try:
    prepare(job.wildcards.dataset, Path(job.params.raw), Path(job.output[0]).parent, job.params.mirror, log)
except DataError as error:
    log.error("%s", error)
    sys.exit(1)
