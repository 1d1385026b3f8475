"""Tables to figures and a report, by R: the only module of the pipeline that touches it.

Figures go through rpy2 (pandas → R data frames → one R function of `rscripts/figures` → ggplot → files), one process a
figure; the report is one call of Rscript. R is started on the first call, never by importing this module.
"""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pandas as pd

RSCRIPTS = Path(__file__).resolve().parents[2] / "rscripts"
KINDS = ("png", "svg", "pdf")

logger = logging.getLogger(__name__)
# rpy2 tells at every start where it found R.
logging.getLogger("rpy2").setLevel(logging.WARNING)


class FigureError(RuntimeError):
    """R could not draw a figure; the message names the figure, its tables and their columns."""


class ReportError(RuntimeError):
    """R could not write the report; the message is R's own."""


def draw_figure(
    name: str, function: str, data: dict[str, pd.DataFrame], stem: Path, files: dict[str, str] | None = None
) -> list[Path]:
    """Draw one figure into `stem`.png, .svg and .pdf, all of them or none.

    Arguments:
        name: what the figure is called in messages.
        function: the R function of `rscripts/figures`, such as "figure_solution_curves".
        data: the function's tables by the names of its arguments.
        stem: the path of the files without their ending.
        files: the file each table was read from, for messages.
    Returns the written paths. Raises FigureError where R fails or warns of something unexpected.
    """
    from rpy2 import robjects
    from rpy2.rinterface_lib.embedded import RRuntimeError
    from rpy2.robjects import conversion, default_converter, pandas2ri

    try:
        with conversion.localconverter(default_converter), listening():
            load_functions(robjects)
            if not robjects.r("function(name) exists(name, mode = 'function')")(function)[0]:
                raise FigureError(f"figure '{name}': no function {function} in {RSCRIPTS / 'figures'}")
            with conversion.localconverter(default_converter + pandas2ri.converter):
                tables = {
                    argument: conversion.get_conversion().py2rpy(text_or_number(t)) for argument, t in data.items()
                }
            named = robjects.ListVector(tables)
            sources = robjects.ListVector(files) if files else robjects.NULL
            robjects.globalenv["draw_figure"](name, function, named, str(stem), sources)
    except RRuntimeError as error:
        columns = "; ".join(f"{argument}: {', '.join(table.columns)}" for argument, table in data.items())
        raise FigureError(f"figure '{name}' ({function}): {str(error).strip()} [columns of {columns}]") from error
    written = [Path(f"{stem}.{kind}") for kind in KINDS]
    logger.info("figure %s: wrote %s", name, ", ".join(map(str, written)))
    return written


def load_functions(robjects) -> None:
    """Source the theme and every figure function into R's global environment."""
    script = RSCRIPTS / "draw.R"
    robjects.r("function(file) eval(parse(file, encoding = 'UTF-8', keep.source = FALSE), globalenv())")(str(script))
    robjects.globalenv["load_figure_functions"](str(RSCRIPTS))


def text_or_number(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with its text columns ready for R: missing text is None, and a column of nothing is text."""
    ready = table.copy()
    for column in ready.columns:
        if ready[column].dtype == object or ready[column].isna().all():
            ready[column] = ready[column].astype(object).where(ready[column].notna(), None)
    return ready


class listening:
    """R's messages and warnings go to this module's logger while the block runs, not to the console."""

    def __enter__(self):
        from rpy2.rinterface_lib import callbacks

        self.callbacks = callbacks
        self.kept = callbacks.consolewrite_warnerror, callbacks.consolewrite_print
        callbacks.consolewrite_warnerror = lambda text: log_line(logging.WARNING, text)
        callbacks.consolewrite_print = lambda text: log_line(logging.INFO, text)

    def __exit__(self, *_):
        self.callbacks.consolewrite_warnerror, self.callbacks.consolewrite_print = self.kept


def log_line(level: int, text: str) -> None:
    """Log what R wrote, leaving out empty lines."""
    if text.strip():
        logger.log(level, "R: %s", text.strip())


def render_report(results: Path, output: Path | None = None) -> Path:
    """Write the report of the results folder to `output` (default results/report.html), whole or not at all.

    Raises ReportError with what R said where it fails.
    """
    output = output or results / "report.html"
    command = ["Rscript", "--vanilla", str(RSCRIPTS / "report" / "render.R"), str(results), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    for line in (done.stdout + done.stderr).splitlines():
        logger.info("R: %s", line)
    if done.returncode:
        raise ReportError(f"the report was not written (Rscript ended with {done.returncode}):\n{done.stderr[-4000:]}")
    return output
