"""The stopwatch, by a clock that only the computations move."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline.runs import stopwatch
from pipeline.runs.stopwatch import fastest, share_of


@pytest.fixture
def clock(monkeypatch):
    """Its `now` is in seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


class Slow(nn.Module):
    """The identity, in one second forward and two backward."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def forward(self, x):
        return Taking.apply(x, self.clock)


class Taking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, clock):
        ctx.clock = clock
        clock.now += 1
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.clock.now += 2
        return gradient, None


def test_the_share_of_a_module_counts_both_passes(clock):
    module, x = Slow(clock), torch.ones(3, requires_grad=True)

    def computation():
        module(x).sum().backward()
        clock.now += 3

    assert share_of([module], computation) == pytest.approx(0.5)
    assert share_of([], computation) == 0.0
    assert not {**module._forward_hooks, **module._backward_hooks}


def test_the_fastest_of_several_calls_counts(clock):
    seconds = iter([5, 1, 3])

    def computation():
        clock.now += next(seconds)

    assert fastest(computation, repeats=3) == 1
