"""torch.func transforms, forward mode, double backward and torch.compile, where mathematics allows them."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

import nodekit

T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)


def field(t, y):
    return torch.sin(y) * (1 + t) - 0.1 * y**2


def end(y0, gradient="checkpoint", method="rk4", **more):
    options = {} if nodekit.METHODS[method].adaptive else {"step_size": 0.1}
    return nodekit.odeint(field, y0, T, method=method, gradient=gradient, options=options, **more)[-1]


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_vmap_equals_a_loop(method):
    y0 = torch.randn(5, 3, dtype=torch.float64)
    looped = torch.stack([end(y, method=method, rtol=1e-9, atol=1e-9) for y in y0])
    torch.testing.assert_close(vmap(lambda y: end(y, method=method, rtol=1e-9, atol=1e-9))(y0), looped)


@pytest.mark.parametrize("method", ["rk4", "dopri5", "alf", "reversible_heun"])
def test_jacobians_of_every_mode_agree(method):
    y0 = torch.tensor([0.3, -0.8], dtype=torch.float64)
    reverse = torch.autograd.functional.jacobian(lambda y: end(y, method=method), y0)
    for mode in (jacrev, jacfwd):
        torch.testing.assert_close(mode(lambda y: end(y, method=method))(y0), reverse, rtol=1e-10, atol=1e-12)


def test_jvp_through_dual_numbers():
    y0, tangent = torch.tensor([0.3, -0.8], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    _, through = jvp(end, (y0,), (tangent,))
    reverse = torch.autograd.functional.jacobian(end, y0)
    torch.testing.assert_close(through, reverse @ tangent)
    with torch.autograd.forward_ad.dual_level():
        dual = end(torch.autograd.forward_ad.make_dual(y0, tangent))
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(dual).tangent, reverse @ tangent)


def test_grad_of_a_functional_call():
    module = nn.Linear(2, 2).double()
    parameters, y0 = dict(module.named_parameters()), torch.randn(2, dtype=torch.float64)

    def loss(parameters):
        y = nodekit.odeint(lambda t, y: functional_call(module, parameters, (y,)), y0, T, method="rk4")
        return y[-1].square().sum()

    found = grad(loss)(parameters)
    nodekit.odeint(lambda t, y: module(y), y0, T, method="rk4")[-1].square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "reversible"])
def test_second_derivatives(gradient):
    y0 = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: end(y, gradient), y0)
    assert torch.autograd.gradgradcheck(lambda y: end(y, gradient), y0)
    expected = hessian(lambda y: end(y, "backprop", "reversible_rk4" if gradient == "reversible" else "rk4").sum())(
        y0.detach()
    )
    found = torch.autograd.functional.hessian(lambda y: end(y, gradient).sum(), y0.detach())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_continuous_adjoints_refuse_second_derivatives(gradient):
    y0 = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(end(y0, gradient).sum(), y0, create_graph=True)
    with pytest.raises(RuntimeError, match=r"twice|once_differentiable|does not require grad"):
        torch.autograd.grad(first.sum(), y0)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint", "interpolated", "reversible"])
def test_times_are_differentiated_as_the_flow_is(gradient):
    """∂y(tᵢ)/∂tᵢ = f and ∂y(t)/∂t₀ = −∂y/∂y₀ f(t₀, y₀), against finite differences of accurate solves."""
    y0 = torch.tensor([0.3, -0.8], dtype=torch.float64)
    weights = torch.tensor([0.7, -1.3, 0.4], dtype=torch.float64)

    def loss(t, y0=y0, gradient=gradient):
        y = nodekit.odeint(field, y0, t, rtol=1e-11, atol=1e-12, gradient=gradient)
        return (y.sum(-1) * weights).sum()

    t = T.clone().requires_grad_()
    start = y0.clone().requires_grad_()
    at_t, at_y0 = torch.autograd.grad(loss(t, start), [t, start])
    shift = 1e-5
    for i in range(3):
        unit = torch.eye(3, dtype=torch.float64)[i] * shift
        difference = (loss(T + unit, gradient="backprop") - loss(T - unit, gradient="backprop")) / (2 * shift)
        torch.testing.assert_close(at_t[i], difference, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        at_y0, torch.autograd.functional.jacobian(lambda y: loss(T, y), y0), rtol=1e-8, atol=1e-9
    )


def test_second_derivatives_by_time():
    y0 = torch.tensor([0.3], dtype=torch.float64)

    def function(t):
        return nodekit.odeint(field, y0, t, rtol=1e-12, atol=1e-13)[-1]

    t = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(function(t).sum(), t, create_graph=True)
    (second,) = torch.autograd.grad(first[1], t)
    y1 = function(t.detach())
    # y'' = ∂f/∂t + ∂f/∂y f
    total = torch.sin(y1) + (torch.cos(y1) * 2 - 0.2 * y1) * field(1.0, y1)
    torch.testing.assert_close(second[1:], total, rtol=1e-7, atol=1e-8)


def test_finite_differences_of_the_discrete_solve():
    """The exact gradients differentiate the steps that were taken: a coarse solve shows no error of the solver."""
    coarse = {"method": "dopri5", "options": {"step_size": 0.5}}
    y0 = torch.tensor([0.3, -0.8], dtype=torch.float64, requires_grad=True)
    for gradient in ("backprop", "checkpoint"):
        assert torch.autograd.gradcheck(
            lambda y, gradient=gradient: nodekit.odeint(field, y, T, gradient=gradient, **coarse), y0
        )


def test_a_compiled_derivative_serves():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    compiled = torch.compile(net, backend="aot_eager")
    y0, results = torch.randn(4, 3), []
    for module in (net, compiled):
        y = nodekit.odeint(lambda t, y, module=module: module(y), y0, [0.0, 1.0], method="rk4")[-1]
        results.append(torch.autograd.grad(y.square().sum(), net.parameters()))
    torch.testing.assert_close(*results)


def test_a_fixed_step_solve_compiles_whole():
    def function(y0):
        return nodekit.odeint(field, y0, [0.0, 0.5, 1.0], method="heun", options={"step_size": 0.25})

    y0 = torch.randn(3, dtype=torch.float64)
    compiled = torch.compile(function, backend="eager")
    torch.testing.assert_close(compiled(y0), function(y0))
