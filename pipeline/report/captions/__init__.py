"""The words beside figures and tables in `snakemake --report`, whose templates are this folder's .rst files.

They are known before anything has run: what R reads from the results to complete a caption is said generally here.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from pipeline.report.figures import Figure
from pipeline.study import Study

TABLES = {
    "history": "One row for each epoch, iteration or point of a series.",
    "metrics": "One row for each measured quantity at the end of a run.",
    "losses": "One row for each training iteration.",
    "timing": "Wall times; nothing repeats them.",
    "curves": "What its figures draw: trajectories, densities and fields.",
}


def figure_words(figure: Figure, study: Study) -> dict[str, str]:
    """Title, place and caption of a figure, as reStructuredText."""
    caption = figure.caption.replace("{reduced_words}", "").replace("{seed_words}", "")
    caption = re.sub(r"[^.]*\{(data_source|problems|order_tolerance)\}[^.]*\.", "", caption)
    caption = re.sub(r"\{\w+\}", "several", caption)
    return {
        "title": plain(re.sub(r"\{\w+\}", "several", figure.title)),
        "place": plain(f"{figure.document}, {figure.place}"),
        "caption": plain(f"{caption.strip()} {size_words(figure.experiment, study)}"),
    }


def table_words(experiment: str, study: Study) -> dict[str, str]:
    """Title, place and caption of an experiment's tables, as reStructuredText."""
    chosen = study.experiments[experiment]
    return {
        "title": plain(f"{experiment} · {chosen.title}"),
        "place": plain(f"{chosen.document}, {chosen.place}"),
        "caption": plain(size_words(experiment, study)),
    }


def size_words(experiment: str, study: Study) -> str:
    """How many seeds an experiment has and what was reduced, in the words of its tables."""
    runs = study.runs(experiment)
    seeds = max(run.seed for run in runs)
    reduced = "; ".join(dict.fromkeys(run.reduced for run in runs if run.reduced))
    return f"{'One seed' if seeds == 1 else f'{seeds} seeds'}." + (f" Reduced: {reduced}." if reduced else "")


def plain(text: str) -> str:
    """`text` for reStructuredText, with none of its marks read as markup."""
    return re.sub(r"([*`|_\\<>])", r"\\\1", text)


def data_source(metrics: Path) -> str:
    """What the data of an experiment's runs are, as its table of metrics says."""
    with metrics.open(encoding="utf-8", newline="") as file:
        return "; ".join(dict.fromkeys(row["data_source"] for row in csv.DictReader(file)))
