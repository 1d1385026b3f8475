"""compile=True gives the numbers of the steps that it compiles, and says what it cannot compile."""

import pytest
import torch
from torch import nn

import nodekit


class Oscillator(nn.Module):
    """Two damped oscillators, driven."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.linear.weight.data = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)

    def forward(self, t, y):
        return self.linear(torch.tanh(y)) + torch.sin(t)


Y0 = torch.tensor([[1.0, 0.0], [0.5, -2.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("method", "times", "options"),
    [
        ("dopri5", torch.linspace(0, 3, 11, dtype=torch.float64), None),
        ("rk4", torch.tensor([0.0, 1.0], dtype=torch.float64), {"step_size": 0.25}),
    ],
)
def test_compiled_steps_and_gradients_are_the_eager_ones(method, times, options):
    results = []
    for compile in (False, True):
        layer, y0 = Oscillator(), Y0.clone().requires_grad_()
        given = {"method": method, "rtol": 1e-6, "atol": 1e-6, "options": options, "compile": compile}
        solution = nodekit.solve(layer, y0, times, **given)
        loss = (solution.y * torch.arange(1.0, len(times) + 1, dtype=torch.float64).view(-1, 1, 1)).square().mean()
        results.append([solution.y.detach(), *torch.autograd.grad(loss, [y0, layer.linear.weight])])
        counts = solution.stats.accepted, solution.stats.nfe_forward
        results[-1].append(torch.tensor(counts))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "trapezoid"}, "explicit Runge–Kutta"),
        ({"gradient": "adjoint"}, "gradient='checkpoint'"),
        ({"func": lambda t, y: -y}, "torch.nn.Module"),
        ({"dense": True}, "no events and no dense output"),
        ({"batch": "independent"}, "batch='independent'"),
        ({"rtol": torch.full((2,), 1e-6)}, "tolerances that are numbers"),
    ],
)
def test_what_cannot_be_compiled_is_refused(change, words):
    given = {"func": Oscillator(), "y0": Y0, "t": [0.0, 1.0], "compile": True, **change}
    with pytest.raises(nodekit.errors.UnsupportedCombination, match=words):
        nodekit.solve(given.pop("func"), given.pop("y0"), given.pop("t"), **given)


def test_tensors_that_are_no_parameters_are_refused_in_the_backward_pass():
    layer, weight = Oscillator(), torch.ones((), dtype=torch.float64, requires_grad=True)
    layer.scale = weight  # a plain tensor, no parameter
    layer.forward = lambda t, y: -y * weight
    y = nodekit.odeint(layer, Y0, [0.0, 1.0], compile=True, method="euler", options={"step_size": 1.0})
    with pytest.raises(nodekit.errors.UnsupportedCombination, match="own parameters"):
        y.sum().backward()


def test_random_derivatives_are_refused_before_they_are_solved():
    layer = nn.Sequential()
    layer.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
    layer.forward = lambda t, y: nn.functional.dropout(y * layer.weight, 0.5)
    with pytest.raises(nodekit.errors.UnsupportedCombination, match="random"):
        nodekit.odeint(layer, Y0, [0.0, 1.0], compile=True, method="euler", options={"step_size": 1.0})
