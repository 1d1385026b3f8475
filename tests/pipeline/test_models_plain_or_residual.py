"""Plain and residual networks differ by their shortcuts alone."""

import pytest
import torch

from pipeline.models.plain_or_residual import ConvPair, plain_or_residual
from pipeline.study import ConfigurationError


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_depth_counts_the_layers_with_weights(depth):
    layers = plain_or_residual(depth, residual=True).modules()
    assert sum(isinstance(layer, torch.nn.Conv2d | torch.nn.Linear) for layer in layers) == depth


def test_odd_depth_is_refused():
    with pytest.raises(ConfigurationError, match="depth 9"):
        plain_or_residual(9, residual=False)


def test_the_same_seed_gives_both_kinds_the_same_weights():
    kinds = []
    for residual in (False, True):
        torch.manual_seed(3)
        kinds.append(plain_or_residual(8, residual).state_dict())
    plain, residual = kinds
    assert plain.keys() == residual.keys()
    assert all(torch.equal(plain[name], residual[name]) for name in plain)


def test_a_pair_whose_convolutions_are_zero_is_the_identity_only_with_its_shortcut():
    y = torch.rand(2, 4, 5, 5)
    for residual, expected in ((True, y), (False, torch.zeros_like(y))):
        pair = ConvPair(4, residual)
        torch.nn.init.zeros_(pair.conv2.weight)
        torch.testing.assert_close(pair(y), expected)


def test_weights_keep_the_deviation_through_depth():
    """He et al. (2015), eq. 10: the variance of the weights is 2 / fan in."""
    torch.manual_seed(0)
    network = plain_or_residual(20, residual=False)
    assert network[3].conv1.weight.var().item() == pytest.approx(2 / (16 * 9), rel=0.1)
