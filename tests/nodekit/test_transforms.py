"""torch.func, forward-mode duals, second derivatives and torch.compile, against loops, differences and each other."""

import math

import pytest
import torch
from fields import Field
from torch import nn

import nodekit
from nodekit import errors

TIMES = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)
FIXED = [("heun", 0.4), ("dopri5", 0.5), ("trapezoid", 0.25), ("alf", 0.25)]


@pytest.fixture
def y0():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def solver(method, step_size, **arguments):
    field = Field()
    options = {"step_size": step_size} if step_size else {}
    return lambda y: nodekit.solve(field, y, TIMES, method=method, options=options, **arguments).y


@pytest.mark.parametrize(("method", "step_size"), FIXED)
def test_vmap_over_fixed_steps_is_a_loop(method, step_size, y0):
    solve = solver(method, step_size)
    looped = torch.stack([solve(y) for y in y0], 1)
    torch.testing.assert_close(torch.func.vmap(solve, out_dims=1)(y0), looped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("method", "step_size"), FIXED)
def test_transforms_agree_with_autograd(method, step_size, y0):
    solve = solver(method, step_size)
    leaf = y0.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(solve(leaf).square().sum(), leaf)
    by_func = torch.func.grad(lambda y: solve(y).square().sum())
    torch.testing.assert_close(by_func(y0), by_autograd, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.func.vmap(by_func)(y0), by_autograd, rtol=1e-10, atol=1e-10)
    forward, backward = (jacobian(solve)(y0[0]) for jacobian in (torch.func.jacfwd, torch.func.jacrev))
    torch.testing.assert_close(forward, backward, rtol=1e-10, atol=1e-10)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(y0[0], torch.ones(3, dtype=torch.float64))
        tangent = torch.autograd.forward_ad.unpack_dual(solve(dual)).tangent
    torch.testing.assert_close(tangent, forward.sum(-1), rtol=1e-10, atol=1e-10)


def test_gradients_of_parameters_for_every_sample_at_once(y0):
    field = Field()
    parameters = dict(field.named_parameters())

    def loss(parameters, y):
        def func(t, y):
            return torch.func.functional_call(field, parameters, (t, y))

        return nodekit.odeint(func, y, TIMES, method="rk4", options={"step_size": 0.25})[-1].square().sum()

    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, y0)
    for i, y in enumerate(y0):
        alone = torch.autograd.grad(loss(parameters, y), list(field.parameters()))
        for name, gradient in zip(parameters, alone, strict=True):
            torch.testing.assert_close(together[name][i], gradient, rtol=1e-10, atol=1e-10)


def test_members_of_vmap_share_adaptive_steps_and_all_meet_the_tolerance(y0):
    field = Field()

    def solve(y, tolerance=1e-7):
        return nodekit.odeint(field, y, TIMES, rtol=tolerance, atol=tolerance)

    exact = torch.stack([solve(y, 1e-12) for y in y0], 1)
    torch.testing.assert_close(torch.func.vmap(solve, out_dims=1)(y0), exact, rtol=0, atol=2e-6)


def test_independent_samples_are_differentiated_by_transforms_and_refuse_vmap(y0):
    solve = solver("dopri5", None, batch="independent", rtol=1e-6, atol=1e-8)
    leaf = y0.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(solve(leaf).sum(), leaf)
    by_func = torch.func.grad(lambda y: solve(y).sum())(y0)
    torch.testing.assert_close(by_func, by_autograd, rtol=1e-10, atol=1e-10)
    direction = torch.ones_like(y0)
    _, tangent = torch.func.jvp(solve, (y0,), (direction,))
    torch.testing.assert_close(tangent.sum(), by_autograd.sum(), rtol=1e-8, atol=1e-8)
    with pytest.raises(errors.UnsupportedCombination, match="Solve the whole batch at once"):
        torch.func.vmap(solve)(y0[None])


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_second_derivatives_where_the_state_depends_on_a_parameter_too(gradient):
    def loss(rate, start, end):
        t = torch.stack([start, end])
        y = nodekit.odeint(
            lambda t, y: -rate * y * t, rate * torch.ones(2, dtype=torch.float64), t, gradient=gradient,
            rtol=1e-11, atol=1e-12,
        )  # fmt: skip
        return y[-1].square().sum()

    inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.7, 0.2, 1.1)]
    assert torch.autograd.gradcheck(loss, inputs, rtol=1e-5, atol=1e-7)
    assert torch.autograd.gradgradcheck(loss, inputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "reversible"])
@pytest.mark.parametrize("how", ["closure", "args", "computed"])
def test_derivatives_where_the_state_is_a_parameter_itself(gradient, how):
    """y' = −p y from p ends in p exp(−p)."""
    p = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    y0 = p * 1 if how == "computed" else p

    def func(t, y, rate=None):
        return -(y0 if rate is None else rate) * y

    args = (y0,) if how == "args" else ()
    y = nodekit.odeint(func, y0, [0.0, 1.0], args=args, gradient=gradient, rtol=1e-10, atol=1e-12)
    (first,) = torch.autograd.grad(y[-1].sum(), p, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), p)
    end = torch.exp(-p.detach())
    torch.testing.assert_close(first, (1 - p.detach()) * end, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(second, (p.detach() - 2) * end, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_forward_mode_differentiates_by_the_times(batch):
    """y' = −t y from t₀ ends in exp((t₀² − t₁²) / 2)."""
    t = torch.tensor([0.5, 1.5], dtype=torch.float64)

    def end(t):
        y0 = torch.ones(1, 1, dtype=torch.float64)
        return nodekit.odeint(lambda t, y: -t * y, y0, t, batch=batch, rtol=1e-9, atol=1e-10)[-1].squeeze()

    expected = torch.tensor([0.5, -1.5], dtype=torch.float64) * math.exp(-1)
    torch.testing.assert_close(torch.func.jacfwd(end)(t), expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(torch.func.jvp(end, (t,), (torch.ones_like(t),))[1], expected.sum(), rtol=1e-7, atol=0)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(t, torch.ones_like(t))
        tangent = torch.autograd.forward_ad.unpack_dual(end(dual)).tangent
    torch.testing.assert_close(tangent, expected.sum(), rtol=1e-7, atol=0)


def test_forward_mode_differentiates_by_the_times_around_another_derivative():
    """The derivative of y₀ exp(−t) by y₀, then by t."""

    def by_start(t):
        def end(y0):
            return nodekit.odeint(lambda t, y: -y, y0, t, rtol=1e-9, atol=1e-10)[-1]

        start = torch.ones((), dtype=torch.float64)
        return torch.func.jvp(end, (start,), (start,))[1]

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    expected = torch.tensor([1.0, -1.0], dtype=torch.float64) * math.exp(-1)
    torch.testing.assert_close(torch.func.jacfwd(by_start)(t), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible"])
def test_a_computed_parameter_and_what_it_was_computed_from_count_once_each(gradient, y0):
    raw = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    found = []
    for chosen in ("backprop", gradient):
        weight = raw.exp()
        y = nodekit.odeint(
            lambda t, y, w: torch.sin(w * y) + raw * t, y0, TIMES, args=(weight,), gradient=chosen,
            rtol=1e-9, atol=1e-9,
        )  # fmt: skip
        found.append(torch.autograd.grad(y[-1].sum(), raw)[0])
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("method", "options"), [("euler", {"step_size": 0.25}), ("dopri5", {"step_size": 0.5})])
def test_a_model_with_fixed_steps_compiles_into_one_graph(method, options):
    torch._dynamo.reset()
    field = Field().float()
    model = nn.Sequential(nn.Linear(3, 3), nodekit.NeuralODE(field, method=method, options=options), nn.Linear(3, 1))
    x = torch.randn(4, 3)
    found = []
    for run in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        output = run(x)
        gradients = torch.autograd.grad(output.square().sum(), list(model.parameters()))
        found.append(torch.cat([output.flatten(), *(g.flatten() for g in gradients)]))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint"])
@pytest.mark.filterwarnings("ignore")
def test_a_layer_is_traced_with_its_gradients(gradient, y0):
    field = Field()
    layer = nodekit.NeuralODE(field, method="rk4", options={"step_size": 0.25}, gradient=gradient)
    traced = torch.jit.trace(layer, y0)
    other = torch.flip(y0, (0,)) + 1
    expected, found = layer(other), traced(other)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    by_layer, by_trace = (torch.autograd.grad(y.sum(), list(field.parameters())) for y in (expected, found))
    torch.testing.assert_close(by_trace, by_layer, rtol=1e-3 if gradient == "adjoint" else 1e-10, atol=1e-6)


@pytest.mark.parametrize("method", ["dopri5", "kvaerno5", "radauIIA5", "auto"])
@pytest.mark.parametrize("jacobian", [torch.func.jacrev, torch.func.jacfwd])
def test_a_derivative_that_uses_transforms_itself_has_the_default_gradient(method, jacobian):
    """The divergence of −a x³ is −3 a x², and its integral along x(t) is log(1 + 2 a t) times −3/2, for x(0) = 1."""
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def field(x):
        return -a * x**3

    def func(t, state):
        x, _ = state
        slopes = torch.func.vmap(jacobian(field))(x)
        return field(x), slopes.diagonal(dim1=1, dim2=2).sum(1)

    start = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    _, divergence = nodekit.odeint(func, start, [0.0, 1.0], method=method, rtol=1e-8, atol=1e-8)
    (by_a,) = torch.autograd.grad(divergence[-1].sum(), a)
    assert divergence[-1, 0].item() == pytest.approx(-1.5 * math.log(2.4), rel=1e-5)
    assert by_a.item() == pytest.approx(-1.5 * 2 * 2 / 2.4, rel=1e-5)


@pytest.mark.parametrize("method", ["gl4", "kvaerno5", "implicit_euler"])
def test_implicit_steps_inside_a_transform_are_differentiated_from_outside(method):
    def by_state(a):
        def final(y0):
            options = None if method == "kvaerno5" else {"step_size": 0.25}
            given = {"method": method, "options": options, "rtol": 1e-9, "atol": 1e-9}
            return nodekit.odeint(lambda t, y: -a * y**3, y0, torch.tensor([0.0, 1.0]), **given)[-1].sum()

        return torch.func.grad(final)(torch.tensor([1.2], dtype=torch.float64)).sum()

    a, h = torch.tensor(0.7, dtype=torch.float64, requires_grad=True), 1e-5
    (found,) = torch.autograd.grad(by_state(a), a)
    difference = (by_state(a.detach() + h) - by_state(a.detach() - h)) / (2 * h)
    assert found.item() == pytest.approx(difference.item(), rel=1e-6)
