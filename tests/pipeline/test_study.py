"""Configurations: what a profile changes, what it is told when it is wrong."""

import pytest
import yaml

import nodekit
from pipeline.study import DOCUMENT_METHODS, ConfigurationError, Experiment, Solver, load_experiments, load_study


def study(**config):
    return load_study({"profile": "test", "experiments": ["M1", "N3"], **config})


@pytest.mark.parametrize("name", ["default", "full", "ci"])
def test_every_profile_is_valid(name):
    with open(f"pipeline/config/{name}.yaml", encoding="utf-8") as file:
        assert load_study(yaml.safe_load(file)).runs()


def test_m1_runs_whole_in_the_default_profile():
    with open("pipeline/config/default.yaml", encoding="utf-8") as file:
        run = load_study(yaml.safe_load(file)).run("M1", "euler", 1)
    assert run.reduced == ""
    assert (run.settings.dataset.train_images, run.settings.epochs, run.settings.solver.step_size) == (None, 1, 0.05)


def test_methods_by_their_documents_names_are_nodekits():
    assert load_study({"profile": "test", "experiments": ["S1"]}).run("S1", "crank_nicolson", 1).settings.solver == (
        Solver(method="implicit_midpoint", step_size=0.05, gradient="interpolated")
    )
    for name in DOCUMENT_METHODS:
        assert Solver(method=name).method in nodekit.METHODS
        assert name not in nodekit.METHODS


def test_a_variant_is_called_by_its_experiments_words():
    experiment = load_study({"profile": "test", "experiments": ["S1"]}).experiments["S1"]
    assert experiment.called("explicit_euler") == "Explicit Euler"
    assert study().experiments["M1"].called("six_epochs") == "six epochs"
    with pytest.raises(ValueError, match="variant_names: no variants rk4"):
        Experiment(**{**experiment.model_dump(), "variant_names": {"rk4": "Runge–Kutta"}})


def test_a_reduction_is_said_in_words():
    run = study(overrides={"N3": {"epochs": 3}}).run("N3", "main", 1)
    assert run.reduced == "3 of 150 epochs"


def test_what_a_measurement_reduces_is_told_from_what_its_training_did():
    small = {"arguments": {"batch_size": 16}}
    measured = "measured with batch size 16 instead of 128"
    for overrides, words in (
        ({"M4": small}, measured),
        (
            {"M4": small, "M3": {"dataset": {"train_images": 768}}},
            f"trained with 768 of 60000 training images; {measured}",
        ),
    ):
        assert study(experiments=["M3", "M4"], overrides=overrides).run("M4", "main", 1).reduced == words


def test_the_full_profile_reduces_nothing():
    with open("pipeline/config/full.yaml", encoding="utf-8") as file:
        assert {run.reduced for run in load_study(yaml.safe_load(file)).runs()} == {""}


def test_expected_seconds_of_an_unknown_experiment_are_refused():
    with pytest.raises(ConfigurationError, match="unknown experiment 'M11'; did you mean"):
        study(expected_seconds={"M11": 3})


def test_an_override_keeps_what_it_does_not_name():
    run = study(overrides={"M1": {"solver": {"step_size": 0.5}}}).run("M1", "euler", 1)
    assert (run.settings.solver.method, run.settings.solver.step_size) == ("euler", 0.5)


def test_an_override_of_one_variant_comes_after_that_of_its_experiment():
    chosen = study(overrides={"M1": {"seeds": 1, "epochs": 2}, "M1/six_epochs": {"epochs": 3}})
    assert [chosen.run("M1", name, 1).settings.epochs for name in ("euler", "six_epochs")] == [2, 3]
    assert [run.settings.seeds for run in chosen.runs("M1")] == [1, 1]


def test_a_variant_that_is_left_out_has_no_runs():
    assert {run.variant for run in study(left_out=["M1/six_epochs"]).runs("M1")} == {"euler"}


@pytest.mark.parametrize("changes", [{"left_out": ["M1/six_epoch"]}, {"overrides": {"M1/six_epoch": {}}}])
def test_an_unknown_variant_is_refused_with_the_nearest_name(changes):
    with pytest.raises(ConfigurationError, match="unknown variant of M1 'six_epoch'; did you mean 'six_epochs'"):
        study(**changes)


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"unknown setting 'solver.metod'; did you mean 'method'"):
        study(overrides={"M1": {"solver": {"metod": "rk4"}}})


def test_an_unknown_experiment_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"unknown experiment 'M11'; did you mean 'M1'"):
        study(overrides={"M11": {}})


def test_a_value_of_the_wrong_kind_names_its_place():
    with pytest.raises(ConfigurationError, match=r"M1, variant euler, profile test: epochs"):
        study(overrides={"M1": {"epochs": 0}})


def test_every_training_run_has_what_it_trains_by():
    for name, experiment in load_experiments().items():
        for variant in experiment.variants if experiment.kind == "train" else ():
            settings = load_study({"profile": "test", "experiments": [name]}).run(name, variant, 1).settings
            assert None not in (settings.dataset, settings.model, settings.optimizer, settings.loss), (name, variant)


def test_how_long_benchmarks_measure_is_a_setting():
    assert study(benchmark_seconds=5).profile.benchmark_seconds == 5
