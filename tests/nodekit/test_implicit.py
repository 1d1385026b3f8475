"""Implicit steps: solved to the same answer by every solver, differentiated exactly, stable where they should be."""

import pytest
import torch

import nodekit
from nodekit.errors import NewtonDidNotConverge

METHODS = ["implicit_euler", "trapezoid", "ulala_crank_nicolson", "sdirk2", "kvaerno3", "radauIIA5", "gl4", "gl6"]
T = torch.tensor([0.0, 0.7], dtype=torch.float64)


def problem():
    """A nonlinear system with a parameter, and a state, both differentiable."""
    rate = torch.tensor([[-1.0, 0.8], [-0.6, -0.4]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([0.5, -1.2], dtype=torch.float64, requires_grad=True)
    return rate, y0, (lambda t, y: torch.tanh(rate @ y) * (1 + t))


def loss_and_gradients(method, gradient="checkpoint", shift=0.0, **options):
    """Σ y(0.7)² after seven steps, with the gradient by the first component of y0 and by the parameter."""
    rate, y0, func = problem()
    start = y0 + torch.tensor([shift, 0.0], dtype=torch.float64)
    y = nodekit.odeint(func, start, T, method=method, gradient=gradient, options={"step_size": 0.1, **options})
    loss = y[-1].square().sum()
    by_y0, by_rate = torch.autograd.grad(loss, (y0, rate))
    return loss.item(), by_y0, by_rate


@pytest.mark.parametrize("method", METHODS)
def test_exact_gradients_agree_with_each_other_and_with_finite_differences(method):
    _, by_y0, by_rate = loss_and_gradients(method)
    _, by_y0_backprop, by_rate_backprop = loss_and_gradients(method, "backprop")
    torch.testing.assert_close(by_y0, by_y0_backprop, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(by_rate, by_rate_backprop, rtol=1e-10, atol=1e-10)
    step = 1e-5
    difference = (loss_and_gradients(method, shift=step)[0] - loss_and_gradients(method, shift=-step)[0]) / (2 * step)
    assert by_y0[0].item() == pytest.approx(difference, rel=1e-7)


@pytest.mark.parametrize("method", ["implicit_euler", "kvaerno3", "gl4"])
@pytest.mark.parametrize("solver", ["krylov", "fixed_point"])
def test_every_solver_finds_newtons_solution(method, solver):
    expected = loss_and_gradients(method, solver="newton")
    found = loss_and_gradients(method, solver=solver)
    assert found[0] == pytest.approx(expected[0], rel=1e-10)
    torch.testing.assert_close(found[2], expected[2], rtol=1e-8, atol=1e-10)


def test_implicit_euler_decays_at_any_step_where_euler_explodes():
    y0, t, options = (
        torch.ones(1, dtype=torch.float64),
        torch.tensor([0.0, 1.0], dtype=torch.float64),
        {"step_size": 0.1},
    )
    implicit, explicit = (
        nodekit.odeint(lambda t, y: -1e3 * y, y0, t, method=method, options=options)[-1].item()
        for method in ("implicit_euler", "euler")
    )
    assert implicit == pytest.approx(101.0**-10, rel=1e-6)
    assert abs(explicit) > 1e10


def test_equations_without_a_solution_are_a_named_failure():
    # y = 1 + y² has no real root: no implicit Euler step of size one exists from here.
    with pytest.raises(NewtonDidNotConverge, match=r"t = 0, dt = 1.*[Tt]ake smaller steps") as caught:
        nodekit.odeint(lambda t, y: y * y, torch.ones(1, dtype=torch.float64), [0.0, 1.0], method="implicit_euler")
    assert (caught.value.t, caught.value.dt) == (0.0, 1.0)
