"""Rule train: one run from its settings and its prepared images to its tables, or one clear message."""

import logging
import sys
from pathlib import Path

from nodekit.errors import NodekitError
from pipeline.data import DataError, load_dataset
from pipeline.runs.code import code_of
from pipeline.runs.logs import log_to
from pipeline.runs.made_by import sign
from pipeline.study import ConfigurationError, Run
from pipeline.train import TrainingError, train

job = snakemake  # noqa: F821
params = job.params
log_to(job.log[0])
try:
    run = Run.model_validate(params.run)
    sign(params.made_by, params.checkpoint, code=code_of(run))
    train(
        run,
        load_dataset(run.settings.dataset, run.seed, Path(params.processed)),
        output=Path(job.output.history).parent,
        checkpoint=Path(params.checkpoint),
        device=params.device,
        precision=params.precision,
        checkpoint_seconds=params.checkpoint_seconds,
    )
except (ConfigurationError, DataError, NodekitError, OSError, TrainingError) as error:
    logging.error("%s", error)
    sys.exit(1)
