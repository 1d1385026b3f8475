"""Each experiment's YAML names the function that answers it, and there is one."""

import pytest
from pydantic import ValidationError

from pipeline.runs.function import function_of
from pipeline.study import ConfigurationError, Experiment, load_experiments, load_study

EXPERIMENTS = load_experiments()
STUDY = load_study({"profile": "test", "experiments": list(EXPERIMENTS)})


@pytest.mark.parametrize("name", [name for name, found in EXPERIMENTS.items() if found.function])
def test_the_function_is_there(name):
    run = STUDY.run(name, next(iter(EXPERIMENTS[name].variants)), 1)
    assert function_of(run).__doc__


def test_no_two_experiments_are_answered_by_one_function():
    named = [(found.kind, found.function) for found in EXPERIMENTS.values() if found.function]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("function", ["primer.nothing", "nowhere.euler_table"])
def test_a_name_without_a_function_is_said_with_its_folder(function):
    run = STUDY.run("P1", "main", 1)
    with pytest.raises(ConfigurationError, match=rf"P1 names the function '{function}', but pipeline/compute has no"):
        function_of(run.model_copy(update={"function": function}))


@pytest.mark.parametrize(("kind", "function"), [("compute", None), ("train", "loop.train"), ("fit", "spiral")])
def test_a_function_belongs_to_the_kinds_that_have_one(kind, function):
    with pytest.raises(ValidationError):
        Experiment.model_validate(EXPERIMENTS["P1"].model_dump() | {"kind": kind, "function": function})
