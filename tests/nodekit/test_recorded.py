"""What "checkpoint" keeps of the forward pass is neither evaluated again nor different from what would be."""

import pytest
import torch

import nodekit

TIMES = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)


def solved(layer, y0, method, step_size, **more):
    options = {"step_size": step_size} if step_size else None
    return nodekit.solve(layer, y0, TIMES, method=method, options=options, rtol=1e-3, atol=1e-3, **more)


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, t, y):
        return torch.tanh(self.linear(y)) * (1 + t)


@pytest.mark.parametrize(("method", "step_size"), [("euler", 1.0), ("euler", 0.25), ("rk4", 0.25), ("dopri5", None)])
def test_start_and_last_step_are_not_evaluated_again(method, step_size):
    layer, y0 = Layer(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    solution = solved(layer, y0, method, step_size)
    solution.y.sum().backward()
    stages = {"euler": 1, "rk4": 4, "dopri5": 6}[method]
    steps = solution.stats.accepted
    between = max(steps - 2, 0) * stages
    first = stages - 1 if steps > 1 else 0  # its first slope is kept
    first += method == "dopri5" and steps > 1  # first same as last: its last slope is the next step's first
    assert solution.stats.nfe_backward == between + first


@pytest.mark.parametrize("step_size", [1.0, 0.25])
def test_a_second_backward_pass_gives_the_same_gradient(step_size):
    layer, y0 = Layer(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    loss = solved(layer, y0, "midpoint", step_size).y.square().sum()
    first = torch.autograd.grad(loss, [y0, *layer.parameters()], retain_graph=True)
    second = torch.autograd.grad(loss, [y0, *layer.parameters()])
    exact = solved(layer, y0, "midpoint", step_size, gradient="backprop").y.square().sum()
    third = torch.autograd.grad(exact, [y0, *layer.parameters()])
    for one, two, three in zip(first, second, third, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, rtol=1e-12, atol=1e-12)
