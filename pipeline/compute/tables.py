"""The tables of a computed run, with the columns that every run's tables begin and end with."""

from __future__ import annotations

import pandas as pd

from pipeline.study import Run

Tables = dict[str, pd.DataFrame]


def tables(run: Run, history: list[pd.DataFrame], metrics: dict[str, tuple[float, str]]) -> Tables:
    """History (tidy series) and metrics (name: value, unit) of a run that needs no data."""
    label = {"experiment": run.experiment, "variant": run.variant, "seed": run.seed}
    ending = {"data_source": "computed, no data", "origin": "computed", "reduced": run.reduced}
    rows = [{**label, "quantity": name, "value": value, "unit": unit} for name, (value, unit) in metrics.items()]
    return {
        "history": pd.concat(history, ignore_index=True).assign(**ending).pipe(with_label, label),
        "metrics": pd.DataFrame(rows).assign(**ending),
    }


def with_label(table: pd.DataFrame, label: dict) -> pd.DataFrame:
    """`table` with the columns of `label` before its own."""
    return table.assign(**label)[[*label, *table.columns]]
