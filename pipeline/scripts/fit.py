"""Rule fit: one run of dynamics or densities from its settings to its tables, or one clear message."""

import logging
import sys
from pathlib import Path

from nodekit.errors import NodekitError
from pipeline.fit import fit
from pipeline.runs.code import code_of
from pipeline.runs.logs import log_to
from pipeline.runs.made_by import sign
from pipeline.study import ConfigurationError, Run
from pipeline.train import TrainingError

job = snakemake  # noqa: F821
params = job.params
log_to(job.log[0])
try:
    run = Run.model_validate(params.run)
    sign(params.made_by, params.checkpoint, code=code_of(run))
    fit(
        run,
        output=Path(job.output.history).parent,
        checkpoint=Path(params.checkpoint),
        device=params.device,
        checkpoint_seconds=params.checkpoint_seconds,
    )
except (ConfigurationError, NodekitError, OSError, TrainingError) as error:
    logging.error("%s", error)
    sys.exit(1)
