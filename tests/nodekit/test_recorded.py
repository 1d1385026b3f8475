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


def test_a_rejected_step_onto_the_end_is_not_the_last_step():
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    found = []
    for gradient in ("backprop", "checkpoint"):
        solution = nodekit.solve(
            lambda t, y: -(y**3) + 10 * torch.sin(20 * t), y0, [0.0, 0.02, 5.0], gradient=gradient, throw=False,
            options={"first_step": 5.0, "max_num_steps": 5},
        )  # fmt: skip
        assert isinstance(solution.status, nodekit.errors.MaxStepsReached)
        found.append(torch.autograd.grad(solution.y[1].sum(), y0)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint", "interpolated", "reversible"])
def test_a_solve_without_a_step_has_a_status_and_the_gradient_of_its_start(gradient):
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    solution = nodekit.solve(
        lambda t, y: -(y**3) + 10 * torch.sin(20 * t), y0, [0.0, 5.0], gradient=gradient, throw=False,
        options={"first_step": 5.0, "max_num_steps": 1},
    )  # fmt: skip
    assert isinstance(solution.status, nodekit.errors.MaxStepsReached)
    assert solution.stats.accepted == 0
    assert solution.y[1].isnan().all()
    (found,) = torch.autograd.grad(solution.y.nan_to_num().sum(), y0)
    assert found.item() == 1
