"""Adams methods: orders, steps that differ, dense output, gradients."""

import math

import numpy as np
import pytest
import torch

import nodekit
from nodekit._methods.multistep import adams_weights

ADAMS = ("explicit_adams", "implicit_adams")


def growth(t, y):
    return y * math.cos(t)


def exact(t):
    return np.exp(np.sin(t))


def measured_order(few, many, ratio):
    return math.log(few / many) / math.log(ratio)


def test_weights_are_those_of_the_tables():
    """Adams–Bashforth and Adams–Moulton of order 4 (Hairer, Nørsett & Wanner I, section III.1)."""
    explicit = [weight for _, weight in adams_weights((0.0, -1.0, -2.0, -3.0))]
    implicit = [weight for _, weight in adams_weights((1.0, 0.0, -1.0, -2.0))]
    assert np.multiply(explicit, 24) == pytest.approx([55, -59, 37, -9])
    assert np.multiply(implicit, 24) == pytest.approx([9, 19, -5, 1])


@pytest.mark.parametrize("method", ADAMS)
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6, 8])
def test_max_order_is_the_order_of_every_output(method, order):
    """At the steps and between them."""
    errors, counts = [], (96, 192) if order < 5 else (40, 56)
    for n in counts:
        h = 2 / n
        t = [0.0, *(h * (i + theta) for i in range(n) for theta in (0.21, 0.5, 0.83)), 2.0]
        y = nodekit.odeint(growth, 1.0, t, method=method, options={"step_size": h, "max_order": order})
        errors.append(np.abs(y - exact(t)).max())
    assert measured_order(*errors, counts[1] / counts[0]) == pytest.approx(order, abs=0.45)


@pytest.mark.parametrize("method", ADAMS)
def test_steps_may_differ_in_size(method):
    errors = []
    for n in (128, 256):

        def grid(func, y0, t, n=n):
            inner = np.arange(1, n)
            return torch.tensor([0.0, *(2 * (inner + 0.3 * np.sin(inner)) / n), 2.0])

        y = nodekit.odeint(
            growth, np.array(1.0), np.array([0.0, 2.0]), method=method, options={"grid_constructor": grid}
        )
        errors.append(abs(y[-1] - exact(2.0)))
    assert measured_order(*errors, 2) == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize(("method", "evaluations"), [("explicit_adams", 1), ("implicit_adams", 3)])
def test_a_step_costs_one_evaluation_and_one_for_each_correction(method, evaluations):
    many, few = (
        nodekit.solve(growth, 1.0, [0.0, 1.0], method=method, options={"step_size": 1 / n}).stats.nfe_forward
        for n in (60, 50)
    )
    assert many - few == 10 * evaluations
    options = {"step_size": 0.02, "max_iters": 1} if evaluations > 1 else {"step_size": 0.02}
    assert nodekit.solve(growth, 1.0, [0.0, 1.0], method=method, options=options).stats.nfe_forward < 50 * 2 + 15


@pytest.mark.parametrize("method", ADAMS)
def test_gradients_of_adams_steps_agree_with_each_other_and_with_differences(method):
    w = torch.tensor([[0.3, -1.0], [1.2, 0.1]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
    t = [0.0, 0.33, 1.0]

    def solve(y0, w, gradient="checkpoint"):
        def slope(t, y):
            return torch.sin(y @ w) * (1 + t)

        return nodekit.odeint(
            slope, y0, t, method=method, options={"step_size": 0.05}, gradient=gradient, params=(w,)
        )  # fmt: skip

    assert torch.autograd.gradcheck(solve, (y0, w))
    assert torch.autograd.gradgradcheck(solve, (y0, w))
    found = {
        gradient: torch.autograd.grad(solve(y0, w, gradient).square().sum(), (y0, w))
        for gradient in ("backprop", "checkpoint", "adjoint")
    }
    for part, same, continuous in zip(*found.values(), strict=True):
        torch.testing.assert_close(same, part, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(continuous, part, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{"max_order": 0}, {"max_order": 13}, {"max_iters": 0}])
def test_orders_out_of_range_are_refused(options):
    with pytest.raises(nodekit.errors.InvalidOption, match="max_"):
        nodekit.odeint(growth, 1.0, [0.0, 1.0], method="implicit_adams", options={"step_size": 0.1, **options})
