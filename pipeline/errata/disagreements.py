"""Where the documents say different things of one question: read from YAML, and as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import Field

from pipeline.errata.evaluation import Erratum
from pipeline.study import ConfigurationError, Strict, validated

DISAGREEMENTS = Path(__file__).with_name("disagreements.yaml")


class Position(Strict):
    """What one document says, in its own words, and where."""

    document: Literal["thind", "ulala", "homework", "slides", "reading"]
    place: str
    words: str


class Disagreement(Strict):
    """A question, what the documents say of it, what is so, and the errata and experiments that show it."""

    id: str
    question: str
    positions: list[Position] = Field(min_length=2)
    so: str
    errata: list[str] = Field(min_length=1)
    see: list[str] = Field(default_factory=list)


def load_disagreements(path: Path = DISAGREEMENTS) -> list[Disagreement]:
    """The disagreements of a YAML file, in its order."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [validated(Disagreement, values, f"{path.name}: {values.get('id')}") for values in entries]


def positions_table(disagreements: list[Disagreement], errata: list[Erratum]) -> pd.DataFrame:
    """One row a position; the errata and experiments of its question are parted by spaces.

    Raises `ConfigurationError` for an erratum that there is not.
    """
    known = {erratum.id for erratum in errata}
    for disagreement in disagreements:
        if unknown := set(disagreement.errata) - known:
            raise ConfigurationError(f"disagreement '{disagreement.id}': no erratum {', '.join(sorted(unknown))}")
    return pd.DataFrame(
        {
            "id": disagreement.id,
            "question": disagreement.question,
            **position.model_dump(),
            "so": disagreement.so,
            "errata": " ".join(disagreement.errata),
            "see": " ".join(disagreement.see),
        }
        for disagreement in disagreements
        for position in disagreement.positions
    )
