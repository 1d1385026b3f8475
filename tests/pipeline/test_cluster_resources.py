"""What jobs ask of a cluster: every rule asks, a profile may change it, and without a GPU none is asked for."""

import re
from pathlib import Path

import pytest

from pipeline.cluster.resources import load_resources, resources
from pipeline.study import ConfigurationError, load_study


def study(**config):
    return load_study({"profile": "test", "experiments": ["M1", "M3", "S1"], **config})


@pytest.mark.parametrize("rules", sorted(Path("pipeline/rules").glob("*.smk")), ids=lambda path: path.stem)
def test_every_rule_that_runs_something_names_its_resources(rules):
    for rule in re.split(r"^ *rule\b", rules.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        if re.search(r"^ *(?:script|shell):", rule, flags=re.MULTILINE):
            (name,) = re.findall(r'\*\*asked\("(\w+)"', rule)
            assert resources(study(), name).runtime > 0


def test_an_experiment_and_then_the_profile_change_what_its_rule_asks_for():
    assert resources(study(), "train", "S1") == resources(study(), "train")
    assert resources(study(), "train", "M3").mem_mb == load_resources()["M3"]["mem_mb"]
    changed = study(resources={"train": {"runtime": 7}, "M3": {"mem_mb": 123}})
    assert resources(changed, "train", "M3").model_dump() == {"gpu": 1, "mem_mb": 123, "runtime": 7}


def test_a_training_on_several_devices_asks_for_as_many_gpus():
    assert resources(study(), "train", "S1", devices=4).gpu == 4
    assert resources(study(device="cpu"), "train", "S1", devices=4).gpu == 0


def test_on_the_cpu_no_gpu_is_asked_for():
    assert resources(study(device="cpu"), "train", "S1").gpu == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"trian": {"gpu": 2}}, "unknown rule or experiment 'trian'; did you mean 'train'"),
        ({"train": {"mem_bm": 2}}, "unknown setting 'mem_bm'; did you mean 'mem_mb'"),
        ({"train": {"gpu": -1}}, "gpu"),
    ],
)
def test_wrong_resources_are_refused_with_the_place_and_the_remedy(wrong, words):
    with pytest.raises(ConfigurationError, match=words):
        resources(study(resources=wrong), "train")
