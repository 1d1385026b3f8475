"""jump_t: adaptive steps begin behind a jump of the slope, wherever it lies."""

import math

import pytest
import torch

import nodekit

Y0 = torch.zeros(1, dtype=torch.float64)


def cosine(t, y):
    return torch.cos(t) * torch.ones_like(y)


def jumps_at_the_ends(t, y):
    return torch.where((t > 0) & (t < 1), 1.0, 100.0) * cosine(t, y)


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "trbdf2", "kvaerno3", "dopri8"])
@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 0.3, 1.0], [1.0, 0.0]])
def test_jumps_at_the_ends_cost_no_steps(method, times):
    given = {"method": method, "rtol": 1e-6, "atol": 1e-6}
    smooth = nodekit.solve(cosine, Y0, times, **given)
    solution = nodekit.solve(jumps_at_the_ends, Y0, times, options={"jump_t": [0.0, 1.0]}, **given)
    torch.testing.assert_close(solution.y, smooth.y, rtol=1e-9, atol=1e-9)
    assert solution.stats.accepted == smooth.stats.accepted
    assert solution.stats.rejected == smooth.stats.rejected
    attempts = solution.stats.accepted + solution.stats.rejected
    assert solution.stats.nfe_forward <= smooth.stats.nfe_forward + 3 + attempts // 2


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated"])
def test_gradients_begin_behind_a_jump_too(gradient):
    """y' = a cos(t) from 0 to 1, and b at both ends alone, by which y does not change."""
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)

    def func(t, y, a, b):
        return torch.where((t > 0) & (t < 1), a, b) * cosine(t, y)

    solution = nodekit.solve(
        func, Y0, [0.0, 1.0], options={"jump_t": [0.0, 1.0]}, args=(a, b), gradient=gradient, rtol=1e-9
    )
    found = torch.autograd.grad(solution.y[-1].sum(), [a, b], allow_unused=True)
    assert found[0].item() == pytest.approx(math.sin(1.0), rel=1e-6)
    assert found[1].item() == 0.0
    assert solution.stats.nfe_backward < 150


def test_second_derivatives_begin_behind_a_jump_too():
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return torch.where(t > 0, a, 100 * a) * torch.ones_like(y)

    y = nodekit.odeint(func, Y0, [0.0, 1.0], options={"jump_t": [0.0]}, params=[a])[-1]
    (first,) = torch.autograd.grad(y.square().sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first, a)
    assert (first.item(), second.item()) == pytest.approx((2.0, 2.0), rel=1e-9)


def test_a_jump_on_the_way_to_an_event_is_stepped_over():
    """y' = 1 up to t = 0.5 and 2 from there: y = 2 at t = 1.25."""
    solution = nodekit.solve(
        lambda t, y: torch.where(t > 0.5, 2.0, 1.0) + 0 * t * y, Y0, [0.0, math.inf],
        options={"jump_t": [0.5]}, events=[lambda t, y: y - 2],
    )  # fmt: skip
    assert solution.events.t.item() == pytest.approx(1.25, rel=1e-9)


def test_the_slope_behind_a_jump_at_the_start_is_evaluated_once():
    plain, jumping = (
        nodekit.solve(lambda t, y: -y, Y0, [0.0, 1.0], options={"jump_t": jumps}).stats.nfe_forward
        for jumps in ([], [0.0])
    )
    assert jumping == plain


@pytest.mark.parametrize("method", ["kvaerno3", "kvaerno5", "radauIIA5", "dopri5"])
@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_parameters_that_act_between_jumps_have_the_gradient_of_what_lies_between(method, gradient):
    """One stage of kvaerno5 lies ahead of the step's end; the gradient's quadrature keeps to the step."""
    dose = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return (dose if t > 0.3 else 0 * dose) - (y if t <= 0.7 else 0 * y)

    options = {"jump_t": [0.3, 0.7]}
    y = nodekit.odeint(func, Y0, [0.0, 1.0], rtol=1e-7, atol=1e-7, method=method, gradient=gradient, options=options)
    y[-1].sum().backward()
    assert dose.grad.item() == pytest.approx(1 - math.exp(-0.4) + 0.3, abs=1e-6)


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_the_gradient_by_when_the_slope_jumps_is_refused(batch):
    rate, jump = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.5, 0.7))
    options = {"jump_t": jump.reshape(1)}
    y0 = torch.zeros(1, 1, dtype=torch.float64)

    def solved():
        return nodekit.solve(
            lambda t, y: torch.where(t < jump, rate, 0 * y), y0, [0.0, 2.0], options=options, batch=batch
        )

    (by_rate,) = torch.autograd.grad(solved().y[-1].sum(), rate)
    assert by_rate.item() == pytest.approx(0.7, rel=1e-6)
    with pytest.raises(nodekit.errors.GradientUnavailable, match=r"jump_t.*Event\("):
        solved().y[-1].sum().backward()
    solved().y[0].sum().backward()  # it does not depend on the jump


def test_the_gradient_by_a_grid_is_refused():
    points = torch.tensor([0.0, 0.4, 1.0], requires_grad=True)
    with pytest.raises(nodekit.errors.GradientUnavailable, match="grid_constructor"):
        nodekit.odeint(
            lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1.0]), method="rk4",
            options={"grid_constructor": lambda func, y0, t: points},
        )  # fmt: skip


def test_a_grid_made_of_the_times_leaves_their_gradient():
    t = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    options = {
        "grid_constructor": lambda func, y0, t: torch.linspace(t[0].item(), t[-1].item(), 41).double() + 0 * t[0]
    }
    y = nodekit.odeint(lambda t, y: -y, torch.ones(1, dtype=torch.float64), t, method="rk4", options=options)
    assert torch.autograd.grad(y[-1].sum(), t)[0][-1].item() == pytest.approx(-math.exp(-1), rel=1e-5)
