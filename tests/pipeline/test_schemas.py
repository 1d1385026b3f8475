"""The schemas that editors read are those of the models, and say of a file what the study says."""

import copy

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipeline.schemas import schemas, text_of

PROFILE, EXPERIMENTS = schemas()


@pytest.mark.parametrize("path", schemas(), ids=lambda path: path.name)
def test_the_kept_schema_is_that_of_the_models(path):
    assert path.read_text(encoding="utf-8") == text_of(schemas()[path]), "run: python -m pipeline.schemas"


def errors(schema, values):
    return [error.message for error in Draft202012Validator(schemas()[schema]).iter_errors(values)]


@pytest.mark.parametrize("schema", [PROFILE, EXPERIMENTS], ids=lambda path: path.name)
def test_every_kept_file_is_valid_and_names_its_schema(schema):
    files = sorted(schema.parent.glob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not errors(schema, yaml.safe_load(text))
        assert text.startswith(f"# yaml-language-server: $schema={schema.name}\n")


@pytest.mark.parametrize(
    "change",
    [
        {"experimnts": []},
        {"device": "gpu"},
        {"overrides": {"M1": {"epoch": 1}}},
        {"overrides": {"M1": {"dataset": {"train_imges": 5}}}},
        {"overrides": {"M1": {"seeds": 0}}},
    ],
)
def test_a_wrong_profile_is_seen_as_it_is_typed(change):
    good = {"profile": "mine", "experiments": ["M1"], "overrides": {"M1": {"dataset": {"train_images": 5}}}}
    assert not errors(PROFILE, good)
    assert errors(PROFILE, copy.deepcopy(good) | change)


def test_an_experiment_may_not_repeat_its_id():
    experiment = {"title": "t", "document": "thind", "place": "1", "kind": "compute", "settings": {}}
    assert not errors(EXPERIMENTS, {"P1": experiment})
    assert errors(EXPERIMENTS, {"P1": {**experiment, "id": "P1"}})
