"""Every erratum with what its check found, as one table."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import Field

from pipeline.errata.finding import Finding
from pipeline.study import Strict, validated

ERRATA = Path(__file__).with_name("errata.yaml")
COLUMNS = ["id", "document", "place", "kind", "words", "so", "shown", "check", "numbers", "confirmed", "see"]


class Erratum(Strict):
    """A place of a document whose words its own numbers, its listing or a computation do not bear out.

    `kind` is "mistake", "appears" (a mistake as the document appears to be meant), "measured" (another measurement
    differs), "convention" (documents differ, and both are right) or "holds" (a doubt that the check dispels). `check`
    is module.function of this package; `needs` are the experiments, `data` the data set it reads; `see` is the
    experiment that it is about.
    """

    id: str
    document: Literal["thind", "ulala", "homework", "slides", "reading"]
    place: str
    kind: Literal["mistake", "appears", "measured", "convention", "holds"] = "mistake"
    words: str
    so: str
    shown: str
    check: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    needs: list[str] = Field(default_factory=list)
    data: str = ""
    see: str = ""


def load_errata(path: Path = ERRATA) -> list[Erratum]:
    """The errata of a YAML file, each id once; what stands under its key `tables` is shared by anchors."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    errata = [validated(Erratum, values, f"{path.name}: {values.get('id')}") for values in content["errata"]]
    if repeated := {erratum.id for erratum in errata if sum(other.id == erratum.id for other in errata) > 1}:
        raise ValueError(f"{path.name}: the same id more than once: {', '.join(sorted(repeated))}")
    return errata


def check_function(name: str):
    """The function of this package that an erratum names as module.function."""
    module, _, function = name.partition(".")
    return getattr(importlib.import_module(f"pipeline.errata.{module}"), function)


def evaluate(errata: list[Erratum], experiments: set[str], tables: Path, processed: Path) -> pd.DataFrame:
    """One row an erratum, in their order; `confirmed` is missing where what it reads was not run or is simulated."""
    rows = []
    for erratum in errata:
        missing = why_not(erratum, experiments, processed)
        finding = None if missing else run_check(erratum, tables, processed)
        rows.append(
            {
                **erratum.model_dump(include=set(COLUMNS)),
                "numbers": missing if finding is None else words_of(finding),
                "confirmed": None if finding is None else finding.confirmed,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def why_not(erratum: Erratum, experiments: set[str], processed: Path) -> str:
    """Why a check cannot be run in this study; empty where it can."""
    if absent := [name for name in erratum.needs if name not in experiments]:
        return f"not run: {', '.join(absent)} is not part of this profile"
    if erratum.data:
        about = processed / f"{erratum.data}.json"
        if not about.exists():
            return f"not run: {erratum.data} is not part of this profile"
        if json.loads(about.read_text(encoding="utf-8"))["origin"] == "simulated":
            return f"not run: {erratum.data} is simulated here"
    return ""


def run_check(erratum: Erratum, tables: Path, processed: Path) -> Finding:
    """What an erratum's check finds."""
    check = check_function(erratum.check)
    known = inspect.signature(check).parameters
    folders = {name: folder for name, folder in (("tables", tables), ("processed", processed)) if name in known}
    return check(**erratum.arguments, **folders)


def words_of(finding: Finding) -> str:
    """The numbers of a finding as text, six significant digits each."""
    return "; ".join(f"{name}: {text_of(value)}" for name, value in finding.numbers.items())


def text_of(value: Any) -> str:
    """A number, or a list of them, with six significant digits; other values as they are."""
    if isinstance(value, list):
        return f"[{', '.join(map(text_of, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
