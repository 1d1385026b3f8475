"""Published numbers beside reproduced ones: what our runs found for each, and the verdict on it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator

from pipeline.claims.older import older_by_variant, worst
from pipeline.claims.verdicts import DEPENDS, VERDICTS, interval, is_one_run, judge, stands_in
from pipeline.study import Study

KEY = ["id", "document", "place", "quantity", "variant", "metric", "epoch"]
# What tells one measurement from another: several claims may be about the same.
MEASURED = ["id", "variant", "metric", "epoch"]
FOUND = ["reproduced", "ci_low", "ci_high", "n", "repeats", "origin", "data_source", "reduced"]
KEPT = ["kept", "kept_low", "kept_high", "kept_n", "kept_in"]
# The profiles of which something is kept about this measurement, by what `pipeline.claims.older` says of it.
OLDER = {"yes": "older_than_code", "unknown": "unknown_code"}
COLUMNS = [
    *(*KEY, "headline", "unit", "kind", "relation", "published", "tolerance", "depends", "invented"),
    *(*FOUND, *KEPT, *OLDER.values(), "verdict", "reason", "judged", "command"),
]

# Between two variants in a claim about the difference, or the ratio, of their numbers.
LESS, OVER = " - ", " / "
SEEDS, EPOCHS = "seeds", "epochs"


class Claim(BaseModel):
    """One number or statement of a document, and the column of our tables that answers it.

    headline: how the page's first screen says it; empty where it does not.
    variant: whose number it is, or "one - other" or "one / other" of two variants' numbers, pair by pair.
    kind: a number printed in the document, one of a source it cites, a statement, or an identity that the study checks.
    depends: what would change the number, words of `pipeline.claims.verdicts.DEPENDS`.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    document: str
    place: str
    quantity: str
    headline: str
    kind: Literal["printed", "cited", "statement", "identity"]
    relation: Literal["=", "<", ">"]
    published: float
    unit: str
    variant: str
    metric: str
    epoch: int | None
    depends: str

    @field_validator("depends")
    @classmethod
    def known(cls, words: str) -> str:
        """Only words that the rule knows."""
        if unknown := set(words.split()) - set(DEPENDS):
            raise ValueError(f"a claim depends on {', '.join(DEPENDS)}, not on {', '.join(sorted(unknown))}")
        return words

    @property
    def variants(self) -> list[str]:
        """The one or two variants whose numbers it is about."""
        return variants_of(self.variant)


def variants_of(words: str) -> list[str]:
    """The one or two variants that a claim's `variant` names."""
    return words.replace(OVER, LESS).split(LESS)


def load_claims(path: Path) -> list[Claim]:
    """The claims of a CSV of `data/published`; an empty epoch means the end of the run."""
    table = pd.read_csv(path, keep_default_na=False, na_values={"epoch": [""]})
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [Claim.model_validate(row) for row in rows]


def evaluate(study: Study, published: Path, tables: Path, kept: list[Path]) -> pd.DataFrame:
    """One row a claim on the study's experiments, in the order of `published`.

    kept: claims.csv of runs that are kept with the project; what they found at the documents' size counts, too.
    """
    claims = [claim for claim in load_claims(published) if claim.id in study.experiments]
    at_size, ages = kept_at_size(kept), kept_ages(kept)
    rows = [claim_row(study, claim, tables / claim.id, at_size) | ages_of(claim, ages) for claim in claims]
    return pd.DataFrame(rows, columns=COLUMNS)


def judged_again(table: pd.DataFrame) -> pd.DataFrame:
    """A table of claims with its verdicts computed anew from its other columns."""
    rows = [row | judge(row)._asdict() for row in clean(table).to_dict("records")]
    return pd.DataFrame(rows, columns=COLUMNS)


def clean(table: pd.DataFrame) -> pd.DataFrame:
    """A table of claims as read from a file, with empty words for missing ones and no values where there are none."""
    words = ["headline", "depends", "invented", "origin", "data_source", "reduced", "kept_in", *OLDER.values()]
    table = table.reindex(columns=[*table.columns, *(name for name in OLDER.values() if name not in table)])
    return table.fillna({**dict.fromkeys(words, ""), "n": 0, "kept_n": 0})


def kept_at_size(files: list[Path]) -> dict[tuple, dict]:
    """What kept runs of the documents' size found, by what was measured; of several the one with most values."""
    best: dict[tuple, dict] = {}
    for file in files:
        for row in clean(pd.read_csv(file)).to_dict("records"):
            key = key_of(row, MEASURED)
            if not row["reduced"] and row["n"] > best.get(key, {"kept_n": 0})["kept_n"]:
                values = [row[name] for name in ("reproduced", "ci_low", "ci_high", "n")]
                best[key] = {**dict(zip(KEPT, [*values, file.parent.name], strict=True)), "origin": row["origin"]}
    return best


def kept_ages(files: list[Path]) -> dict[tuple, dict[str, str]]:
    """By what was measured, and by profile: whether what is kept of it is older than the code it depends on."""
    ages: dict[tuple, dict[str, str]] = {}
    for file in files:
        by_variant = older_by_variant(file.parent)
        for row in clean(pd.read_csv(file)).to_dict("records"):
            parts = [by_variant.get((row["id"], name), "unknown") for name in variants_of(row["variant"])]
            ages.setdefault(key_of(row, MEASURED), {})[file.parent.name] = worst(parts)
    return ages


def ages_of(claim: Claim, ages: dict[tuple, dict[str, str]]) -> dict[str, str]:
    """The columns of `OLDER` of a claim's row: names of profiles, between spaces."""
    found = ages.get(key_of(claim.model_dump(), MEASURED), {})
    return {
        column: " ".join(profile for profile, said in found.items() if said == answer)
        for answer, column in OLDER.items()
    }


def key_of(row: dict, columns: list[str] = KEY) -> tuple:
    """What tells one claim, or one measurement, from another."""
    return tuple("" if pd.isna(row[name]) else str(row[name]).removesuffix(".0") for name in columns)


def closing_words(results: Path) -> str:
    """What a finished study found, and where to read it; empty where there is no report."""
    table, report = results / "tables" / "claims.csv", results / "report.html"
    if not (table.is_file() and report.is_file()):
        return ""
    claims = pd.read_csv(table)
    counts = ", ".join(f"{(claims.verdict == verdict).sum()} {verdict}" for verdict in VERDICTS)
    return f"{len(claims)} numbers and statements: {counts}.\nTo read: {report}; to print: {report.with_suffix('.pdf')}"


def claim_row(study: Study, claim: Claim, tables: Path, kept: dict[tuple, dict]) -> dict:
    """The row of one claim: what was found, what is kept of a larger run, the verdict and why."""
    experiment = study.experiments[claim.id]
    known = experiment.reaches if is_one_run(claim.model_dump()) else experiment.tolerances
    # A metric of a series, such as y_at_3, has the tolerance of the series.
    tolerance = known.get(claim.metric, known.get(claim.metric.partition("_at_")[0], 0.0))
    values, repeats = reproduced_values(claim, tables)
    found = dict(zip(FOUND, (*interval(values), values.size, repeats, *facts(claim, tables)), strict=True))
    profile = study.profile.profile
    option = "" if profile == "default" else f" --configfile pipeline/config/{profile}.yaml"
    row = {
        **claim.model_dump(),
        "tolerance": tolerance,
        "invented": "; ".join(words for name, words in experiment.invented.items() if name in claim.depends.split()),
        **found,
        **dict.fromkeys(KEPT, np.nan),
        "kept_n": 0,
        "kept_in": "",
        "command": f"snakemake --cores{option} -- {study.profile.results}/tables/{claim.id}/metrics.csv",
    }
    larger = kept.get(key_of(row, MEASURED))
    if larger and not stands_in({**row, "origin": larger["origin"]}):
        row |= {name: larger[name] for name in KEPT}
    return row | judge(row)._asdict()


def facts(claim: Claim, tables: Path) -> list[str]:
    """Where the numbers of a claim's variants come from, from which data, and what was reduced, as their table says."""
    table = pd.read_csv(tables / "metrics.csv", keep_default_na=False)
    own = table[table.variant.isin(claim.variants)]
    return ["; ".join(filter(None, own[name].unique())) for name in ("origin", "data_source", "reduced")]


def reproduced_values(claim: Claim, tables: Path) -> tuple[np.ndarray, str]:
    """Our values of a claim, none where the run did not go so far, and what they are of: seeds, or epochs timed."""
    one, *other = claim.variants
    values = values_of(claim, one, tables)
    if other:
        # The same seed, or the same epoch of the same seed, of both.
        values, others = values.align(values_of(claim, other[0], tables), join="inner")
        values = values / others if OVER in claim.variant else values - others
    return values.to_numpy(dtype=float), EPOCHS if values.index.nlevels > 1 else SEEDS


def values_of(claim: Claim, variant: str, tables: Path) -> pd.Series:
    """A variant's values by seed; seconds of a ratio by seed and epoch, so that each is a measurement of its own."""
    if claim.metric == "seconds_per_epoch":
        table = pd.read_csv(tables / "timing.csv")
        by = ["seed", "epoch"] if OVER in claim.variant else ["seed"]
        return table[table.variant == variant].groupby(by).seconds.mean()
    if claim.epoch is None:
        table = pd.read_csv(tables / "metrics.csv")
        return table[(table.variant == variant) & (table.quantity == claim.metric)].set_index("seed").value
    table = pd.read_csv(tables / "history.csv")
    return table[(table.variant == variant) & (table.epoch == claim.epoch)].set_index("seed")[claim.metric]
