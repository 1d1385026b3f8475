"""homework's five models of CIFAR-10: what each adds to the one before, counted in weights and seen in what it does."""

import pytest
import torch

from pipeline.models import build
from pipeline.models.cifar_odenet import Normalize, cifar_odenet
from pipeline.study import Solver, load_study

EULER = Solver(method="euler", step_size=1.0)


def weights(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def configured():
    """The model of each configuration as the experiment has it, and its settings."""
    study = load_study({"profile": "test", "experiments": ["M5"]})
    runs = [run for run in study.runs("M5") if run.seed == 1]
    return {run.variant: (build(run.settings.model, run.settings.solver), run.settings) for run in runs}


def test_baseline_is_the_example_with_three_channels(configured):
    convolutions = (3 * 64 * 9 + 64) + 2 * (64 * 64 * 16 + 64)
    derivative = 2 * (65 * 64 * 9 + 64)
    norms = 2 * 64 * (2 + 3 + 1)
    assert weights(configured["baseline"][0]) == convolutions + derivative + norms + (64 * 10 + 10)


def test_what_each_configuration_adds(configured):
    counts = {name: weights(model) for name, (model, _) in configured.items()}
    # A convolution of three channels, normalised, whose 64 filters the next one takes; a dense layer.
    first = (3 * 64 * 9 + 64) + 2 * 64 + (64 - 3) * 64 * 9
    assert counts["extra_layer"] - counts["baseline"] == first + (64 * 64 + 64)
    assert counts["adam"] - counts["extra_layer"] == (64 * 64 * 9 + 64) + 2 * 64
    assert counts["augmentation"] == counts["adam"]


def test_optimizers_and_augmentations_are_the_documents(configured):
    settings = {name: chosen for name, (_, chosen) in configured.items()}
    assert settings["adam"].optimizer.model_dump() == {"name": "Adam", "arguments": {"lr": 0.001}}
    assert settings["residual_dopri5"].optimizer.arguments == {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    steps = [step.name for step in settings["residual_dopri5"].augmentation]
    assert steps == ["RandomCrop", "RandomHorizontalFlip", "ColorJitter"]
    assert settings["residual_dopri5"].solver.method == "dopri5"
    assert [chosen.epochs for chosen in settings.values()] == [160, 160, 160, 200, 300, 100]


def test_images_are_normalised_channel_by_channel():
    images = torch.rand(2, 3, 4, 4)
    ours = Normalize((0.1, 0.2, 0.3), (0.5, 1.0, 2.0))(images)
    torch.testing.assert_close(ours[1, 2], (images[1, 2] - 0.3) / 2)
    torch.testing.assert_close(ours[0, 0], (images[0, 0] - 0.1) / 0.5)


@pytest.mark.parametrize("downsampling", ["conv", "res"])
def test_extra_convolutions_keep_the_size_and_dropout_is_for_training_only(downsampling):
    torch.manual_seed(0)
    model = cifar_odenet(EULER, filters=4, downsampling=downsampling, convolutions=2, hidden_layers=1, dropout=0.5)
    images = torch.rand(3, 3, 32, 32)
    before = model[:-1](images)
    assert before.shape == (3, 4, 32, 32)
    assert model(images).shape == (3, 10)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))
