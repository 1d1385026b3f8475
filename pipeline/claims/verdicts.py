"""The verdict on one published number or statement: a function of the columns of its row, and of nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from scipy import stats

WORDS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
VERDICTS = REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_COMPARABLE, NOT_RUN = tuple(WORDS["verdicts"])
KINDS = PRINTED, CITED, STATEMENT, IDENTITY = tuple(WORDS["kinds"])
DEPENDS = DATA, NETWORK, MACHINE, SIZE, SEED = tuple(WORDS["depends"])

LEVEL = 0.95
# Data that stand in for the document's.
STAND_INS = ("simulated", "incomplete")


class Verdict(NamedTuple):
    """A word of `VERDICTS`, why, and which run gave it: "this run", "kept run", or neither."""

    verdict: str
    reason: str
    judged: str = ""


class Evidence(NamedTuple):
    """What runs found: their mean, Student's interval of it (NaN for one value), how many they are, and whose."""

    mean: float
    low: float
    high: float
    n: int
    judged: str


def judge(row: Mapping[str, Any]) -> Verdict:
    """The verdict on a row of claims.csv, by the rule of verdicts.yaml.

    Args:
        row: kind, relation ("=", "<", ">"), published, tolerance, depends (words of `DEPENDS`, a space between); of
            this run reproduced, ci_low, ci_high, n, repeats, origin, data_source, reduced; invented: what of the
            claim's dependences this study had to choose, in words; of a kept run at the document's size kept,
            kept_low, kept_high, kept_n. Words may be empty, numbers NaN.
    """
    depends = row["depends"].split()
    if MACHINE in depends:
        return Verdict(NOT_COMPARABLE, "another machine")
    if row["invented"]:
        return Verdict(NOT_COMPARABLE, row["invented"])
    stood_in = stands_in(row)
    too_small = SIZE in depends and bool(row["reduced"])
    found = []
    if row["n"] and not (stood_in or too_small):
        found.append(Evidence(row["reproduced"], row["ci_low"], row["ci_high"], int(row["n"]), "this run"))
    if row["kept_n"]:
        found.append(Evidence(row["kept"], row["kept_low"], row["kept_high"], int(row["kept_n"]), "kept run"))
    if not found:
        if stood_in:
            return Verdict(NOT_COMPARABLE, f"other data: {row['data_source']}")
        return Verdict(NOT_RUN, row["reduced"] or "not run so far")
    best = max(found, key=lambda evidence: evidence.n)  # of equally many, this run's
    return Verdict(*decide(row, best, SEED in depends), best.judged)


def stands_in(row: Mapping[str, Any]) -> bool:
    """Whether a claim on the document's data was run on others."""
    return DATA in row["depends"].split() and row["origin"] in STAND_INS


def is_one_run(row: Mapping[str, Any]) -> bool:
    """Whether a published number is what one run came to, which another seed would change."""
    return row["relation"] == "=" and row["kind"] in (PRINTED, CITED) and SEED in row["depends"].split()


def decide(row: Mapping[str, Any], found: Evidence, random: bool) -> tuple[str, str]:
    """What evidence that can answer says of a claim, and by which comparison.

    Args:
        random: whether another seed would find another value.
    """
    relation, published, tolerance = row["relation"], row["published"], row["tolerance"]
    if not random:
        holds = within(relation, published, found.mean, tolerance)
        return (REPRODUCED if holds else NOT_REPRODUCED), criterion(relation, published, tolerance)
    if found.n < 2:
        return UNDECIDED, "one run of ours decides nothing"
    one_run = is_one_run(row)
    factor = math.sqrt(found.n + 1) if one_run else 1.0
    low, high = (found.mean + factor * (end - found.mean) for end in (found.low, found.high))
    if relation != "=":
        yes, no = (high < published, low > published) if relation == "<" else (low > published, high < published)
    elif one_run:
        no = not low <= published <= high
        yes = not no and (high - low) / 2 <= tolerance
    else:
        yes = published - tolerance <= low and high <= published + tolerance
        no = high < published - tolerance or low > published + tolerance
    name = "one more run of ours" if one_run else "our mean"
    where = f"{name} lies in {low:.4g} to {high:.4g}"
    must = criterion(relation, published, tolerance)
    if one_run:
        must = f"{published:g} must lie there, and the interval reach no further than {tolerance:g}"
    return (REPRODUCED if yes else NOT_REPRODUCED if no else UNDECIDED), f"{where}; {must}"


def within(relation: str, published: float, found: float, tolerance: float) -> bool:
    """Whether a number that no chance changes agrees with a published one."""
    if relation == "=":
        return abs(found - published) <= tolerance
    return found < published if relation == "<" else found > published


def criterion(relation: str, published: float, tolerance: float) -> str:
    """What a number must satisfy, in words."""
    if relation == "=":
        return f"must be within {tolerance:g} of {published:g}" if tolerance else f"must be {published:g}"
    return f"must be {'below' if relation == '<' else 'above'} {published:g}"


def interval(values: Any, level: float = LEVEL) -> tuple[float, float, float]:
    """The mean of an array and Student's interval for it; NaN for no values, and for the interval of one."""
    if values.size == 0:
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    if values.size == 1:
        return mean, math.nan, math.nan
    half = stats.t.ppf((1 + level) / 2, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    return mean, mean - float(half), mean + float(half)
