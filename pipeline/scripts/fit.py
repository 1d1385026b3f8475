"""Rule fit: one run of dynamics or densities from its settings to its tables, or one clear message."""

import logging
import sys
from pathlib import Path

from nodekit.errors import NodekitError
from pipeline.dynamics import fit
from pipeline.study import ConfigurationError, Run
from pipeline.training import TrainingError

job = snakemake  # noqa: F821
params = job.params
console = logging.StreamHandler()
# On a terminal the progress bar says the rest.
console.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
handlers = [logging.FileHandler(job.log[0], encoding="utf-8"), console]
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
try:
    fit(
        Run.model_validate(params.run),
        output=Path(job.output.history).parent,
        checkpoint=Path(params.checkpoint),
        device=params.device,
        checkpoint_seconds=params.checkpoint_seconds,
    )
except (ConfigurationError, NodekitError, OSError, TrainingError) as error:
    logging.error("%s", error)
    sys.exit(1)
