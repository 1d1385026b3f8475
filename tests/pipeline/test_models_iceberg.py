"""The iceberg networks have the layers, the initial values and the numbers of weights that Keras's would have."""

import math

import pytest
import torch
from torch import nn

from pipeline.models import build
from pipeline.models.keras_defaults import batch_norm_2d, conv_2d, dense
from pipeline.study import Model


def trainable(model):
    return sum(parameter.numel() for parameter in model.parameters())


def non_trainable(model):
    return sum(buffer.numel() for name, buffer in model.named_buffers() if not name.endswith("num_batches_tracked"))


def test_mlp_has_the_listing_s_weights():
    model = build(Model(name="iceberg_mlp"), None)
    assert trainable(model) == (5625 * 128 + 128) + 3 * (128 * 128 + 128) + (128 + 1)
    assert model(torch.zeros(2, 1, 75, 75)).shape == (2, 1)


def test_resnet_has_the_listing_s_weights_layer_by_layer():
    def conv(inputs, outputs):
        return 5 * 5 * inputs * outputs + outputs

    # Keras's BatchNormalization: gamma and beta are trainable, moving mean and moving variance are not.
    convolutions = [
        conv(3, 32), conv(32, 64),  # input_CNN
        conv(64, 128), conv(128, 64),  # first residual
        conv(64, 128), conv(128, 64),  # second residual
        conv(64, 128), conv(128, 256), conv(256, 512),  # top_CNN
    ]  # fmt: skip
    normalised = [
        3, 32, 64,  # the input itself and input_CNN
        64, 128, 64,  # first residual: its input, then after each convolution
        64, 128, 64,  # second residual
        128, 256, 512,  # top_CNN
        512, 256,  # output
    ]  # fmt: skip
    dense_layers = [512 * 512 + 512, 512 * 256 + 256, 256 * 2 + 2]

    model = build(Model(name="iceberg_resnet"), None)
    assert trainable(model) == sum(convolutions) + sum(dense_layers) + 2 * sum(normalised)
    assert non_trainable(model) == 2 * sum(normalised)


def test_resnet_s_sizes_follow_the_listing():
    model = build(Model(name="iceberg_resnet"), None).eval()
    sizes = {}
    for name, layer in model.named_modules():
        layer.register_forward_hook(lambda _, __, output, name=name: sizes.update({name: tuple(output.shape[1:])}))
    model(torch.zeros(2, 3, 75, 75))
    assert sizes["input_cnn"] == (64, 18, 18)  # 75 → 37 → 18, "valid" pooling drops the odd row
    assert sizes["first_residual"] == sizes["second_residual"] == (64, 18, 18)
    assert sizes["top_cnn"] == (512,)  # 18 → 9 → 4 → 2, then the global maximum
    assert sizes[""] == (2,)


def test_second_residual_adds_input_cnn_again():
    model = build(Model(name="iceberg_resnet"), None).eval()
    images = torch.rand(2, 3, 75, 75)
    seen = {}
    model.top_cnn.register_forward_pre_hook(lambda _, inputs: seen.update(top=inputs[0]))
    nn.init.zeros_(model.second_residual[-2].weight)  # the last normalisation's scale: the second block adds nothing
    model(images)
    torch.testing.assert_close(seen["top"], model.input_cnn(images))


def test_resnet_drops_out_where_listed():
    model = build(Model(name="iceberg_resnet"), None)
    rates = [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5]


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [(dense(300, 200), 300, 200), (conv_2d(16, 32, 5), 16 * 25, 32 * 25)],
    ids=["dense", "conv_2d"],
)
def test_weights_are_glorot_uniform_and_biases_zero(layer, fan_in, fan_out):
    limit = math.sqrt(6 / (fan_in + fan_out))
    assert layer.weight.abs().max() <= limit
    assert layer.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
    assert torch.count_nonzero(layer.bias) == 0


def test_batch_norm_moves_by_one_percent():
    layer = batch_norm_2d(1)
    layer(torch.tensor([10.0, 30.0]).view(2, 1, 1, 1))
    assert layer.running_mean.item() == pytest.approx(0.01 * 20)
    assert layer.eps == 1e-3
