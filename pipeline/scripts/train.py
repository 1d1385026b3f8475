"""Rule train: one run from its settings and its prepared images to its tables, or one clear message."""

import logging
import sys
from pathlib import Path

from nodekit.errors import NodekitError
from pipeline.data import DataError, load_dataset
from pipeline.study import ConfigurationError, Run
from pipeline.training import TrainingError, train

job = snakemake  # noqa: F821
params = job.params
console = logging.StreamHandler()
# On a terminal the progress bar says the rest.
console.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
handlers = [logging.FileHandler(job.log[0], encoding="utf-8"), console]
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)
try:
    run = Run.model_validate(params.run)
    train(
        run,
        load_dataset(run.settings.dataset, run.seed, Path(params.processed)),
        output=Path(job.output.history).parent,
        checkpoint=Path(params.checkpoint),
        device=params.device,
        precision=params.precision,
        checkpoint_seconds=params.checkpoint_seconds,
    )
except (ConfigurationError, DataError, NodekitError, TrainingError) as error:
    logging.error("%s", error)
    sys.exit(1)
