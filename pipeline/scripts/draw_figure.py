"""Rule draw_figure: one figure of the registry, from its tables, by R."""

import logging
from pathlib import Path

import pandas as pd

from pipeline.report.figures import load_figures
from pipeline.report.rendering import draw_figure

logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(levelname)s %(message)s")  # noqa: F821
figure = load_figures()[snakemake.wildcards.name]  # noqa: F821
files = {argument: snakemake.input[argument] for argument in figure.data}  # noqa: F821
tables = {argument: pd.read_csv(path) for argument, path in files.items()}
try:
    draw_figure(figure.name, figure.function, tables, Path(snakemake.output[0]).with_suffix(""), files)  # noqa: F821
except Exception:
    logging.exception("figure %s was not drawn", figure.name)
    raise
