"""Equations of implicit steps that have no solution, or no derivative: smaller steps, or an error with a name."""

import math

import pytest
import torch

import nodekit
from nodekit import errors

IMPLICIT = [name for name, method in nodekit.METHODS.items() if method.implicit]
ADAPTIVE = [name for name in IMPLICIT if nodekit.METHODS[name].adaptive]
GRADIENTS = ["checkpoint", "backprop", "adjoint", "interpolated"]


def ones(size=1):
    return torch.ones(size, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("rates", [[1.0], [1.0, -1.0, 0.3]])
@pytest.mark.parametrize("solver", ["newton", "krylov", "auto", "anderson"])
@pytest.mark.parametrize(("method", "step"), [("implicit_euler", 1.0), ("trapezoid", 2.0), ("implicit_midpoint", 2.0)])
def test_a_fixed_step_with_a_singular_matrix_is_a_named_failure(method, step, solver, rates):
    """y' = y with 1 − γ h = 0, alone and among components that could be solved."""
    rates = torch.tensor(rates, dtype=torch.float64)
    given = {"method": method, "options": {"step_size": step, "solver": solver}}
    solution = nodekit.solve(lambda t, y: rates * y, ones(len(rates)), [0.0, step], throw=False, **given)
    assert isinstance(solution.status, errors.NewtonDidNotConverge)
    with pytest.raises(errors.NewtonDidNotConverge):
        nodekit.odeint(lambda t, y: rates * y, ones(len(rates)), [0.0, step], **given)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", ["trbdf2", "sdirk2", "kvaerno3", "kvaerno5"])
def test_an_adaptive_step_with_a_singular_matrix_is_taken_again_smaller(method, gradient):
    rate = 1 / nodekit.METHODS[method].tableau.A[-1, -1]
    y0 = ones()
    y = nodekit.odeint(
        lambda t, y: rate * y, y0, [0.0, 1.0], method=method, options={"first_step": 1.0}, gradient=gradient, rtol=1e-6
    )
    assert y[-1].item() == pytest.approx(math.exp(rate), rel=1e-3)
    assert torch.autograd.grad(y[-1].sum(), y0)[0].item() == pytest.approx(math.exp(rate), rel=1e-3)


@pytest.mark.parametrize("size", [1, 3, 600])
@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
@pytest.mark.parametrize("solver", ["fixed_point", "anderson"])
def test_a_gradient_whose_linear_system_has_no_solution_is_a_named_failure(solver, gradient, size):
    """y' = y − 1 at rest, with h = 1: every y solves the step of backward Euler, so that none follows y0."""
    options = {"step_size": 1.0, "solver": solver}
    y0 = ones(size)
    solution = nodekit.solve(
        lambda t, y: y - 1, y0, [0.0, 1.0], method="implicit_euler", options=options, gradient=gradient, throw=False
    )
    assert torch.equal(solution.y[-1], y0)
    with pytest.raises(errors.NewtonDidNotConverge, match="gradient"):
        torch.autograd.grad(solution.y[-1].sum(), y0)


def test_a_gradient_under_a_transform_is_refused_as_well():
    def end(y0):
        return nodekit.odeint(
            lambda t, y: y - 1, y0, [0.0, 1.0], method="implicit_euler",
            options={"step_size": 1.0, "solver": "fixed_point"},
        )[-1].sum()  # fmt: skip

    with pytest.raises(errors.NewtonDidNotConverge, match="derivative"):
        torch.func.grad(end)(torch.ones(2, dtype=torch.float64))


def growth(t, y):
    """y' = y, defined below 20 only."""
    return y + 0 * torch.sqrt(20 - y)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_step_to_where_the_derivative_is_not_a_number_is_never_accepted(method, gradient):
    """Nor does a stage that Newton's last iterate moved there spoil the gradient."""
    y0 = ones()
    y = nodekit.odeint(
        growth, y0, [0.0, math.log(19.9)], rtol=1e-4, atol=1e-4, method=method, gradient=gradient
    )[-1].sum()  # fmt: skip
    assert y.item() == pytest.approx(19.9, rel=5e-3)
    try:
        (found,) = torch.autograd.grad(y, y0)
    except errors.NewtonDidNotConverge:
        assert gradient == "checkpoint"  # whose forward pass does not evaluate there
    else:
        assert found.item() == pytest.approx(19.9, rel=5e-3)


@pytest.mark.parametrize("solver", ["newton", "krylov", "auto", "anderson", "fixed_point"])
@pytest.mark.parametrize("method", IMPLICIT)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_derivative_that_is_not_finite_ends_every_implicit_solve(method, solver, value):
    def func(t, y):
        return torch.where(t > 0.3, value, 1.0) * torch.ones_like(y)

    options = {"solver": solver}
    if not nodekit.METHODS[method].adaptive:
        options["step_size"] = 0.25
    y0 = torch.zeros(2, dtype=torch.float64)
    status = nodekit.solve(func, y0, [0.0, 1.0], method=method, options=options, throw=False, rtol=1e-3).status
    assert isinstance(status, errors.NewtonDidNotConverge | errors.NonFiniteDerivative | errors.StepSizeUnderflow)


def test_what_comes_into_a_gradient_as_not_a_number_goes_out_as_it():
    y0 = ones()
    y = nodekit.odeint(lambda t, y: -y, y0, [0.0, 1.0], method="implicit_euler", options={"step_size": 0.5})
    assert torch.autograd.grad(y[-1].sum() * math.nan, y0)[0].isnan().all()


#: ∂c/∂rates at 10⁴: central differences of SciPy's Radau with its Jacobian, rtol 1e-11
ROBERTSON = [3.43782, 2.279626e-09, -1.367768e-05]


def robertson(t, y, rates):
    a, b, c = y
    slow, fast, back = rates[0] * a, rates[1] * b * b, rates[2] * b * c
    return torch.stack([back - slow, slow - fast - back, fast])


@pytest.mark.parametrize(
    ("gradient", "method", "rtol"),
    [
        ("checkpoint", "kvaerno5", 1e-7),
        ("interpolated", "kvaerno5", 1e-7),
        ("adjoint", "kvaerno5", 1e-7),
        ("adjoint", "radauIIA5", 1e-6),
        ("adjoint", "trbdf2", 1e-6),
    ],
)
def test_the_gradient_of_robertsons_problem_is_right_or_refused_soon(gradient, method, rtol):
    """What decays forwards explodes backwards."""
    rates = torch.tensor([0.04, 3e7, 1e4], dtype=torch.float64, requires_grad=True)
    y = nodekit.odeint(
        robertson, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), [0.0, 1e4], args=(rates,), method=method,
        rtol=rtol, atol=rtol * 1e-3, gradient=gradient,
    )  # fmt: skip
    if gradient != "adjoint":
        (found,) = torch.autograd.grad(y[-1, 2], rates)
        assert found.tolist() == pytest.approx(ROBERTSON, rel=2e-3)
        return
    with pytest.raises(errors.SolveFailed, match="backward solve") as caught:
        torch.autograd.grad(y[-1, 2], rates)
    assert "checkpoint" in caught.value.remedy
    assert caught.value.t > 9000
