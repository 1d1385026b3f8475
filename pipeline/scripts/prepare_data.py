"""The adapter of rule prepare_data: one data set into data/processed, or one clear message."""

import logging
import os
import sys
from pathlib import Path

from pipeline.data import DataError, prepare

job = snakemake  # noqa: F821
handlers = [logging.FileHandler(job.log[0], mode="w"), logging.StreamHandler()]
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers)
log = logging.getLogger("pipeline.data")
# Not a parameter of the rule: with another mirror the same data need not be prepared again.
mirror = os.environ.get("NODEKIT_MIRROR") or job.config.get("mirror")
try:
    prepare(job.wildcards.dataset, Path(job.params.raw), Path(job.output[0]).parent, mirror, log)
except DataError as error:
    log.error("%s", error)
    sys.exit(1)
