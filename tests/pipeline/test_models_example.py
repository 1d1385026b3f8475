"""The example's networks have its layers, sizes and parameters, and Chen et al.'s counts where they give them."""

import pytest
import torch

from pipeline.models import build
from pipeline.models.example_networks import GroupNormDerivative, PreActivationBlock, ResidualBlocks
from pipeline.study import ConfigurationError, Model, Solver, load_study

DOPRI5 = Solver(method="dopri5")


def test_odenet_has_the_example_s_weights():
    # github.com/rtqichen/torchdiffeq, examples/odenet_mnist.py, layer by layer.
    downsampling = (9 * 64 + 64) + 2 * (64 * 64 * 16 + 64) + 2 * 128
    derivative = 2 * (65 * 64 * 9 + 64) + 3 * 128
    model = build(Model(name="example_odenet"), DOPRI5)
    assert sum(parameter.numel() for parameter in model.parameters()) == downsampling + derivative + 128 + 650


@pytest.mark.parametrize(("variant", "millions"), [("mlp", 0.24), ("resnet", 0.60), ("rknet", 0.22), ("odenet", 0.22)])
def test_parameters_are_the_published_ones(variant, millions):
    settings = load_study({"profile": "test", "experiments": ["M2"]}).run("M2", variant, 1).settings
    model = build(settings.model, settings.solver)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("downsampling", "size"), [("conv", 6), ("res", 7), ("res_without_projection", 7)])
def test_images_are_halved_twice(downsampling, size):
    model = build(Model(name="example_odenet", arguments={"downsampling": downsampling, "filters": 4}), DOPRI5)
    assert model.downsampling(torch.zeros(2, 1, 28, 28)).shape == (2, 4, size, size)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_unknown_downsampling_is_answered_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="conv, res"):
        build(Model(name="example_odenet", arguments={"downsampling": "pool"}), DOPRI5)


def test_derivative_treats_each_image_by_itself():
    derivative, y, t = GroupNormDerivative(8), torch.randn(5, 8, 6, 6), torch.tensor(0.3)
    torch.testing.assert_close(derivative(t, y)[2:3], derivative(t, y[2:3]))


def test_block_without_convolutions_is_its_shortcut():
    block = PreActivationBlock(4, stride=2, projection=False)
    torch.nn.init.zeros_(block.conv2.weight)
    y = torch.randn(2, 4, 7, 7)
    assert torch.equal(block(y), y[..., ::2, ::2])


def test_residual_blocks_that_share_their_weights_are_six_euler_steps():
    blocks = ResidualBlocks(8)
    shared = blocks.derivatives[0]
    for derivative in blocks.derivatives:
        derivative.load_state_dict(shared.state_dict())
    y = z = torch.randn(2, 8, 6, 6)
    for step in range(6):
        z = z + shared(torch.tensor(step / 6), z)
    torch.testing.assert_close(blocks(y), z)
