"""Rule print_report: the report's page as a PDF, or one clear message."""

import logging
import sys
from pathlib import Path

from pipeline.report.printing import PrintError, print_report
from pipeline.runs.logs import log_to

job = snakemake  # noqa: F821
log_to(job.log[0])
try:
    print_report(Path(job.input.page), Path(job.output[0]))
except PrintError as error:
    logging.error("%s", error)
    sys.exit(1)
