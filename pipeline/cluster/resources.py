"""What one job of each rule asks of a cluster: data in `resources.yaml`, and what a profile lays over it."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from pipeline.study import ConfigurationError, Strict, Study, validated

RESOURCES = Path(__file__).with_name("resources.yaml")


class Resources(Strict):
    """GPUs, memory in megabytes and minutes of one job, by the names that Snakemake's executors know."""

    gpu: int = Field(default=0, ge=0)
    mem_mb: int = Field(gt=0)
    runtime: int = Field(gt=0)


@cache
def load_resources(path: Path = RESOURCES) -> dict[str, dict[str, int]]:
    """The entries of every rule, and of the experiments that need more than others, by name."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def resources(study: Study, rule: str, experiment: str | None = None, devices: int = 1) -> Resources:
    """What one job of `rule` asks for; of a run, also by its `experiment`, and as many GPUs for each of its `devices`.

    Raises ConfigurationError where the profile names neither a rule nor an experiment, or asks for something unknown.
    """
    known, own = load_resources(), study.profile.resources
    for name in own:
        if name not in known and name not in study.experiments:
            near = difflib.get_close_matches(name, [*known, *study.experiments], n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; rules are {', '.join(known)}"
            raise ConfigurationError(f"configuration: resources of unknown rule or experiment '{name}'{hint}")
    asked = {}
    for entries in (known, own):
        for name in filter(None, (rule, experiment)):
            asked |= entries.get(name, {})
    chosen = validated(Resources, asked, f"resources of {rule}")
    return chosen.model_copy(update={"gpu": 0 if study.profile.device == "cpu" else chosen.gpu * devices})
