"""The figures of the study as validated data: which R function draws what, from which tables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from pipeline.study import Strict, validated

REGISTRY = Path(__file__).parent / "figures.yaml"
OUTSIDE_RESULTS = "data/published/"


class Figure(Strict):
    """One figure: its R function of `rscripts/figures`, its place in the documents, its words and its tables.

    `data` maps each argument of the R function to a CSV, relative to the results folder or below data/published.
    `caption` and `title` may hold the facts that R computes from those tables, such as {seeds} or {epochs}.
    `needs_size`: whether it says nothing of the document where the run was reduced; the report then leaves it out.
    `animated`: whether its R file also draws frames, from the table `curves`.
    """

    name: str
    function: str = Field(pattern=r"^figure_[a-z0-9_]+$")
    experiment: str
    document: Literal["thind", "ulala", "homework", "slides", "reading"]
    place: str
    title: str
    caption: str
    category: str
    data: dict[str, str] = Field(min_length=1)
    needs_size: bool = False
    animated: bool = False

    @field_validator("data")
    @classmethod
    def relative_tables(cls, data: dict[str, str]) -> dict[str, str]:
        """Every table is a CSV named by a relative path."""
        for argument, path in data.items():
            if Path(path).is_absolute() or not path.endswith(".csv"):
                raise ValueError(f"{argument}: '{path}' is not the relative path of a .csv file")
        return data

    @property
    def frames(self) -> str:
        """What its animation is called in R: `frame_<frames>` draws one of `frames_<frames>` frames."""
        return self.function.removeprefix("figure_")

    def files(self, results: str | Path) -> dict[str, str]:
        """The path of each table by the name of its argument, below the folder `results` unless published."""
        return {
            argument: path if path.startswith(OUTSIDE_RESULTS) else f"{results}/{path}"
            for argument, path in self.data.items()
        }


def load_figures(path: Path = REGISTRY) -> dict[str, Figure]:
    """Every figure of the registry by name, or a ConfigurationError that says which entry is wrong and how."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: validated(Figure, {"name": name, **values}, f"{path.name}: {name}") for name, values in entries.items()
    }
