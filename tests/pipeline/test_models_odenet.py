"""The ODE-Net is the listing's: its weights, its time channel, its order of layers."""

import pytest
import torch

from pipeline.models import build
from pipeline.models.image_odenet import ConvDerivative
from pipeline.models.time_conv import TimeConv2d
from pipeline.study import ConfigurationError, Model, Solver

IMPLICIT = Solver(method="implicit_euler", step_size=1.0)
EULER = Solver(method="euler", step_size=0.25)


def test_time_conv_equals_the_convolution_of_the_concatenated_channel():
    layer = TimeConv2d(3, 5).double()
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    channel = t.expand(2, 1, 6, 7)
    listed = torch.nn.functional.conv2d(torch.cat((y, channel), dim=1), layer.weight, padding=1)
    ours = layer(t, y)
    torch.testing.assert_close(ours, listed)
    cotangent = torch.randn_like(ours)
    inputs = (t, y, layer.weight)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs, cotangent), torch.autograd.grad(listed, inputs, cotangent), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_derivative_is_normalised_last():
    derivative = ConvDerivative(8)(torch.tensor(0.5), torch.randn(16, 8, 6, 6))
    torch.testing.assert_close(derivative.mean(dim=(0, 2, 3)), torch.zeros(8), atol=1e-5, rtol=0)
    assert derivative.std(dim=(0, 2, 3)).mean().item() == pytest.approx(1, abs=0.05)


def test_without_running_statistics_testing_normalises_as_training_does():
    y = 3 + 2 * torch.randn(16, 8, 6, 6)
    for running_statistics in (False, True):
        derivative = ConvDerivative(8, running_statistics)
        trained = derivative(torch.tensor(0.5), y)
        tested = derivative.eval()(torch.tensor(0.5), y)
        assert torch.allclose(trained, tested, atol=1e-5) != running_statistics


def test_mnist_odenet_has_the_listing_s_weights():
    model = build(Model(name="mnist_odenet"), EULER)
    downsampling = (1 * 64 * 9 + 64) + 2 * (64 * 64 * 16 + 64) + 2 * (64 + 64)
    derivative = 2 * (65 * 64 * 9) + 2 * (64 + 64)
    classifier = (64 + 64) + (64 * 10 + 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == downsampling + derivative + classifier


def test_state_of_the_ode_is_six_by_six():
    model = build(Model(name="mnist_odenet"), EULER)
    assert model.downsampling(torch.zeros(2, 1, 28, 28)).shape == (2, 64, 6, 6)


def test_euler_block_is_the_listing_s_loop():
    model = build(Model(name="shapes_odenet", arguments={"classes": 3}), EULER).eval()
    images = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        z = model.downsampling(images)
        for step in range(4):
            z = z + 0.25 * model.feature.func(torch.tensor(0.25 * step), z)
        listed = model.fc(model.norm(z).mean(dim=(2, 3)))
        torch.testing.assert_close(model(images), listed)
    assert model.feature.nfe_forward == 4
    assert listed.shape == (4, 3)


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_step_with_its_slope_elsewhere_evaluates_once_at_the_later_time_and_the_first_state(part):
    torch.manual_seed(0)
    model = build(Model(name="shapes_odenet", arguments={"filters": 8, "slope_at": part}), EULER).eval()
    images = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        z = model.downsampling(images)
        for step in range(4):
            z = z + 0.25 * model.feature.func.derivative(torch.tensor(0.25 * (step + part)), z)
        torch.testing.assert_close(model(images), model.fc(model.norm(z).mean(dim=(2, 3))))
    assert model.feature.nfe_forward == 4


def test_implicit_steps_are_solved_to_the_tolerance():
    torch.manual_seed(0)
    model = build(Model(name="shapes_odenet", arguments={"filters": 8}), IMPLICIT).eval()
    block = model.feature
    with torch.no_grad():
        y = model.downsampling(torch.randn(4, 1, 28, 28))
        end = block(y)
        # One step of implicit Euler: y1 = y0 + h f(h, y1).
        residual = end - (y + block.func(torch.tensor(1.0), end))
    assert residual.abs().max() <= 10 * IMPLICIT.rtol * end.abs().max()
    assert residual.abs().max() > 0


def test_unknown_method_names_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean 'implicit_euler'"):
        build(Model(name="mnist_odenet"), Solver(method="implict_euler"))
