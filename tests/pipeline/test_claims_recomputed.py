"""A reader recomputes every verdict of a claims.csv from its columns, by the rule as it is printed and nothing else."""

import csv
import math
from collections import Counter
from pathlib import Path

import pytest

FILES = sorted(Path("data/reference").glob("*/claims.csv"))


def number(text):
    return float(text) if text else math.nan


def recomputed(row):
    """The verdict of one row, following the sentences of pipeline/claims/verdicts.yaml one by one."""
    depends = row["depends"].split()
    other_data = "data" in depends and row["origin"] in ("simulated", "incomplete")
    if "machine" in depends or row["invented"]:
        return "not comparable"
    runs = []
    if number(row["n"]) > 0 and not other_data and not ("size" in depends and row["reduced"]):
        runs.append([number(row[name]) for name in ("n", "reproduced", "ci_low", "ci_high")])
    if number(row["kept_n"]) > 0:
        runs.append([number(row[name]) for name in ("kept_n", "kept", "kept_low", "kept_high")])
    if not runs:
        return "not comparable" if other_data else "not run at size"
    n, mean, low, high = max(runs, key=lambda run: run[0])
    published, tolerance = number(row["published"]), number(row["tolerance"])
    if "seed" not in depends:
        holds = {
            "=": abs(mean - published) <= tolerance,
            "<": mean < published,
            ">": mean > published,
        }[row["relation"]]
        return "reproduced" if holds else "not reproduced"
    if n == 1:
        return "undecided"
    if row["relation"] in "<>":
        above, below = low > published, high < published
        agrees, contradicts = (below, above) if row["relation"] == "<" else (above, below)
    elif row["kind"] in ("printed", "cited"):
        # The interval of the mean is mean ± t·s/√n, that of one more run mean ± t·s·√(1 + 1/n).
        half = (high - low) / 2 * math.sqrt(n) * math.sqrt(1 + 1 / n)
        contradicts = abs(published - mean) > half
        agrees = not contradicts and half <= tolerance
    else:
        agrees = published - tolerance <= low and high <= published + tolerance
        contradicts = high < published - tolerance or published + tolerance < low
    return "reproduced" if agrees else "not reproduced" if contradicts else "undecided"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_verdict_follows_from_the_columns_of_its_row(path):
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    wrong = [(row["id"], row["quantity"], row["verdict"]) for row in rows if recomputed(row) != row["verdict"]]
    assert wrong == []


def test_the_kept_rows_use_more_than_one_branch_of_the_rule():
    rows = [row for path in FILES for row in csv.DictReader(path.open(encoding="utf-8"))]
    assert len(Counter(row["verdict"] for row in rows)) >= 4
