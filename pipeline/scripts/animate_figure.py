"""Rule animate_figure: the animation of one figure of the registry, or one clear message."""

import logging
import sys
from pathlib import Path

from pipeline.report.animation import AnimationError, animate
from pipeline.report.figures import load_figures
from pipeline.runs.logs import log_to

job = snakemake  # noqa: F821
log_to(job.log[0])
figure = load_figures()[job.wildcards.name]
try:
    animate(figure.frames, Path(job.input.curves), Path(job.output[0]))
except AnimationError as error:
    logging.error("%s", error)
    sys.exit(1)
