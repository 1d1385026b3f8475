"""The iceberg networks are Keras's own, layer for layer and default for default: Keras 3 builds them beside ours."""

import copy
import os

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pipeline.models import build
from pipeline.study import Model, load_experiments

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="keras is not installed: `uv sync` installs it with the group dev")
layers = keras.layers


def keras_mlp():
    """thind 7.1.2, Keras listing."""
    hidden = [layers.Dense(units=128, activation="relu") for _ in range(4)]
    return keras.Sequential([keras.Input((75, 75)), layers.Flatten(), *hidden, layers.Dense(1, activation="sigmoid")])


def keras_resnet():
    """thind 7.2.2, its listing's calls one by one."""

    def convolved(inputs, filters):
        outputs = layers.Conv2D(filters, kernel_size=(5, 5), padding="same")(inputs)
        return layers.Activation("elu")(layers.BatchNormalization(momentum=0.99)(outputs))

    def residual(inputs):
        outputs = convolved(layers.BatchNormalization(momentum=0.99)(inputs), 128)
        return convolved(layers.Dropout(0.25)(outputs), 64)

    images = keras.Input((75, 75, 3))
    outputs = layers.BatchNormalization(momentum=0.99)(images)
    for filters in (32, 64):
        outputs = layers.Dropout(0.25)(layers.MaxPooling2D((2, 2))(convolved(outputs, filters)))
    shortcut = outputs
    outputs = layers.Add()([residual(shortcut), shortcut])
    outputs = layers.Add()([residual(outputs), shortcut])
    outputs = layers.MaxPooling2D((2, 2))(convolved(outputs, 128))
    for filters in (256, 512):
        outputs = layers.MaxPooling2D((2, 2))(layers.Dropout(0.25)(convolved(outputs, filters)))
    outputs = layers.GlobalMaxPooling2D()(outputs)
    for units in (512, 256):
        outputs = layers.BatchNormalization(momentum=0.99)(layers.Dense(units)(outputs))
        outputs = layers.Dropout(0.5)(layers.Activation("elu")(outputs))
    return keras.Model(images, layers.Dense(2, activation="softmax")(outputs))


NETWORKS = {"iceberg_mlp": keras_mlp, "iceberg_resnet": keras_resnet}
KINDS = {"Conv2D": nn.Conv2d, "Dense": nn.Linear, "BatchNormalization": (nn.BatchNorm1d, nn.BatchNorm2d)}


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request):
    """One of our networks and Keras's, both as they are first drawn."""
    keras.utils.set_random_seed(1)
    theirs = NETWORKS[request.param]()
    return build(Model(name=request.param), None), theirs


def weighted(ours, theirs):
    """Our layers that have weights beside Keras's, in the order in which they are applied."""
    own = [
        module
        for module in ours.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d))
    ]
    return list(zip(own, [layer for layer in theirs.layers if layer.weights], strict=True))


def as_keras(module):
    """A layer's weights in Keras's order and layout."""
    if isinstance(module, nn.Conv2d):
        return [module.weight.permute(2, 3, 1, 0), module.bias]
    if isinstance(module, nn.Linear):
        return [module.weight.T, module.bias]
    return [module.weight, module.bias, module.running_mean, module.running_var]


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def copy_weights(ours, theirs):
    for module, layer in weighted(ours, theirs):
        layer.set_weights([value.detach().numpy() for value in as_keras(module)])


def example(ours, count=6):
    """Images in our layout and in Keras's."""
    channels = 3 if hasattr(ours, "input_cnn") else 1
    images = torch.randn(count, channels, 75, 75, generator=torch.Generator().manual_seed(2))
    return images, array(images.permute(0, 2, 3, 1) if channels == 3 else images[:, 0])


def probabilities(logits):
    return logits.softmax(1) if logits.shape[1] == 2 else logits.sigmoid()


def test_every_layer_has_keras_s_kind_and_number_of_weights(pair):
    for module, layer in weighted(*pair):
        assert isinstance(module, KINDS[type(layer).__name__])
        assert [tuple(value.shape) for value in as_keras(module)] == [tuple(weight.shape) for weight in layer.weights]
    ours, theirs = pair
    assert sum(parameter.numel() for parameter in ours.parameters()) == sum(
        int(np.prod(weight.shape)) for weight in theirs.trainable_weights
    )


def test_initial_weights_are_drawn_as_keras_draws_them(pair):
    for module, layer in weighted(*pair):
        for value, weight in zip(as_keras(module), layer.weights, strict=True):
            own, their = value.detach().numpy().ravel(), array(weight).ravel()
            if np.ptp(their) == 0:  # biases, scales, shifts and moving statistics
                np.testing.assert_array_equal(own, their)
                continue
            limit = np.sqrt(3) * their.std()
            assert np.abs(own).max() == pytest.approx(limit, rel=0.05)
            assert stats.ks_2samp(own[:20000], their[:20000]).pvalue > 1e-4


def test_dropout_elu_and_batch_norm_have_keras_s_numbers(pair):
    ours, theirs = pair
    rates = [module.p for module in ours.modules() if isinstance(module, nn.Dropout)]
    assert rates == [layer.rate for layer in theirs.layers if isinstance(layer, layers.Dropout)]
    for module, layer in weighted(ours, theirs):
        if isinstance(layer, layers.BatchNormalization):
            assert module.eps == pytest.approx(layer.epsilon)
            assert module.momentum == pytest.approx(1 - layer.momentum)
    x = torch.linspace(-3, 3, 25)
    np.testing.assert_allclose(nn.ELU()(x), array(layers.Activation("elu")(x)), atol=1e-6)


def test_the_same_weights_give_the_same_probabilities(pair):
    ours, theirs = copy.deepcopy(pair[0]).eval(), keras.models.clone_model(pair[1])
    draw = torch.Generator().manual_seed(3)
    for module in ours.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):  # moving statistics other than 0 and 1
            module.running_mean.normal_(std=0.2, generator=draw)
            module.running_var.uniform_(0.01, 2.0, generator=draw)
    copy_weights(ours, theirs)
    images, for_keras = example(ours)
    with torch.no_grad():
        np.testing.assert_allclose(
            probabilities(ours(images)).numpy(), array(theirs(for_keras, training=False)), atol=1e-5
        )


def test_one_batch_moves_the_moving_mean_as_keras_moves_it():
    ours = nn.ModuleList([build(Model(name="iceberg_resnet"), None).input_cnn[0]])
    images, for_keras = example(build(Model(name="iceberg_resnet"), None))
    layer = layers.BatchNormalization(momentum=0.99)
    layer(for_keras + 1, training=True)
    ours[0].train()(images + 1)
    np.testing.assert_allclose(ours[0].running_mean, array(layer.moving_mean), atol=1e-6)
    # PyTorch averages the unbiased variance; with 6 · 75² pixels the difference is below 1e-6.
    np.testing.assert_allclose(ours[0].running_var, array(layer.moving_variance), atol=1e-5)


def test_optimizers_and_batches_are_keras_s_defaults():
    known = load_experiments()
    sgd, adam = known["N2"].settings.optimizer, known["N3"].settings.optimizer
    assert (sgd.name, adam.name) == ("SGD", "Adam")
    assert sgd.arguments["lr"] == pytest.approx(float(array(keras.optimizers.SGD().learning_rate)))
    assert sgd.arguments.get("momentum", 0) == keras.optimizers.SGD().momentum
    theirs = keras.optimizers.Adam(learning_rate=0.001)
    own = torch.optim.Adam([torch.zeros(1, requires_grad=True)], **adam.arguments).defaults
    assert own["lr"] == pytest.approx(0.001)
    assert own["betas"] == pytest.approx((theirs.beta_1, theirs.beta_2))
    assert own["eps"] == pytest.approx(theirs.epsilon)
    assert known["N2"].settings.batch_size == known["N3"].settings.batch_size == 32
