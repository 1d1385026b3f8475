"""Gradients against finite differences, each other, and torchdiffeq, in float64."""

import functools
import gc
import math
import weakref

import pytest
import torch
import torchdiffeq
from fields import Field

import nodekit

TIMES = torch.linspace(0.0, 1.5, 5, dtype=torch.float64)


@pytest.fixture
def field():
    return Field()


@pytest.fixture
def y0():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def flat_gradient(field, y0, y):
    found = torch.autograd.grad((y**2).sum(), [y0, *field.parameters()])
    return torch.cat([g.flatten() for g in found])


def options_for(method):
    return {} if nodekit.METHODS[method].adaptive else {"step_size": 0.1}


@pytest.mark.parametrize("method", [name for name, method in nodekit.METHODS.items() if not method.pairs])
def test_exact_gradients_agree_with_backprop_to_rounding(method, field, y0):
    exact = {}
    for gradient in ("backprop", "checkpoint", "reversible"):
        if gradient == "reversible" and not nodekit.METHODS[method].stepper().reversible:
            continue
        y = nodekit.odeint(
            field, y0, TIMES, method=method, options=options_for(method), gradient=gradient, rtol=1e-4, atol=1e-4
        )
        exact[gradient] = flat_gradient(field, y0, y)
    for gradient in exact:
        torch.testing.assert_close(exact[gradient], exact["backprop"], rtol=1e-12, atol=1e-12)


def test_a_reversible_gradient_makes_an_explicit_method_reversible(field, y0):
    gradients = [
        flat_gradient(field, y0, nodekit.odeint(field, y0, TIMES, method=method, gradient=gradient))
        for method, gradient in (("dopri5", "reversible"), ("reversible_dopri5", "backprop"))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_a_method_that_cannot_be_reversed_says_so(field, y0):
    with pytest.raises(nodekit.errors.UnsupportedCombination, match="reversible"):
        nodekit.odeint(field, y0, TIMES, method="trapezoid", gradient="reversible")


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_continuous_adjoints_converge_to_the_exact_gradient_with_the_tolerance(gradient, field, y0):
    reference = flat_gradient(field, y0, torchdiffeq.odeint(field, y0, TIMES, rtol=1e-11, atol=1e-13))
    for tolerance in (1e-4, 1e-6, 1e-8):
        y = nodekit.odeint(field, y0, TIMES, rtol=tolerance, atol=tolerance, gradient=gradient)
        error = (flat_gradient(field, y0, y) - reference).abs().max() / reference.abs().max()
        assert error < 3 * tolerance


@pytest.mark.parametrize("method", ["dopri5", "kvaerno5"])
def test_an_adjoint_that_stays_constant_still_resolves_the_parameters_integrand(method):
    rate, y0 = torch.tensor(7.3, dtype=torch.float64, requires_grad=True), torch.zeros((), dtype=torch.float64)
    y = nodekit.odeint(
        lambda t, y: torch.sin(rate * t), y0, [0.0, 10.0], rtol=1e-8, method=method, gradient="interpolated"
    )[-1]
    (found,) = torch.autograd.grad(y, rate)
    exact = 10 * math.sin(73.0) / 7.3 - (1 - math.cos(73.0)) / 7.3**2  # of y = (1 - cos(10 rate)) / rate
    assert found.item() == pytest.approx(exact, rel=1e-6)


def test_checkpoint_differentiates_twice(y0):
    def function(y):
        return nodekit.odeint(
            lambda t, y: torch.sin(y) * (1 + t), y, TIMES[:2], method="rk4", options={"step_size": 0.1}
        )

    assert torch.autograd.gradgradcheck(function, y0)


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "alf", "reversible_bosh3", "trapezoid"])
@pytest.mark.parametrize("checkpoints", [1, 3, 8])
def test_thinned_checkpoints_give_the_same_gradient(method, checkpoints, field, y0):
    """Whatever the number of states kept: with outputs inside of steps, jumps and dense output."""
    options = options_for(method) or {"jump_t": [0.7]}
    gradients = []
    for more in ({}, {"checkpoints": checkpoints}):
        y = nodekit.odeint(field, y0, TIMES, method=method, options={**options, **more}, rtol=1e-5, atol=1e-5)
        gradients.append(flat_gradient(field, y0, y))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def saved_bytes(function):
    """Bytes that autograd keeps between the passes."""
    kept = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        function()
    return sum(kept.values())


def test_memory_of_the_gradients_in_the_number_of_steps(field):
    """Graphs and unthinned checkpoints grow linearly, few checkpoints and the reversible gradient not at all."""
    y0 = torch.randn(64, 3, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def kept(gradient, steps, **more):
        options = {"step_size": 1 / steps, **more}
        return saved_bytes(lambda: nodekit.odeint(field, y0, t, method="heun", options=options, gradient=gradient))

    assert kept("backprop", 160) > 3 * kept("backprop", 40)
    assert kept("checkpoint", 160) == kept("backprop", 160)
    assert kept("checkpoint", 160, graph_bytes=0) > 3 * kept("checkpoint", 40, graph_bytes=0)
    assert kept("checkpoint", 160, graph_bytes=0) < kept("backprop", 160) / 5
    some = kept("backprop", 160) / 2
    assert kept("checkpoint", 160, graph_bytes=some, checkpoints=8) < 1.1 * some
    assert kept("checkpoint", 160, checkpoints=8) <= kept("checkpoint", 40, checkpoints=8)
    assert kept("reversible", 160) == kept("reversible", 40)
    assert kept("adjoint", 160) == kept("adjoint", 40)


@pytest.mark.parametrize(
    ("method", "options"), [("alf", {"damping": 0.9}), ("reversible_rk4", {"coupling": 0.9}), ("reversible_dopri5", {})]
)
def test_reversible_methods_are_undone_with_any_coupling(method, options, field, y0):
    options = {**options_for(method), **options}
    gradients = [
        flat_gradient(field, y0, nodekit.odeint(field, y0, TIMES, method=method, options=options, gradient=gradient))
        for gradient in ("backprop", "reversible")
    ]
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint", "interpolated", "reversible"])
def test_outputs_before_a_failure_have_their_gradient(gradient):
    """y' = y² is y₀ / (1 − y₀ t), whose derivative at t = 1/2 is 4; it leaves the real line at 1."""
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    solution = nodekit.solve(lambda t, y: y**2, y0, [0.0, 0.25, 0.5, 2.0], gradient=gradient, throw=False)
    assert isinstance(solution.status, nodekit.errors.SolveFailed)
    (found,) = torch.autograd.grad(solution.y[2].sum(), y0, retain_graph=True)
    torch.testing.assert_close(found, torch.full_like(found, 4.0), rtol=1e-5, atol=0)
    (found,) = torch.autograd.grad(solution.y[2:].sum(), y0)  # what was not reached is a constant
    torch.testing.assert_close(found, torch.full_like(found, 4.0), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "choice",
    [
        {"gradient": "backprop"},
        {"gradient": "checkpoint"},
        {"gradient": "adjoint"},
        {"gradient": "adjoint", "adjoint_options": {"norm": "seminorm"}},
        {"gradient": "interpolated"},
        {"gradient": "reversible"},
        {"dense": True},
    ],
)
def test_a_solve_is_let_go_with_its_solution(choice):
    """No reference cycle keeps the graph before the initial state, or the derivative."""
    gc.collect()
    gc.disable()
    try:
        fields, weight = [Field()], torch.ones(1, dtype=torch.float64, requires_grad=True)
        y0 = weight * torch.ones(2, 3, dtype=torch.float64)
        solution = nodekit.solve(lambda t, y: fields[0](t, y), y0, TIMES, rtol=1e-4, atol=1e-4, **choice)
        watched = [weakref.ref(y0), weakref.ref(fields[0])]
        solution.y.sum().backward()
        fields.clear()
        del solution, y0
        assert [kept() for kept in watched] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        *(("alf", "damping", value) for value in (0.5, 0.3, 1.1, float("nan"), "half")),
        *(("reversible_rk4", "coupling", value) for value in (0.0, 1.0, 1.5, float("nan"))),
    ],
)
def test_parameters_that_cannot_be_undone_are_refused(method, option, value, y0):
    with pytest.raises(nodekit.errors.InvalidOption, match=f"{option} must be in \\(.*not {value}"):
        nodekit.odeint(lambda t, y: -y, y0, TIMES, method=method, options={option: value}, gradient="reversible")


@pytest.mark.parametrize("name", ["heun2"])
def test_other_names_of_a_method_are_made_reversible_as_it_is(name, field, y0):
    gradients = [
        flat_gradient(
            field, y0, nodekit.odeint(field, y0, TIMES, method=method, gradient=gradient, options={"step_size": 0.1})
        )
        for method, gradient in ((name, "reversible"), ("reversible_heun", "backprop"))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4", "implicit_euler", "trapezoid", "gl4", "dopri5"])
def test_steps_between_the_times_are_differentiated_by_the_times(method, backwards, gradient):
    """Of the numbers returned, by central differences; the flow's derivatives differ from these by the steps' error."""
    y0, w = torch.ones(2, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    times = (times.flip(0) if backwards else times).requires_grad_()
    options = {"grid_constructor": lambda func, y0, t: t} if nodekit.METHODS[method].adaptive else {}

    def func(t, y):
        return -w * y * t + torch.sin(3 * t)

    def loss(t, gradient="checkpoint"):
        y = nodekit.solve(func, y0, t, method=method, options=options, gradient=gradient).y
        return y[1].sum() + 2 * y[2].square().sum()

    def by_differences(size=1e-6):
        units = size * torch.eye(3, dtype=torch.float64)
        with torch.no_grad():
            return torch.stack([loss(times.detach() + unit) - loss(times.detach() - unit) for unit in units]) / size / 2

    differentiable = not (nodekit.METHODS[method].implicit and gradient == "backprop")
    (found,) = torch.autograd.grad(loss(times, gradient), times, create_graph=differentiable)
    torch.testing.assert_close(found.detach(), by_differences(), rtol=1e-6, atol=1e-7)
    if differentiable:
        (second,) = torch.autograd.grad(found.sum(), w)
        with torch.no_grad():
            sums = []
            for change in (1e-4, -2e-4):
                w += change
                sums.append(by_differences().sum())
        torch.testing.assert_close(second, (sums[0] - sums[1]) / 2e-4, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
def test_gradients_by_the_times_of_a_fixed_grid_are_those_of_torchdiffeq(gradient):
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(1, dtype=torch.float64)
    given = {"func": lambda t, y: -y * t, "y0": y0, "t": t, "method": "euler"}
    for solve in (torchdiffeq.odeint, functools.partial(nodekit.odeint, gradient=gradient)):
        (found,) = torch.autograd.grad(solve(**given)[-1].sum(), t)
        torch.testing.assert_close(found, torch.tensor([-0.375, 0.0, -0.5], dtype=torch.float64))
