"""The columns that every run's tables begin and end with, and the tables of a run that is computed."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch

from pipeline.study import Origin, Run

Tables = dict[str, pd.DataFrame]


class Source(NamedTuple):
    """Where a run's data come from, in words and as one of few."""

    words: str
    origin: Origin


COMPUTED = Source("computed, no data", "computed")


def tables(
    run: Run, history: list[pd.DataFrame], metrics: dict[str, tuple[float, str]], source: Source = COMPUTED
) -> Tables:
    """History (tidy series) and metrics (name: value, unit) of a run, and where its data come from."""
    rows = [(name, value, unit) for name, (value, unit) in metrics.items()]
    return {
        "history": labelled(run, pd.concat(history, ignore_index=True), source),
        "metrics": labelled(run, pd.DataFrame(rows, columns=["quantity", "value", "unit"]), source),
    }


def labelled(run: Run, table: pd.DataFrame, source: Source | None = None) -> pd.DataFrame:
    """`table` with the run's names in front, and behind it where the data come from and what was reduced, if asked."""
    names = {"experiment": run.experiment, "variant": run.variant, "seed": run.seed}
    table = table.assign(**names)[[*names, *table.columns]]
    if source is None:
        return table
    return table.assign(data_source=source.words, origin=source.origin, reduced=run.reduced)


def device_name(device: torch.device) -> str:
    """The device's name, as a table shows it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
