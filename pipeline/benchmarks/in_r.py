"""The R package beside deSolve's lsoda: the times that `rscripts/runs/solve_times.R` took, as measured goals."""

from __future__ import annotations

import pandas as pd

from pipeline.benchmarks.table import Measured
from pipeline.benchmarks.timing import difference, ratio

SMALL, CALLED, DOSES = "R function, two states", "R function called from Python, two states", "R function, 1000 doses"
START = "library() to the first result"


def measured(rows: pd.DataFrame) -> dict[str, Measured]:
    """The goals of the R package.

    Args:
        rows: work, series, round, seconds, evaluations of the R function, error.
    """
    return {
        "r_solve": _beside_lsoda(rows, SMALL),
        "r_doses": _beside_lsoda(rows, DOSES),
        "r_evaluation": _beside_the_function(rows, SMALL),
        "r_evaluation_from_python": _beside_the_function(rows, CALLED),
        "r_start": _seconds(rows, "nodekitr"),
        "r_start_python": _seconds(rows, "nodekitr, steps from Python"),
    }


def _rounds(rows: pd.DataFrame, work: str) -> pd.DataFrame:
    """Seconds of one work, a column a series."""
    return rows[rows.work == work].pivot(index="round", columns="series", values="seconds")


def _beside_lsoda(rows: pd.DataFrame, work: str) -> Measured:
    samples, errors = _rounds(rows, work), rows[rows.work == work].groupby("series").error.first()
    value, low, high = ratio(samples, "nodekitr", "lsoda")
    own, peer = samples.nodekitr.median(), samples.lsoda.median()
    return Measured(
        value=value, ci_low=low, ci_high=high, own=own, peer=peer, own_error=errors.nodekitr, peer_error=errors.lsoda
    )


def _beside_the_function(rows: pd.DataFrame, work: str) -> Measured:
    """Microseconds an evaluation, without the function's own."""
    samples = _rounds(rows, work)
    evaluations = rows[(rows.work == work) & (rows.series == "nodekitr")].evaluations.iloc[0]
    each = samples / evaluations * 1e6
    value, low, high = difference(each, "nodekitr", "function alone")
    own, peer = each["nodekitr"].median(), each["function alone"].median()
    return Measured(value=value, ci_low=low, ci_high=high, own=own, peer=peer)


def _seconds(rows: pd.DataFrame, series: str) -> Measured:
    return Measured(value=_rounds(rows, START)[series].median())
