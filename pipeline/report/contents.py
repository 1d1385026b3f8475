"""The documents' tables of contents as validated data: the report's index of what the study has about each section."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, model_validator

from pipeline.study import Strict, validated

CONTENTS = Path(__file__).with_suffix(".yaml")


class Section(Strict):
    """A section by its number and heading, and where the study has something about it.

    `places` are the words by which claims, errata and figures name it in their column `place`; `experiments` are those
    that are about it without such a row; `nothing` says why there is neither.
    """

    section: str
    places: list[str] = Field(default_factory=list)
    experiments: list[str] = Field(default_factory=list)
    nothing: str = ""

    @model_validator(mode="after")
    def something_or_why_not(self) -> Section:
        """A section has something, or says why it has nothing."""
        if bool(self.places or self.experiments) == bool(self.nothing):
            raise ValueError("either places or experiments, or why there is nothing")
        return self


def load_contents(path: Path = CONTENTS) -> dict[str, list[Section]]:
    """Every document's sections in its order, or a ConfigurationError that says which entry is wrong and how."""
    documents = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        document: [validated(Section, entry, f"{path.name}: {document}: {entry.get('section')}") for entry in entries]
        for document, entries in documents.items()
    }
