"""The stopwatch: how much of a computation its modules take."""

import time

import pytest
import torch
from torch import nn

from pipeline.stopwatch import fastest, share_of


class Slow(nn.Module):
    """The identity, in ten milliseconds forward and twenty backward."""

    class Sleeping(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            time.sleep(0.01)
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            time.sleep(0.02)
            return gradient

    def forward(self, x):
        return self.Sleeping.apply(x)


def test_the_share_of_a_module_counts_both_passes():
    module, x = Slow(), torch.ones(3, requires_grad=True)

    def computation():
        module(x).sum().backward()
        time.sleep(0.03)

    assert share_of([module], computation) == pytest.approx(0.5, abs=0.15)
    assert share_of([], computation) == 0.0
    assert not {**module._forward_hooks, **module._backward_hooks}


def test_the_fastest_of_several_calls_counts():
    naps = iter([0.05, 0.01, 0.05])
    assert 0.01 <= fastest(lambda: time.sleep(next(naps)), repeats=3) < 0.05
