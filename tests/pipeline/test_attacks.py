"""Q7: attacks stay within their size, follow the slope of the loss, and are counted as what they leave right."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.compute.attacks import (
    attacked_networks,
    attacks,
    gradient,
    gradient_sign,
    projected_descent,
    slope_error,
)
from pipeline.data import ImageSplits
from pipeline.models import build
from pipeline.study import Model, Solver, load_study


class Brightness(nn.Module):
    """Says 1 of an image that is lighter than middle grey in its mean, and 0 of others."""

    def forward(self, images):
        lightness = images.flatten(1).mean(1) - 0.5
        return torch.stack([-lightness, lightness], dim=1)


@pytest.fixture
def images():
    return torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_the_sign_of_the_gradient_is_what_is_known_of_a_network_that_sees_brightness(images):
    changed = gradient_sign(Brightness(), images, torch.ones(6, dtype=torch.int64), 0.1)
    torch.testing.assert_close(changed, (images - 0.1).clamp(0, 1))


@pytest.mark.parametrize("name", ["random signs", "FGSM", "PGD"])
def test_no_attack_changes_a_pixel_by_more_than_its_size_or_leaves_the_range(images, name):
    changed = attacks(4)[name](Brightness(), images, torch.zeros(6, dtype=torch.int64), 0.3)
    assert (changed - images).abs().max() <= 0.3 + 1e-6
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, images)


def test_many_steps_raise_the_loss_of_an_ode_net_more_than_one():
    torch.manual_seed(1)
    network = build(
        Model(name="example_odenet", arguments={"filters": 4}), Solver(method="dopri5", gradient="backprop")
    )
    images, labels = torch.rand(8, 1, 28, 28), torch.arange(8)

    def loss(changed):
        return nn.functional.cross_entropy(network(changed), labels).item()

    once, often = gradient_sign(network, images, labels, 0.2), projected_descent(network, images, labels, 0.2, 20)
    assert loss(images) < loss(once) < loss(often)


def test_a_gradient_that_is_masked_is_found_out(images):
    class Masked(Brightness):
        def forward(self, images):
            return super().forward(0.9 * images.detach() + 0.1 * images)

    labels = torch.zeros(6, dtype=torch.int64)
    assert slope_error(Brightness(), images, labels) < 1e-6
    assert slope_error(Masked(), images, labels) == pytest.approx(9, rel=1e-3)
    assert gradient(Masked(), images, labels).abs().sum() > 0


def test_what_is_left_right_is_told_of_the_images_that_were_right():
    overrides = {"dataset": {"train_images": 32, "test_images": 10}, "model": {"arguments": {"filters": 4}}}
    overrides |= {"epochs": 1, "arguments": {"sizes": [0.1], "steps": 2}}
    study = load_study({"profile": "test", "experiments": ["Q7"], "overrides": {"Q7": overrides}})
    draw = np.random.default_rng(1)
    images = draw.uniform(size=(32, 1, 28, 28)).astype(np.float32)
    labels = draw.integers(2, size=32)
    splits = ImageSplits(images, labels, images[:10], labels[:10], "random numbers", "computed", ("0", "1"))
    tables = attacked_networks(study.run("Q7", "odenet", 1), splits)
    history, metrics = tables["history"].set_index(["series", "size"]), tables["metrics"].set_index("quantity").value
    assert (history.xs(0.0, level="size").accuracy == metrics["test accuracy"]).all()
    assert (history.xs(0.0, level="size").still_right == 100).all()
    assert history.still_right["PGD", 0.1] == metrics["still right, PGD, 0.1"]
    assert history.accuracy["PGD", 0.1] <= history.accuracy["PGD", 0.0]
    assert metrics["slope error"] < 0.01
    assert set(tables["metrics"].data_source) == {"random numbers"}
