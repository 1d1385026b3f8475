"""Rule render_report: one self-contained page of everything the study found, by R."""

import logging
from pathlib import Path

from pipeline.report.contents import load_contents
from pipeline.report.rendering import render_report

logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(levelname)s %(message)s")  # noqa: F821
load_contents()  # what is wrong in it is named before R reads it
output = Path(snakemake.output[0])  # noqa: F821
render_report(output.parent, output)
