"""Published numbers beside reproduced ones, with a verdict by a tolerance that was fixed beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy import stats

from pipeline.study import Run, Study

COLUMNS = [
    *("id", "document", "place", "quantity", "variant", "metric", "epoch", "unit", "relation"),
    *("published", "reproduced", "ci_low", "ci_high", "n_seeds", "tolerance", "verdict", "reason", "command"),
]
VERDICTS = REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = ("reproduced", "not reproduced", "not comparable")
# How the reason begins for a published number that a run smaller than the document's bears out all the same.
ALTHOUGH_REDUCED = "although reduced"

# Between two variants in a claim about the difference of their numbers.
LESS = " - "


class Claim(BaseModel):
    """One number that a document states, and the column of our tables that answers it.

    variant: whose number it is, or "one - other": the first one's less the second one's.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    document: str
    place: str
    quantity: str
    relation: Literal["=", "<", ">"]
    published: float
    unit: str
    variant: str
    metric: str
    epoch: int | None


def load_claims(path: Path) -> list[Claim]:
    """The claims of a CSV of `data/published`; an empty epoch means the end of the run."""
    table = pd.read_csv(path, dtype={"unit": str, "place": str}, keep_default_na=False, na_values={"epoch": [""]})
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [Claim.model_validate(row) for row in rows]


def evaluate(study: Study, published: Path, tables: Path, processed: Path) -> pd.DataFrame:
    """One row a published number of the study's experiments, in the order of `published`."""
    claims = [claim for claim in load_claims(published) if claim.id in study.experiments]
    rows = [claim_row(study, claim, tables / claim.id, processed) for claim in claims]
    return pd.DataFrame(rows, columns=COLUMNS)


def closing_words(results: Path) -> str:
    """What a finished study found, and where to read it; empty where there is no report."""
    table, report = results / "tables" / "claims.csv", results / "report.html"
    if not (table.is_file() and report.is_file()):
        return ""
    claims = pd.read_csv(table)
    counts = [f"{(claims.verdict == verdict).sum()} {verdict}" for verdict in VERDICTS]
    if smaller := claims.reason.str.startswith(ALTHOUGH_REDUCED).sum():
        counts[0] += f" ({smaller} {ALTHOUGH_REDUCED})"
    found = f"{len(claims)} published numbers: {', '.join(counts)}."
    return f"{found}\nTo read: {report}; to print: {report.with_suffix('.pdf')}"


def claim_row(study: Study, claim: Claim, tables: Path, processed: Path) -> dict:
    """The row of one claim: its seeds' mean, its interval, its verdict and why."""
    values = reproduced_values(claim, tables)
    mean, low, high = interval(values)
    tolerances = study.experiments[claim.id].tolerances
    # A metric of a series, such as y_at_3, has the tolerance of the series.
    tolerance = tolerances.get(claim.metric, tolerances.get(claim.metric.partition("_at_")[0]))
    run = study.run(claim.id, claim.variant.partition(LESS)[0], 1)
    holds = tolerance is not None and within(claim.relation, claim.published, mean, tolerance)
    verdict, reason = judge(run, claim, holds, values.size, tolerance, processed)
    profile = study.profile.profile
    option = "" if profile == "default" else f" --configfile pipeline/config/{profile}.yaml"
    return {
        **claim.model_dump(),
        "reproduced": mean,
        "ci_low": low,
        "ci_high": high,
        "n_seeds": values.size,
        "tolerance": tolerance,
        "verdict": verdict,
        "reason": reason,
        "command": f"snakemake --cores{option} -- {study.profile.results}/tables/{claim.id}/metrics.csv",
    }


def reproduced_values(claim: Claim, tables: Path) -> np.ndarray:
    """Our values of a claim, one a seed; empty where the run did not go so far."""
    one, less, other = claim.variant.partition(LESS)
    if less:
        first, second = (reproduced_values(claim.model_copy(update={"variant": name}), tables) for name in (one, other))
        return first - second if first.size == second.size else np.empty(0)
    if claim.metric == "seconds_per_epoch":
        table = pd.read_csv(tables / "timing.csv")
        return table[table.variant == claim.variant].groupby("seed").seconds.mean().to_numpy()
    if claim.epoch is None:
        table = pd.read_csv(tables / "metrics.csv")
        return table[(table.variant == claim.variant) & (table.quantity == claim.metric)].value.to_numpy(dtype=float)
    table = pd.read_csv(tables / "history.csv")
    return table[(table.variant == claim.variant) & (table.epoch == claim.epoch)][claim.metric].to_numpy(dtype=float)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """The mean of `values` and Student's interval for it; no interval for a single value."""
    if values.size == 0:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    if values.size == 1:
        return mean, math.nan, math.nan
    half = stats.t.ppf((1 + level) / 2, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    return mean, mean - float(half), mean + float(half)


def within(relation: str, published: float, reproduced: float, tolerance: float) -> bool:
    """Whether a reproduced number bears out a published one."""
    if relation == "<":
        return reproduced < published + tolerance
    if relation == ">":
        return reproduced > published - tolerance
    return abs(reproduced - published) <= tolerance


def judge(run: Run, claim: Claim, holds: bool, seeds: int, tolerance: float | None, processed: Path) -> tuple[str, str]:
    """The verdict on a claim and the reason for it, in words."""
    if seeds == 0:
        return NOT_COMPARABLE, f"not run so far: {run.reduced}" if run.reduced else "the run as listed ends before"
    dataset = run.settings.dataset
    if dataset:
        provenance = json.loads((processed / f"{dataset.name}.json").read_text(encoding="utf-8"))
        if provenance["simulated"]:
            return NOT_COMPARABLE, f"data not available: {provenance['data_source']}"
        if "incomplete" in provenance["data_source"]:
            return NOT_COMPARABLE, provenance["data_source"]
    if tolerance is None:
        return NOT_COMPARABLE, "depends on the machine"
    if run.reduced and holds:
        return REPRODUCED, f"{ALTHOUGH_REDUCED}: {run.reduced}; {criterion(claim, tolerance)}"
    if run.reduced:
        return NOT_COMPARABLE, f"reduced: {run.reduced}"
    return (REPRODUCED if holds else NOT_REPRODUCED), criterion(claim, tolerance)


def criterion(claim: Claim, tolerance: float) -> str:
    """What a reproduced number must satisfy, in words."""
    bound = {"<": claim.published + tolerance, ">": claim.published - tolerance}.get(claim.relation)
    if bound is not None:
        return f"must be {'below' if claim.relation == '<' else 'above'} {bound:g}"
    return f"must be within {tolerance:g} of {claim.published:g}" if tolerance else f"must be {claim.published:g}"
