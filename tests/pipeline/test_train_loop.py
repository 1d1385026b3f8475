"""A run learns, counts rightly, says where it stands, and stops with a clear word when it cannot go on."""

import pandas as pd
import pytest
import torch
from tiny_training import enlarged, tiny_run, tiny_splits, tiny_train

from nodekit.errors import NonFiniteDerivative
from pipeline.models import build
from pipeline.runs import progress
from pipeline.runs.reproducible import permutation, reproducible
from pipeline.study import ConfigurationError
from pipeline.train import TrainingError, train

HISTORY = (
    "experiment,variant,seed,epoch,train_loss,train_accuracy,test_loss,test_accuracy,most_predicted,"
    "nfe_forward,nfe_backward,learning_rate,data_source,origin,reduced"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tiny_run(epochs=20, optimizer={"name": "Adam", "arguments": {"lr": 0.05}})
    return tiny_train(tmp_path_factory.mktemp("trained") / "run", run=run, checkpoint_seconds=1000)


def quantities(folder):
    return pd.read_csv(folder / "metrics.csv").set_index("quantity")["value"]


def test_learns_to_tell_bright_from_dark(trained):
    history = pd.read_csv(trained / "history.csv")
    assert history.test_accuracy.iloc[-1] == 100
    assert history.test_loss.iloc[-1] < history.test_loss.iloc[0] / 2


def test_tables_have_their_columns_and_labels(trained):
    history = pd.read_csv(trained / "history.csv")
    assert ",".join(history.columns) == HISTORY
    assert list(history.epoch) == list(range(1, 21))
    assert set(history.data_source) == {"random numbers"}
    assert set(history.reduced) == {"22 of 60 images"}
    timing = pd.read_csv(trained / "timing.csv")
    assert ",".join(timing.columns) == "experiment,variant,seed,epoch,seconds,derivative_share,device,threads"
    metrics = pd.read_csv(trained / "metrics.csv")
    assert ",".join(metrics.columns) == "experiment,variant,seed,quantity,value,unit,data_source,origin,reduced"


def test_losses_are_the_listing_s_table(trained):
    losses = pd.read_csv(trained / "losses.csv")
    assert list(losses.Trained_Images[:3]) == [0, 4, 8]
    assert list(losses.epoch) == [epoch for epoch in range(1, 21) for _ in range(6)]
    # Exponential weights of half-life 10: the second value weighs the first by 2^(−1/10).
    weight = 2 ** (-1 / 10)
    assert losses.Halflife_Loss[1] == pytest.approx((weight * losses.loss[0] + losses.loss[1]) / (1 + weight))


def test_epoch_s_train_loss_is_the_mean_over_images(trained):
    losses = pd.read_csv(trained / "losses.csv").query("epoch == 1").loss
    mean = (4 * losses.iloc[:5].sum() + 2 * losses.iloc[5]) / 22
    assert pd.read_csv(trained / "history.csv").train_loss[0] == pytest.approx(mean)


def test_metrics_are_those_of_the_saved_model(trained):
    model = build(tiny_run().settings.model, None)
    model.load_state_dict(torch.load(trained / "model.pt", weights_only=True))
    splits = tiny_splits()
    right = model.eval()(torch.from_numpy(splits.test_images)).argmax(dim=1) == torch.from_numpy(splits.test_labels)
    metrics = quantities(trained)
    assert metrics["test_accuracy"] == pytest.approx(100 * right.double().mean().item())
    assert metrics["test_error"] == 100 - metrics["test_accuracy"]
    assert metrics["parameters"] == (16 * 8 + 8) + (8 + 8) + (8 * 2 + 2)
    assert "nfe_forward" not in metrics


def test_the_class_predicted_most_is_counted_over_the_test_images(trained):
    model = build(tiny_run().settings.model, None)
    model.load_state_dict(torch.load(trained / "model.pt", weights_only=True))
    predicted = model.eval()(torch.from_numpy(tiny_splits().test_images)).argmax(dim=1).tolist()
    most = max(predicted.count(0), predicted.count(1))
    assert quantities(trained)["most_predicted"] == pytest.approx(100 * most / len(predicted))


def test_training_accuracy_after_the_epoch_is_that_of_the_model_on_images_as_they_are(tmp_path):
    augmented = [{"name": "RandomVerticalFlip"}, {"name": "GaussianNoise", "arguments": {"sigma": 9.0, "clip": False}}]
    accuracies = {}
    for when in ("while learning", "after the epoch"):
        folder = tiny_train(tmp_path / when, run=tiny_run(train_accuracy=when, augmentation=augmented))
        model = build(tiny_run().settings.model, None)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        splits = tiny_splits()
        images, labels = torch.from_numpy(splits.train_images), torch.from_numpy(splits.train_labels)
        whole = 100 * (model.eval()(images).argmax(dim=1) == labels).double().mean().item()
        accuracies[when] = quantities(folder)["train_accuracy"], whole
    counted, whole = accuracies["after the epoch"]
    assert counted == pytest.approx(whole)
    counted, same = accuracies["while learning"]
    assert counted != pytest.approx(same)
    assert same == whole, "when it is counted changes nothing of the training"


def test_evaluations_of_an_ode_are_counted_per_batch(tmp_path):
    run = tiny_run(
        model={"name": "shapes_odenet", "arguments": {"filters": 4, "classes": 2}},
        solver={"method": "euler", "step_size": 0.25},
        epochs=1,
        batch_size=11,
    )
    metrics = quantities(tiny_train(tmp_path / "run", run=run, splits=enlarged(tiny_splits(), 12)))
    assert metrics["nfe_forward"] == 4  # one evaluation a step of Euler's method
    assert metrics["nfe_backward"] >= 4


def test_learning_rate_falls_after_each_milestone(trained):
    history = pd.read_csv(trained / "history.csv")
    assert list(history.learning_rate[:4]) == [0.05, 0.025, 0.0125, 0.0125]


def test_loss_that_is_no_number_ends_the_run_with_a_word(tmp_path):
    run = tiny_run(optimizer={"name": "SGD", "arguments": {"lr": 1e30}}, loss="cross_entropy")
    with pytest.raises(TrainingError, match=r"T1 tiny seed 1, epoch 1, iteration \d+: the loss is (nan|inf).*learning"):
        tiny_train(tmp_path / "run", run=run)
    assert list((tmp_path / "run").iterdir()) == []


def test_without_a_terminal_the_log_tells_how_far_it_is(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    for interval in ("REFRESH_SECONDS", "FIRST_LINE_SECONDS", "LINE_SECONDS"):
        monkeypatch.setattr(progress, interval, 0)
    tiny_train(tmp_path / "run")
    assert "T1 tiny seed 1: will take about" in caplog.text
    assert "epoch 2/3, batch 6/6" in caplog.text
    assert "images/s, loss" in caplog.text


def test_permutation_is_one_of_its_own_for_each_seed_and_epoch():
    first = permutation(1, 1, 50)
    assert sorted(first.tolist()) == list(range(50))
    assert torch.equal(first, permutation(1, 1, 50))
    assert not torch.equal(first, permutation(1, 2, 50))
    assert not torch.equal(first, permutation(2, 1, 50))


def test_settings_of_torch_come_back():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with reproducible(seed=1, threads=3):
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (3, True)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_asked_for_in_vain_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no GPU"):
        train(tiny_run(), tiny_splits(), tmp_path, tmp_path / "run.pt", device="cuda")


@pytest.mark.parametrize(("training", "iteration"), [(True, 0), (False, 6)], ids=["training", "test"])
def test_failed_solve_names_the_run_and_the_remedy(tmp_path, monkeypatch, training, iteration):
    original = torch.nn.Flatten.forward

    def fail(self, images):
        if self.training == training:
            raise NonFiniteDerivative("the derivative is not finite", remedy="Take smaller steps", t=0.5)
        return original(self, images)

    monkeypatch.setattr(torch.nn.Flatten, "forward", fail)
    place = f"T1 tiny seed 1, epoch 1, iteration {iteration}"
    with pytest.raises(TrainingError, match=rf"{place}: the derivative .*t = 0.5.*Take smaller steps.*learning rate"):
        tiny_train(tmp_path / "run")
