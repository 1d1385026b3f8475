"""Rule draw_benchmarks: a figure of the benchmarks kept last."""

import logging
from pathlib import Path

import pandas as pd

from pipeline.report.rendering import draw_figure

logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(levelname)s %(message)s")  # noqa: F821
name, argument, path = snakemake.wildcards.name, snakemake.params.argument, snakemake.input.table  # noqa: F821
tables = {argument: pd.read_csv(path)}
draw_figure(name, f"figure_{name}", tables, Path(snakemake.output[0]).with_suffix(""), {argument: path})  # noqa: F821
