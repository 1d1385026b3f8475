"""The study's networks train on a device that the host waits for: a stand-in's, on machines without a GPU."""

import logging
from unittest import mock

import numpy as np
import pytest
import torch
from tiny_training import tiny_run
from torch import nn

from pipeline.data import ImageSplits
from pipeline.models import build
from pipeline.runs.devices import make_fabric
from pipeline.runs.progress import Progress
from pipeline.runs.reproducible import reproducible
from pipeline.train import loop
from tests.stand_in_device import stand_in

EULER, DOPRI5 = {"method": "euler", "step_size": 0.25}, {"method": "dopri5", "gradient": "checkpoint"}
#: of experiments: network, its arguments, the shape of an image, the solver
NETWORKS = {
    "mlp": ("iceberg_mlp", {"pixels": 48, "hidden": 8, "depth": 2}, (3, 4, 4), None),
    "resnet": ("plain_or_residual", {"depth": 6, "residual": True, "filters": 4, "classes": 2}, (1, 12, 12), None),
    "iceberg resnet": ("iceberg_resnet", {}, (3, 75, 75), None),
    "example resnet": ("example_resnet", {"filters": 4, "classes": 2}, (1, 28, 28), None),
    "ode net, fixed": ("shapes_odenet", {"filters": 4, "classes": 2}, (1, 12, 12), EULER),
    "ode net, adaptive": ("shapes_odenet", {"filters": 4, "classes": 2}, (1, 12, 12), DOPRI5),
}


def training_of(device, network, solver=None):
    """A training of two batches of four images on a device, before its first."""
    name, arguments, shape, usual = NETWORKS[network]
    random, labels = np.random.default_rng(5), np.arange(12) % 2
    images = random.normal(labels[:, None, None, None], size=(12, *shape)).astype(np.float32)
    parts = images[:8], labels[:8], images[8:], labels[8:]
    splits = ImageSplits(*parts, "random numbers", "computed", ("dark", "bright"))
    loss = "binary_cross_entropy" if name.startswith("iceberg") else "cross_entropy"
    model = {"name": name, "arguments": arguments}
    run = tiny_run(model=model, solver=solver or usual, loss=loss, epochs=1, schedule=None, augmentation=[])

    def built(*settings):
        """On the device from the beginning: the stand-in makes new parameters when it moves a module, CUDA does not."""
        network = build(*settings).to(device)
        for dropout in (module for module in network.modules() if isinstance(module, nn.Dropout)):
            dropout.p = 0.0  # devices draw differently
        return network

    with mock.patch.object(loop, "build", built):
        return loop.Training(make_fabric(device, 1, "32-true"), run, splits, None, "32-true", 1000)


def trained(device, network):
    """The same, after an epoch and its test."""
    with reproducible(1, 1):
        training = training_of(device, network)
        with Progress("", 8, 0, False, logging.getLogger()) as training.progress:
            training.train_epoch()
            training.test_epoch()
    return training


@pytest.mark.parametrize("network", NETWORKS)
def test_an_epoch_on_a_device_is_that_on_the_cpu(network):
    expected = trained("cpu", network)
    with stand_in():
        found = trained("cuda", network)
        weights = [parameter.detach().cpu() for parameter in found.network.parameters()]
    assert found.record.losses == pytest.approx(expected.record.losses, rel=1e-4)
    for column, value in expected.record.history[-1].items():
        assert found.record.history[-1][column] == (value and pytest.approx(value, rel=1e-3))
    torch.testing.assert_close(weights, [p.detach() for p in expected.network.parameters()], rtol=1e-2, atol=1e-3)


def waits(network, solver=None):
    """How often a training step waits for the device, but for its progress and its augmentation."""
    with stand_in() as device:
        training = training_of("cuda", network, solver)
        images, labels = training.train_images[:4], training.train_labels[:4]
        device.forget()
        training.train_batch(images, labels)
        return device.syncs


@pytest.mark.parametrize("network", ["mlp", "resnet", "iceberg resnet", "example resnet"])
def test_a_training_step_without_an_ode_waits_for_nothing(network):
    assert waits(network) == 0


@pytest.mark.parametrize(("gradient", "times"), [("adjoint", 6), ("checkpoint", 3), ("backprop", 3)])
def test_a_training_step_waits_as_often_however_many_steps_its_ode_has(gradient, times):
    solvers = [{"method": "rk4", "step_size": size, "gradient": gradient} for size in (0.5, 0.125)]
    assert [waits("ode net, fixed", solver) for solver in solvers] == [times, times]
