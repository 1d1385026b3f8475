"""Derivatives of implicit steps are those of the equations they solve: against differences, each other, and twice."""

import pytest
import torch
from fields import Field

import nodekit
from nodekit import errors

METHODS = [name for name, method in nodekit.METHODS.items() if method.implicit and method.fixed]
SYMPLECTIC = ("implicit_midpoint", "gl4", "gl6")
TIMES = [0.0, 0.33, 0.5]


class Decaying(Field):
    def forward(self, t, y):
        return super().forward(t, y) - y


@pytest.fixture
def field():
    return Decaying()


def start(*shape):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def gradient(field, y0, gradient, times=TIMES, **more):
    y = nodekit.odeint(field, y0, torch.tensor(times, dtype=torch.float64), gradient=gradient, **more)
    return torch.cat([g.flatten() for g in torch.autograd.grad(y.square().sum(), [y0, *field.parameters()])])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("solver", "samples"), [("newton", 2), ("krylov", 2), ("auto", 2), ("auto", 40), ("anderson", 200)]
)
def test_exact_gradients_agree_with_differences_and_each_other(method, solver, samples, field):
    """Few samples are solved with matrices forward and backward, 600 unknowns with products."""
    y0 = start(samples, 3)
    options = {"step_size": 0.25, "solver": solver}
    exact = gradient(field, y0, "backprop", method=method, options=options)
    found = gradient(field, y0, "checkpoint", method=method, options=options)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    direction = torch.randn(y0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    times = torch.tensor(TIMES, dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (
            nodekit.odeint(field, y0 + shift * direction, times, method=method, options=options).square().sum()
            for shift in (1e-5, -1e-5)
        )
    along = exact[: y0.numel()] @ direction.flatten()
    assert float((ahead - behind) / 2e-5) == pytest.approx(along.item(), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("method", ["sdirk2", "trbdf2", "kvaerno3", "kvaerno5", "radauIIA3", "radauIIA5"])
def test_steps_chosen_adaptively_are_differentiated_exactly_too(method, field):
    y0 = start(2, 3)
    given = {"method": method, "rtol": 1e-4, "atol": 1e-5}
    exact = gradient(field, y0, "backprop", **given)
    torch.testing.assert_close(gradient(field, y0, "checkpoint", **given), exact, rtol=1e-12, atol=1e-12)
    reference = gradient(field, y0, "checkpoint", method="dopri8", rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(exact, reference, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_the_continuous_adjoint_converges_with_the_step(method, field):
    """Symplectic methods even give the exact gradient: a backward step undoes a forward one (Sanz-Serna 2016)."""
    y0, differences = start(2, 3), []
    for step in (0.125, 0.0625):
        given = {"times": [0.0, 0.5], "method": method, "options": {"step_size": step}}
        differences.append(
            (gradient(field, y0, "adjoint", **given) - gradient(field, y0, "checkpoint", **given)).abs().max().item()
        )
    if method in SYMPLECTIC:
        assert max(differences) < 1e-9
    else:
        assert differences[1] < 0.7 * differences[0] < 1.0


@pytest.mark.parametrize("method", ["trbdf2", "radauIIA5"])
def test_the_adjoint_of_a_stiff_problem_takes_no_more_steps_than_it_needs(method):
    """Fast and slow components: λ = −1000 and −1; the gradient of the slow one is e⁻² of the fast one's none."""
    rates = torch.tensor([1000.0, 1.0], dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    given = {"method": method, "gradient": "interpolated", "rtol": 1e-5, "atol": 1e-7, "params": (rates,)}
    solution = nodekit.solve(lambda t, y: -rates * y, y0, [0.0, 1.0], **given)
    by_start, by_rates = torch.autograd.grad(solution.y[-1].sum(), (y0, rates))
    assert by_start.tolist() == pytest.approx([0.0, torch.e**-1], abs=2e-4)
    assert by_rates.tolist() == pytest.approx([0.0, -(torch.e**-1)], abs=2e-4)
    assert solution.stats.nfe_backward < 4000


@pytest.mark.parametrize("solver", ["newton", "krylov"])
@pytest.mark.parametrize("method", ["trapezoid", "sdirk2", "radauIIA5"])
def test_checkpoint_differentiates_twice(method, solver):
    y0 = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([[0.3, -1.0], [1.2, 0.1]], dtype=torch.float64, requires_grad=True)

    def solve(y0, w):
        def slope(t, y):
            return torch.sin(y @ w) * (1 + t) - y**3 / 3

        options = {"step_size": 0.25, "solver": solver}
        return nodekit.odeint(slope, y0, [0.0, 0.5], method=method, options=options, params=(w,))[-1]

    assert torch.autograd.gradcheck(solve, (y0, w))
    assert torch.autograd.gradgradcheck(solve, (y0, w))


@pytest.mark.parametrize("kind", ["backprop", "checkpoint"])
@pytest.mark.parametrize("loss", [torch.sum, lambda y: y.square().sum()])
def test_derivatives_of_too_high_an_order_are_refused_not_wrong(kind, loss, field):
    """Also where the loss is linear, whose gradient does not itself depend on the solution."""
    y0 = start(3)
    order = 2
    y = nodekit.odeint(field, y0, [0.0, 0.5], method="trapezoid", options={"step_size": 0.25}, gradient=kind)
    value = loss(y[-1])
    for _ in range(order):
        (derivative,) = torch.autograd.grad(value, y0, create_graph=True)
        value = derivative.sum()
    with pytest.raises(errors.GradientUnavailable, match=f"order {order + 1}"):
        torch.autograd.grad(value, y0)


@pytest.mark.parametrize("method", ["trapezoid", "kvaerno3", "radauIIA5"])
def test_function_transforms_see_through_implicit_steps(method, field):
    for parameter in field.parameters():
        parameter.requires_grad_(False)
    y = start(3).detach()

    def solve(y):
        return nodekit.odeint(field, y, [0.0, 0.5], method=method, options={"step_size": 0.25})[-1]

    def loss(y):
        return solve(y).square().sum()

    jacobian = torch.autograd.functional.jacobian(solve, y)
    hessian = torch.autograd.functional.hessian(loss, y)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(torch.func.jacrev(solve)(y), jacobian, **close)
    torch.testing.assert_close(torch.func.jacfwd(solve)(y), jacobian, **close)
    torch.testing.assert_close(torch.func.hessian(loss)(y), hessian, **close)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacrev(loss))(y), hessian, **close)
    both = torch.func.vmap(solve)(torch.stack([y, 2 * y]))
    torch.testing.assert_close(both, torch.stack([solve(y), solve(2 * y)]), **close)


def test_transforms_of_large_implicit_steps_are_refused():
    with pytest.raises(errors.UnsupportedCombination, match="600 unknowns"):
        torch.func.grad(
            lambda y: nodekit.odeint(lambda t, y: -y, y, [0.0, 0.1], method="implicit_euler").sum()
        )(torch.ones(600))  # fmt: skip


@pytest.mark.parametrize("kind", ["backprop", "checkpoint"])
def test_captured_tensors_are_reached_when_the_state_needs_no_gradient(kind):
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y = nodekit.odeint(
        lambda t, y: -rate * y, torch.ones(1, dtype=torch.float64), [0.0, 1.0], method="gl6",
        options={"step_size": 0.1}, gradient=kind,
    )  # fmt: skip
    (found,) = torch.autograd.grad(y[-1].sum(), rate)
    assert found.item() == pytest.approx(-(torch.e**-2), abs=1e-8)


def test_nothing_requires_a_gradient_where_nothing_did():
    y = nodekit.odeint(
        lambda t, y: -y, torch.ones(2), [0.0, 1.0], method="trapezoid", options={"step_size": 0.1}, gradient="backprop"
    )
    assert not y.requires_grad


def test_the_backward_pass_evaluates_no_more_than_the_forward_and_a_linearisation(field):
    """One evaluation a stage more than solving the stages again: no pass through the iterations."""
    y0 = start(200, 3)
    layer = nodekit.NeuralODE(field, t=(0.0, 0.5), method="implicit_euler", options={"step_size": 0.1})
    layer(y0).sum().backward()
    assert layer.nfe_backward <= layer.nfe_forward + 5
