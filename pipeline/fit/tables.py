"""A run's fits as the tables that the rest of the study reads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.fit.fitting import Job
from pipeline.runs.columns import Source, Tables, device_name, labelled

Metrics = dict[str, tuple[float, str]]

# A curve is drawn, not computed with: so many significant digits keep its file small.
DIGITS = 6


def tables(job: Job, curves: list[pd.DataFrame], metrics: Metrics, timing: list[pd.DataFrame] | None = None) -> Tables:
    """All tables of a run: by logged iteration, at the end, by iteration, wall times, and what the figures draw.

    curves: tidy series, each with a column `series`. metrics: name → value, unit. timing: further wall times.
    """
    run, source = job.run, Source(job.data_source, "computed")
    history = [pd.DataFrame(fit.record.history).assign(series=fit.name) for fit in job.fits]
    losses = [
        pd.DataFrame({"series": fit.name, "iteration": fit.record.iterations, "loss": fit.record.losses})
        for fit in job.fits
    ]
    times = [
        pd.DataFrame(fit.record.timing, columns=["iteration", "seconds"]).assign(series=fit.name) for fit in job.fits
    ]
    machine = {"device": device_name(job.device), "threads": run.settings.threads}
    parameters = {
        f"parameters, {fit.name}": (sum(parameter.numel() for parameter in fit.model.parameters()), "count")
        for fit in job.fits
    }
    rows = [(name, value, unit) for name, (value, unit) in {**metrics, **parameters}.items()]
    return {
        "history": labelled(run, series_first(history), source),
        "metrics": labelled(run, pd.DataFrame(rows, columns=["quantity", "value", "unit"]), source),
        "losses": labelled(run, series_first(losses)),
        "timing": labelled(run, series_first([*times, *(timing or [])]).assign(**machine)),
        "curves": labelled(run, rounded(series_first(curves))),
    }


def series_first(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The parts below each other, the column `series` in front."""
    table = pd.concat(parts, ignore_index=True)
    return table[["series", *(column for column in table.columns if column != "series")]]


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the decimals that make up `DIGITS` significant digits of each of its columns' largest values."""
    decimals = {}
    for name in table.select_dtypes("floating"):
        largest = table[name].abs().max()
        decimals[name] = DIGITS - 1 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    return table.round(decimals)
