"""Solutions against analytic ones."""

import math

import pytest
import torch

import nodekit


@pytest.mark.parametrize("method", nodekit.METHODS)
@pytest.mark.parametrize("direction", [1, -1])
def test_every_method_has_the_order_it_declares(method, direction):
    """The logistic equation; the slope of log error over log step is the order."""
    end = direction * 3.0
    t, y0 = torch.tensor([0.0, end], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    order = nodekit.METHODS[method].order
    steps = [96, 128] if order < 8 else [8, 12]  # beyond, dopri8 meets rounding
    errors = []
    for n in steps:
        y = nodekit.odeint(lambda t, y: y * (1 - y), y0, t, method=method, options={"step_size": 3 / n})
        errors.append(abs(y[-1].item() - 1 / (1 + math.exp(-end))))
    slope = math.log(errors[0] / errors[1]) / math.log(steps[1] / steps[0])
    assert slope == pytest.approx(order, abs=0.1)


def test_the_adaptive_error_follows_the_tolerance():
    t, y0 = torch.linspace(0, 10, 33, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    exact = torch.stack([torch.cos(t), -torch.sin(t)], dim=1)
    for tolerance in (1e-4, 1e-7, 1e-10):
        y = nodekit.odeint(lambda t, y: torch.stack([y[1], -y[0]]), y0, t, rtol=tolerance, atol=tolerance)
        assert (y - exact).abs().max() < 20 * tolerance


def test_the_layer_counts_its_evaluations():
    layer = nodekit.NeuralODE(torch.nn.Linear(2, 2).forward, method="euler", options={"step_size": 0.05})
    layer.func = lambda t, y: -y
    y = layer(torch.ones(3, 2, requires_grad=True))
    assert layer.nfe_forward == 20
    torch.testing.assert_close(y, torch.full((3, 2), 0.95**20))
    y.sum().backward()
    assert layer.nfe_backward == 20
