"""Costs of gradients grow as their definition says; statistics of a network are those of solves one can do by hand."""

import pandas as pd
import pytest
import torch

from pipeline.data import ImageSplits
from pipeline.measure.accuracy_by_tolerance import accuracy_by_tolerance
from pipeline.measure.gradient_costs import gradient_costs
from pipeline.measure.trained_odenet import TrainedNetwork, trained_odenet
from pipeline.models import build
from pipeline.study import ConfigurationError, Model, Run, Solver, load_experiments, load_study

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def costs():
    experiment = load_experiments()["A4"]
    small = {**experiment.settings.arguments, "states": 64, "size": 16, "steps": [16, 48, 144], "repeats": 1}
    settings = experiment.settings.model_copy(update={"arguments": small})
    return gradient_costs(Run(experiment="A4", variant="main", seed=1, kind="measure", settings=settings), CPU)


def exponents(costs):
    return costs["metrics"].set_index("quantity").value


@pytest.mark.parametrize(("series", "exponent"), [("backprop", 1), ("adjoint", 0), ("reversible", 0)])
def test_memory_grows_as_the_gradient_promises(costs, series, exponent):
    assert exponents(costs)[f"memory exponent, {series}"] == pytest.approx(exponent, abs=0.1)


def test_thinned_checkpoints_grow_no_faster_than_the_root_of_the_steps(costs):
    assert 0.1 < exponents(costs)["memory exponent, checkpoint_sqrt"] < 0.5


def test_evaluations_of_every_gradient_grow_with_the_steps(costs):
    of_evaluations = exponents(costs).filter(regex="^evaluations exponent, ")
    assert len(of_evaluations) == costs["history"].series.nunique()
    assert of_evaluations.between(0.9, 1.15).all()


def test_times_stand_apart(costs):
    assert "seconds" not in costs["history"]
    assert (costs["timing"].seconds > 0).all()


@pytest.fixture(scope="module")
def trained():
    """The runs that measure what M3 trained, by experiment, and a network of random weights in its place."""
    study = load_study({"profile": "test", "experiments": ["M3", "M4", "M6"], "overrides": {
        "M3": {"model": {"arguments": {"filters": 4}}, "epochs": 2, "dataset": {"train_images": 10}},
        "M4": {"arguments": {"tolerances": [1e-2, 1e-3, 1e-4], "batches": 2, "batch_size": 2, "repeats": 1}},
        "M6": {"test_batch_size": 2, "arguments": {"tolerances": [1e-1, 1e-3], "images": 6}},
    }})  # fmt: skip
    runs = {name: study.run(name, "main", 1) for name in ("M4", "M6")}
    training = study.trained(runs["M4"])
    torch.manual_seed(1)
    network = build(training.settings.model, training.settings.solver)
    images = torch.randn(8, 1, 28, 28).numpy()
    labels = torch.zeros(8, dtype=torch.int64).numpy()
    splits = ImageSplits(images, labels, images, labels, "random numbers", "computed", ("0",))
    history = pd.DataFrame({"epoch": [1, 2], "nfe_forward": [14.0, 20.0], "nfe_backward": [14.0, 14.0]})
    return runs, TrainedNetwork(training, network, splits, history)


@pytest.fixture(scope="module")
def statistics(trained):
    runs, network = trained
    return runs["M4"], trained_odenet(runs["M4"], CPU, network)


def test_error_falls_and_evaluations_rise_with_the_tolerance(statistics):
    history = (
        statistics[1]["history"].query("panel == 'tolerance'").groupby("tolerance")[["error", "nfe_forward"]].mean()
    )
    assert history.error.is_monotonic_increasing
    assert history.nfe_forward.is_monotonic_decreasing
    assert history.error.min() < history.error.max() / 5


def test_right_answers_are_those_of_the_whole_network(trained):
    runs, network = trained
    made = accuracy_by_tolerance(runs["M6"], CPU, network)
    torch.manual_seed(1)
    alone = build(Model(name="example_odenet", arguments={"filters": 4}), Solver(method="dopri5"))
    with torch.no_grad():
        answers = torch.cat([alone(batch).argmax(1) for batch in torch.randn(8, 1, 28, 28)[:6].split(2)])
    history, metrics = made["history"].set_index("tolerance"), made["metrics"].set_index("quantity").value
    assert history.correct[1e-3] == (answers == 0).sum()
    assert history.accuracy[1e-3] == pytest.approx(100 * history.correct[1e-3] / 6)
    gained = metrics["accuracy gained by the loosest tolerance"]
    assert gained == pytest.approx(history.accuracy[1e-1] - history.accuracy[1e-3])
    assert metrics["evaluations, tightest over loosest"] > 1
    assert set(made["metrics"].data_source) == {"random numbers"}
    assert (made["timing"].seconds > 0).all()


def test_ratio_is_that_of_the_evaluations_at_the_tolerance_of_training(statistics):
    history = statistics[1]["history"].query("panel == 'tolerance' and tolerance == 1e-3")
    metrics = statistics[1]["metrics"].set_index("quantity").value
    assert metrics["backward over forward"] == pytest.approx(history.nfe_backward.mean() / history.nfe_forward.mean())
    assert metrics["nfe growth"] == 6


def test_what_was_reduced_in_training_is_said_of_the_statistics(statistics):
    run, tables = statistics
    assert "2 of 160 epochs" in run.reduced
    assert set(tables["metrics"].reduced) == {run.reduced}
    assert set(tables["history"].data_source) == {"random numbers"}


def test_statistics_need_the_training_in_the_profile():
    with pytest.raises(ConfigurationError, match="M4 measures what M3 trained"):
        load_study({"profile": "test", "experiments": ["M4"]})
