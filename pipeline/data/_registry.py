"""`sources.yaml` as validated data: the files of each data set, their sums, and where they are to be had."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

REGISTRY = Path(__file__).with_name("sources.yaml")

Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A schema that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceFile(Strict):
    """One official file: its size in bytes and its published sum."""

    bytes: int = Field(gt=0)
    md5: Md5 | None = None
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def has_sum(self) -> "SourceFile":
        if (self.md5 is None) == (self.sha256 is None):
            raise ValueError("needs exactly one of md5 and sha256")
        return self

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm (a name of hashlib) and the expected sum."""
        return ("md5", self.md5) if self.md5 else ("sha256", self.sha256)


class Layout(Strict):
    """A place of a file below `data/raw` or a mirror; `{file}` stands for its name.

    Where `members` are given the path is an archive (.tgz, .zip, .7z), and exactly these members are looked for.
    """

    path: str
    members: list[str] = []
    origin: str = "official files"


class Http(Strict):
    """Files to be downloaded one by one from an official address."""

    kind: Literal["http"]
    url: str
    path: str

    @property
    def words(self) -> str:
        return self.url.removesuffix("{file}.gz")


class Kaggle(Strict):
    """A file of a Kaggle competition, for users who have credentials and have accepted its rules."""

    kind: Literal["kaggle"]
    competition: str
    file: str
    path: str

    @property
    def words(self) -> str:
        return f"Kaggle's {self.competition}"


class Npm(Strict):
    """A package of the npm registry."""

    kind: Literal["npm"]
    package: str
    path: str

    @property
    def words(self) -> str:
        return f"npm {self.package}"


Download = Annotated[Http | Kaggle | Npm, Field(discriminator="kind")]


class Source(Strict):
    """One data set."""

    title: str
    homepage: str
    licence: str
    files: dict[str, SourceFile]
    layouts: list[Layout]
    downloads: list[Download] = []


@cache
def load_registry() -> dict[str, Source]:
    """Every registered data set by name."""
    return TypeAdapter(dict[str, Source]).validate_python(yaml.safe_load(REGISTRY.read_text(encoding="utf-8")))
