"""perturb=True: no fixed step sees the slope on the other side of a jump at one of its ends."""

import math

import pytest
import torch
import torchdiffeq

import nodekit

OPTIONS = {"step_size": 0.25, "perturb": True}
Y0 = torch.zeros(1, dtype=torch.float64)
PAIRS = [(name, name) for name in ("euler", "midpoint", "heun2", "heun3")] + [("rk4", "rk4_38")]
ALONE = ["rk4", "dopri5", "bosh3", "tsit5", "dopri8", "implicit_euler", "trapezoid", "kvaerno3", "radauIIA5", "gl4"]


def jumps_at_the_start(t, y):
    return torch.where(t > 0, 1.0, 100.0) * torch.ones_like(y)


def jumps_at_a_grid_point(t, y):
    return torch.where(t > 0.5, 1.0, 0.0) * torch.ones_like(y)


def jumps_at_the_end(t, y):
    return torch.where(t < 1, 1.0, 100.0) * torch.ones_like(y)


@pytest.mark.parametrize(("theirs", "ours"), PAIRS)
@pytest.mark.parametrize("func", [jumps_at_the_start, jumps_at_a_grid_point, jumps_at_the_end])
@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 0.3, 0.6, 1.0], [1.0, 0.4, 0.0]])
def test_steps_beside_a_jump_are_those_of_torchdiffeq(theirs, ours, func, times):
    t = torch.tensor(times, dtype=torch.float64)
    expected = torchdiffeq.odeint(func, Y0, t, method=theirs, options=OPTIONS)
    found = nodekit.odeint(func, Y0, t, method=ours, options={**OPTIONS, "interp": "linear"})
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["euler", "heun3", *ALONE])
@pytest.mark.parametrize("func", [jumps_at_the_start, jumps_at_a_grid_point, jumps_at_the_end])
def test_a_slope_constant_on_either_side_of_a_jump_is_integrated_exactly(method, func):
    t = torch.tensor([0.0, 0.1, 0.6, 1.0], dtype=torch.float64)
    exact = torch.clamp(t - 0.5, min=0) if func is jumps_at_a_grid_point else t
    y = nodekit.odeint(func, Y0, t, method=method, options=OPTIONS, strict=True)
    torch.testing.assert_close(y[:, 0], exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["explicit_adams", "implicit_adams"])
def test_the_first_step_of_a_multistep_method_begins_behind_a_jump(method):
    y = nodekit.odeint(jumps_at_the_start, Y0, [0.0, 1.0], method=method, options=OPTIONS, strict=True)
    assert y[-1].item() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("method", ["euler", "heun3", "rk4", "dopri5", "trapezoid", "radauIIA5", "implicit_adams"])
@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 0.6, 1.0], [0.0, 0.25]])
def test_every_gradient_beside_a_jump_is_the_gradient_of_the_solve(method, times):
    """y' = a y before 0, at 0 and up to 0.5, b y else: the first step's slope has b, as those behind the jumps."""

    def func(t, y, a, b):
        return torch.where((t > 0) & ((t < 0.25) | (t > 0.5)), b, a) * torch.sin(y)

    def derivatives(gradient):
        y0 = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
        a = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        b = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        inputs, options = [y0, a, b], OPTIONS
        y = nodekit.odeint(func, y0, times, method=method, options=options, gradient=gradient, args=(a, b), strict=True)
        plain = torch.autograd.grad(y[1:].square().sum(), inputs, retain_graph=True)
        first = torch.autograd.grad(y[1:].square().sum(), inputs, create_graph=True)
        found = [y.detach(), *plain, *(x.detach() for x in first)]
        if method in ("trapezoid", "radauIIA5"):  # second derivatives of which "backprop" does not give
            return found
        return found + list(torch.autograd.grad(sum(x.sum() for x in first), inputs))

    for found, expected in zip(derivatives("checkpoint"), derivatives("backprop"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
@pytest.mark.parametrize("method", ["euler", "dopri5"])
def test_the_backward_solve_of_an_adjoint_begins_behind_the_jump(gradient, method):
    """y' = a(t) with a jump at the end and at the start: dy/da = 0 for the values at the ends alone."""
    at_ends = torch.tensor(100.0, dtype=torch.float64, requires_grad=True)
    between = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def func(t, y, between, at_ends):
        return torch.where((t > 0) & (t < 1), between, at_ends) + 0 * y

    y = nodekit.solve(
        func, Y0, [0.0, 1.0], method=method, options=OPTIONS, gradient=gradient, args=(between, at_ends)
    ).y
    found = torch.autograd.grad(y[-1].sum(), [between, at_ends])
    assert [x.item() for x in found] == pytest.approx([1.0, 0.0], abs=1e-12)


def test_a_reversible_method_keeps_its_second_state():
    func = lambda t, y: torch.sin(3 * t) - y  # noqa: E731
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    for method in ("alf", "reversible_dopri5"):
        solved = [
            nodekit.odeint(func, y0, [0.0, 1.0], method=method, options={**OPTIONS, "perturb": perturb})[-1]
            for perturb in (False, True)
        ]
        torch.testing.assert_close(*solved, rtol=1e-12, atol=0)
        by_steps = nodekit.odeint(func, y0, [0.0, 1.0], method=method, options=OPTIONS, gradient="reversible")[-1]
        found, expected = (torch.autograd.grad(y.sum(), y0)[0] for y in (by_steps, solved[1]))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)


def test_without_perturb_slopes_are_carried_on_as_ever():
    stats = nodekit.solve(jumps_at_the_end, Y0, [0.0, 1.0], method="dopri5", options={"step_size": 0.25}).stats
    assert stats.nfe_forward == 1 + 3 * 6 + 5


def test_with_perturb_the_slope_at_the_start_is_evaluated_once_a_step():
    options = {"step_size": 0.25, "perturb": True}
    stats = nodekit.solve(jumps_at_the_end, Y0, [0.0, 1.0], method="dopri5", options=options).stats
    assert stats.nfe_forward == 4 + 3 * 6 + 5


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("times", [[0.0, 1.0], [1.0, 0.0], [0.0, 0.5, 1.0]])
@pytest.mark.parametrize("method", ["rk4", "dopri5", "alf", "explicit_adams", "trapezoid", "kvaerno3", "gl4", "sdirk2"])
def test_the_ends_of_steps_are_never_asked_for(method, times, dtype, gradient):
    """Forwards, backwards, and by the gradients of the state and of the times."""

    def func(t, y):
        assert t.item() not in (0.0, 0.5, 1.0)
        return -y / (1 + t)

    y0, t = torch.ones(1, dtype=dtype, requires_grad=True), torch.tensor(times, dtype=dtype, requires_grad=True)
    options = {"step_size": 0.5, "perturb": True}
    y = nodekit.odeint(func, y0, t, method=method, options=options, gradient=gradient, strict=True)
    by_y0, by_t = torch.autograd.grad(y[-1].sum(), [y0, t])
    exact = (1 + times[0]) / (1 + times[-1])
    assert by_y0.item() == pytest.approx(exact, rel=0.2)
    assert by_t[[0, -1]].tolist() == pytest.approx([exact / (1 + times[0]), -exact / (1 + times[-1])], rel=0.3)


def test_a_jump_at_the_start_is_asked_for_from_behind_only():
    def func(t, y):
        assert t.item() != 0.0
        return torch.ones_like(y)

    y = nodekit.odeint(func, Y0, [0.0, 1.0], options={"jump_t": [0.0]})
    assert y[-1].item() == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("method", ["gl4", "gl6", "implicit_midpoint"])
@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
def test_a_gauss_method_has_no_use_for_the_ends_of_a_step(method, gradient):
    def func(t, y):
        assert t.item() not in (0.0, 0.5, 1.0)
        return -y

    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    options = {"step_size": 0.5}
    y = nodekit.odeint(func, y0, [0.0, 1.0], method=method, options=options, gradient=gradient, strict=True)[-1]
    assert torch.autograd.grad(y, y0)[0].item() == pytest.approx(math.exp(-1), rel=0.03)
