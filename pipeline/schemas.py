"""The JSON schemas of profiles and experiments, by which editors complete and check their YAML.

`python -m pipeline.schemas` writes them anew from the models of `pipeline.study`; a test holds both together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.files import write_text
from pipeline.study import Experiment, Profile, Settings

ROOM = Path(__file__).parent


def schemas() -> dict[Path, dict[str, Any]]:
    """The schema of every file that has one, by where it is kept."""
    experiments, profile = TypeAdapter(dict[str, Experiment]).json_schema(), Profile.model_json_schema()
    # An experiment's id is its key in the file.
    experiment = experiments["$defs"]["Experiment"]
    del experiment["properties"]["id"]
    experiment["required"].remove("id")
    # Variants and overrides say only what they change, at any depth.
    changes = Settings.model_json_schema(ref_template="#/$defs/changed/{model}")
    parts = changes.pop("$defs") | {"Settings": changes}
    for part in parts.values():
        part.pop("required", None)
    for schema, properties, key in (
        (experiments, experiment["properties"], "variants"),
        (profile, profile["properties"], "overrides"),
    ):
        schema.setdefault("$defs", {})["changed"] = parts
        properties[key]["additionalProperties"] = {"$ref": "#/$defs/changed/Settings"}
    return {
        ROOM / "config/profile.schema.json": profile,
        ROOM / "experiments/experiments.schema.json": experiments,
    }


def text_of(schema: dict[str, Any]) -> str:
    """The schema as it is kept."""
    version = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(version | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, schema in schemas().items():
        write_text(text_of(schema), path)
