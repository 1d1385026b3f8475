"""Whether what is kept of a run is older than the code that it depends on."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pipeline.runs import made_by
from pipeline.runs.code import code_of
from pipeline.study import ConfigurationError, Run, load_study

Older = Literal["yes", "no", "unknown"]


def older_than_code(kept: Iterable[str], now: str) -> Older:
    """The rule: yes, where some code that had a part is not the present one; unknown, where some code is not known.

    Args:
        kept: hashes of all code that had a part, by `pipeline.runs.code`; an empty one where it was not kept.
        now: the same of the present code; empty where there is no such run any more.
    """
    found = set(kept)
    if found - {"", now}:
        return "yes"
    return "no" if found == {now} and now else "unknown"


def worst(answers: Iterable[Older]) -> Older:
    """Of a number with several parts: yes, where one is older; no, where none is."""
    found = set(answers)
    return "yes" if "yes" in found else "no" if found == {"no"} else "unknown"


def older_by_variant(folder: Path, code: Callable[[Run], str] = code_of) -> dict[tuple[str, str], Older]:
    """The rule's answer for each experiment and variant of a folder of data/reference, over its seeds.

    What measures a trained network has the training's part, too. A variant that is not there has no rows in
    made_by.csv: it is unknown.
    """
    table = made_by.read(folder / "made_by.csv")
    if table.empty:
        return {}
    made = {key: list(rows.code) for key, rows in table.groupby(["experiment", "variant", "seed"], sort=False)}
    record, study = json.loads((folder / "provenance.json").read_text(encoding="utf-8")), None
    with suppress(ConfigurationError):  # settings that are no longer valid
        study = load_study(record["configuration"])

    @functools.cache
    def present(experiment: str, variant: str) -> tuple[str, Run | None]:
        """The present code of a variant, of whatever seed, and the training it measures; empty where it is no more."""
        with suppress(ConfigurationError, KeyError):
            run = study.run(experiment, variant, 1) if study else None
            return (code(run), study.trained(run)) if run else ("", None)
        return "", None

    answers: dict[tuple[str, str], list[Older]] = {}
    for (experiment, variant, seed), codes in made.items():
        now, trained = present(experiment, variant)
        parts = [older_than_code(codes, now)]
        if trained:
            begun = made.get((trained.experiment, trained.variant, seed), [])
            parts.append(older_than_code(begun, present(trained.experiment, trained.variant)[0]))
        answers.setdefault((experiment, variant), []).extend(parts)
    return {key: worst(found) for key, found in answers.items()}
