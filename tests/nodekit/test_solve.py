"""Solutions against analytic ones."""

import math

import pytest
import torch

import nodekit

# Enough steps for the leading term of the error, too few for rounding to show.
STEPS = {1: (32, 48), 2: (192, 256), 3: (64, 96), 4: (192, 256), 5: (48, 64), 6: (24, 32), 8: (16, 20)}


def logistic(t):
    return 1 / (1 + math.exp(-t))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    "method", [name for name, method in nodekit.METHODS.items() if method.fixed and not method.pairs]
)
def test_every_method_has_the_order_it_declares(method, direction):
    """The slope of log error over log step, on y' = y(1 − y), or y' = 1 + y² whose error stays above rounding."""
    order = nodekit.METHODS[method].order
    func, solution, end = (lambda t, y: y * (1 - y), logistic, 3.0)
    if order == 8 or method == "kvaerno3":  # whose leading error nearly cancels on the first
        func, solution, end = (lambda t, y: 1 + y * y, math.tan, 1.2)
    t = torch.tensor([0.0, direction * end], dtype=torch.float64)
    y0 = torch.tensor([solution(0.0)], dtype=torch.float64)
    errors = []
    for n in STEPS[order]:
        y = nodekit.solve(func, y0, t, method=method, options={"step_size": end / n}).y
        errors.append(abs(y[-1].item() - solution(direction * end)))
    few, many = STEPS[order]
    assert math.log(errors[0] / errors[1]) / math.log(many / few) == pytest.approx(order, abs=0.1)


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
    assert layer.nfe_backward == 0  # all graphs are kept


def test_a_layer_that_carries_its_first_step_saves_evaluations_and_keeps_its_tolerance():
    def slope(t, y):
        return torch.stack([y[1], -100 * y[0]])

    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    layer = nodekit.NeuralODE(slope, t=(0.0, 0.2), rtol=1e-6, atol=1e-6, carry_first_step=True)
    first = layer(y0)
    evaluations = layer.nfe_forward
    again = layer(y0)
    assert layer.nfe_forward < evaluations
    exact = torch.tensor([math.cos(2.0), -10 * math.sin(2.0)], dtype=torch.float64)
    for y in (first, again):
        torch.testing.assert_close(y, exact, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated", "reversible"])
@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_each_call_of_a_layer_has_arguments_of_its_own(gradient, batch):
    """y' = −u y: of y(1) = exp(−u), the sum over two controls u before one backward pass."""
    if batch == "independent" and gradient not in ("checkpoint", "backprop"):
        pytest.skip("refused by name")
    layer = nodekit.NeuralODE(
        lambda t, y, u: -u * y, rtol=1e-9, atol=1e-9, gradient=gradient, batch=batch,
        args=(torch.zeros(1, 1, dtype=torch.float64),),
    )  # fmt: skip
    y0, u = torch.ones(1, 1, dtype=torch.float64), torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    total = layer(y0, args=(u,)) + layer(y0, args=(3 * u,))
    torch.testing.assert_close(total, torch.exp(-u) + torch.exp(-3 * u), rtol=1e-7, atol=0)
    (found,) = torch.autograd.grad(total.sum(), u)
    torch.testing.assert_close(found, (-torch.exp(-u) - 3 * torch.exp(-3 * u)).detach(), rtol=1e-6, atol=0)
    torch.testing.assert_close(layer(y0), y0)  # those of the layer itself


def test_given_steps_suggest_no_first_step():
    layer = nodekit.NeuralODE(lambda t, y: -y, method="euler", options={"step_size": 0.5}, carry_first_step=True)
    for _ in range(2):
        torch.testing.assert_close(layer(torch.ones(2)), torch.full((2,), 0.25))


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5", "trapezoid", "explicit_adams"])
def test_whole_numbers_are_times(method):
    """y' = t."""
    y = nodekit.odeint(lambda t, y: t.expand(1), torch.zeros(1), torch.arange(3), method=method)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y[:, 0], torch.tensor([0.0, 0.0, 1.0] if method == "euler" else [0.0, 0.5, 2.0]))


@pytest.mark.parametrize("args", [2.0, torch.tensor([2.0, 3.0]), {"a": 2.0}])
def test_arguments_that_are_no_tuple_are_refused(args):
    with pytest.raises(nodekit.errors.InvalidDerivative, match=r"args must be a tuple.*args=\(a,\)"):
        nodekit.solve(lambda t, y, a: -a * y, torch.ones(1), [0.0, 1.0], args=args)
