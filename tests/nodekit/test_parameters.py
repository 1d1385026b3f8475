"""No gradient is silently zero: tensors that the derivative uses are found wherever they come from."""

import functools
import math

import pytest
import torch
import torchdiffeq
from torch import nn

import nodekit

T = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)
GRADIENTS = ["checkpoint", "adjoint", "interpolated", "reversible"]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def solve(func, y0, gradient, **more):
    return nodekit.odeint(func, y0, T, gradient=gradient, rtol=1e-9, atol=1e-10, **more)


def expected(rate, y0):
    """Of the sum of y0 exp(rate t) over T, the derivative with respect to rate."""
    return (y0 * T * torch.exp(rate * T)).sum()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_captured_leaf_is_found(gradient):
    rate, y0 = tensor(0.7), torch.ones(1, dtype=torch.float64)
    solve(lambda t, y: rate * y, y0, gradient).sum().backward()
    torch.testing.assert_close(rate.grad[0], expected(rate.detach(), y0), rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_captured_computed_tensor_is_followed_to_its_leaves(gradient):
    root, y0 = tensor(0.5), torch.ones(1, dtype=torch.float64)
    rate = root**2 + 0.45
    solve(lambda t, y: rate * y, y0, gradient).sum().backward()
    torch.testing.assert_close(root.grad[0], 2 * 0.5 * expected(rate.detach(), y0), rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("how", ["args", "params"])
def test_a_named_computed_tensor_receives_its_gradient(gradient, how):
    root, y0 = tensor(0.5), torch.ones(1, dtype=torch.float64)
    rate = root**2 + 0.45
    if how == "args":
        y = solve(lambda t, y, rate: rate * y, y0, gradient, args=(rate,))
    else:
        y = solve(lambda t, y: rate * y, y0, gradient, params=[rate])
    y.sum().backward()
    torch.testing.assert_close(root.grad[0], 2 * 0.5 * expected(rate.detach(), y0), rtol=1e-7, atol=0)


class Hyper(nn.Module):
    """A module whose weight is made by another, and kept as a plain attribute."""

    def __init__(self):
        super().__init__()
        self.make = nn.Linear(1, 1).double()
        self.rate = None

    def forward(self, t, y):
        return self.rate * y


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_weight_made_by_another_module_is_differentiated(gradient):
    torch.manual_seed(0)
    module, y0 = Hyper(), torch.ones(1, dtype=torch.float64)
    gradients = {}
    for choice in (gradient, "backprop"):
        module.rate = module.make(torch.ones(1, dtype=torch.float64))
        y = solve(module, y0, choice, method="reversible_dopri5")
        gradients[choice] = torch.autograd.grad(y.sum(), module.make.parameters())
    torch.testing.assert_close(gradients[gradient], gradients["backprop"], rtol=1e-7, atol=1e-9)


def test_parameters_that_only_matter_later_are_found():
    """At t = 0 the second rate has no part in the graph; as the module's own it is differentiated nevertheless."""

    class Switched(nn.Module):
        def __init__(self):
            super().__init__()
            self.rates = nn.ParameterList([tensor(0.3), tensor(0.9)])

        def forward(self, t, y):
            return self.rates[int(t > 0.5)] * y

    module = Switched()
    y0 = torch.ones(1, dtype=torch.float64)
    solve(module, y0, "checkpoint", options={"jump_t": [0.5]})[-1].sum().backward()
    end = torch.exp(torch.tensor([0.5 * 0.3 + 0.5 * 0.9], dtype=torch.float64))
    for rate in module.rates:
        torch.testing.assert_close(rate.grad, 0.5 * end, rtol=1e-7, atol=0)


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(2, 2).double(), nn.Linear(2, 2).double()

    def forward(self, t, y):
        return self.used(y)


@pytest.mark.parametrize("solve", [torchdiffeq.odeint, nodekit.odeint])
def test_unused_parameters_have_no_gradient(solve):
    module = Both()
    solve(module, torch.ones(2, dtype=torch.float64), T).sum().backward()
    assert module.used.weight.grad is not None
    assert module.unused.weight.grad is None


@pytest.mark.parametrize(
    "solve",
    [torchdiffeq.odeint_adjoint, nodekit.odeint_adjoint, functools.partial(nodekit.odeint, gradient="interpolated")],
)
def test_unused_parameters_have_a_gradient_of_zero_by_a_continuous_adjoint(solve):
    module = Both()
    solve(module, torch.ones(2, dtype=torch.float64), T).sum().backward()
    assert module.used.weight.grad.abs().min() > 0
    for parameter in module.unused.parameters():
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=0)


RATE = tensor(0.9)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("where", ["closure", "global", "object", "list"])
def test_tensors_that_only_matter_later_are_found_where_the_derivative_holds_them(gradient, where):
    late = RATE if where == "global" else tensor(0.9)

    def switched(t, y, late):
        return torch.where(t < 0.5, 0.3, late if t > 0.5 else 0.0) * y

    class Callable:
        def __init__(self):
            self.late = late

        def __call__(self, t, y):
            return switched(t, y, self.late)

    func = {
        "closure": lambda t, y: switched(t, y, late),
        "global": lambda t, y: switched(t, y, RATE),
        "object": Callable(),
        "list": functools.partial(lambda tensors, t, y: switched(t, y, tensors[0]), [late]),
    }[where]
    y0 = torch.ones(1, dtype=torch.float64)
    y = solve(func, y0, gradient, options={"jump_t": [0.5]})[-1]
    (found,) = torch.autograd.grad(y.sum(), late)
    torch.testing.assert_close(found, 0.5 * y.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_tensor_that_cannot_be_found_is_an_error_where_it_is_not_recorded(gradient):
    """It comes in after the start, from where no one would look."""
    hidden = type("Registry", (), {"rate": tensor(0.9)})

    def func(t, y):
        return y * 0.3 if t < 0.5 else y * hidden.rate

    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    y = solve(func, y0, gradient, options={"jump_t": [0.5]})[-1]
    if gradient == "checkpoint":
        y.sum().backward()
        assert hidden.rate.grad.item() == pytest.approx(0.5 * math.exp(0.5 * 0.3 + 0.5 * 0.9), rel=1e-7)
        return
    with pytest.raises(nodekit.errors.GradientUnavailable, match=r"shape \(1,\).*params"):
        y.sum().backward()


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible"])
@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_tensor_that_cannot_be_found_is_not_lost_where_nothing_else_requires_a_gradient(gradient, batch):
    """The forward pass evaluates with graphs, of which there are none before it comes in."""
    if batch == "independent" and gradient not in ("checkpoint", "adjoint"):
        return
    hidden = type("Registry", (), {"dose": tensor(0.9)})

    def func(t, y):
        return -y + hidden.dose * ((t > 0.5) & (t < 0.75)) if (t > 0.5).any() else -y

    options = {"jump_t": [0.5, 0.75]}
    if gradient == "checkpoint":
        options["graph_bytes"] = 0
    y0, by_dose = torch.ones(1, 1, dtype=torch.float64), math.exp(-0.25) - math.exp(-0.5)
    y = nodekit.odeint(func, y0, [0.0, 1.0], rtol=1e-9, atol=1e-9, gradient=gradient, options=options, batch=batch)[-1]
    assert y.item() == pytest.approx(math.exp(-1) + 0.9 * by_dose, rel=1e-7)
    if gradient == "checkpoint":
        y.sum().backward()
        assert hidden.dose.grad.item() == pytest.approx(by_dose, rel=1e-7)
        return
    with pytest.raises(nodekit.errors.GradientUnavailable, match=r"shape \(1,\).*params"):
        (y.sum() + hidden.dose.sum()).backward()


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated", "reversible"])
def test_leaves_of_the_derivatives_own_are_not_looked_for_where_nothing_requires_a_gradient(gradient):
    """Each is met once; the solve then is what it is without gradients."""
    kept = []

    def func(t, y):
        if t < 0.5:
            return -y
        x = y.detach().requires_grad_()
        with torch.enable_grad():
            kept.append(x)
            return torch.autograd.grad((-(x**2) / 2).sum(), x, create_graph=True)[0]

    solution = nodekit.solve(func, torch.ones(1, dtype=torch.float64), [0.0, 1.0], gradient=gradient)
    assert not solution.y.requires_grad
    assert solution.y[-1].item() == pytest.approx(math.exp(-1), rel=1e-6)


@pytest.mark.parametrize(
    ("gradient", "create_graph"),
    [*((gradient, False) for gradient in GRADIENTS), ("checkpoint", True), ("reversible", True)],
)
def test_a_hook_on_a_parameter_runs_once(gradient, create_graph):
    rate, y0, calls = tensor(0.7), torch.ones(1, dtype=torch.float64), []

    def double(gradient):
        calls.append(gradient)
        return 2 * gradient

    rate.register_hook(double)
    y = solve(lambda t, y: rate * y, y0, gradient)
    (found,) = torch.autograd.grad(y.sum(), rate, create_graph=create_graph)
    assert len(calls) == 1
    torch.testing.assert_close(found[0].detach(), 2 * expected(rate.detach(), y0), rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_computed_tensor_keeps_its_hook_and_the_gradient_it_retains(gradient):
    root, y0 = tensor(0.5), torch.ones(1, dtype=torch.float64)
    rate = root**2 + 0.45
    rate.retain_grad()
    rate.register_hook(lambda gradient: 2 * gradient)
    solve(lambda t, y: rate * y, y0, gradient).sum().backward()
    twice = 2 * expected(rate.detach(), y0)
    torch.testing.assert_close(rate.grad[0], twice, rtol=1e-7, atol=0)
    torch.testing.assert_close(root.grad[0], twice, rtol=1e-7, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_solve_within_a_derivative_is_differentiated_once(gradient):
    """Each inner solve closes over a state that the one before led to: none of them asks those before again."""
    evaluations = 0

    def outer(rate, gradient):
        def inner(s, z, rate, y):
            nonlocal evaluations
            evaluations += 1
            return y - rate * z

        def field(t, y):
            relaxed = nodekit.odeint(
                lambda s, z: inner(s, z, rate, y), torch.zeros_like(y), [0.0, 1.0], method="rk4", gradient=gradient
            )
            return -rate * relaxed[-1]

        y0 = torch.ones(1, dtype=torch.float64)
        return nodekit.odeint(field, y0, [0.0, 0.5, 1.0], method="rk4", gradient="backprop")[-1].sum()

    rate = tensor(0.7)
    y = outer(rate, gradient)
    evaluations = 0
    (found,) = torch.autograd.grad(y, rate)
    assert evaluations < 40 * 8  # eight inner solves of four evaluations
    exact = torch.autograd.functional.jacobian(lambda rate: outer(rate, "backprop"), rate.detach())
    tolerance = {"adjoint": 0.05, "interpolated": 0.05, "reversible": 0.05}.get(gradient, 1e-12)
    torch.testing.assert_close(found, exact, rtol=tolerance, atol=0)


class Scheduled(nn.Module):
    """y' = −w(t) y, where w is computed once for each time."""

    def __init__(self, kept):
        super().__init__()
        self.w, self.kept, self.found = nn.Parameter(torch.tensor([0.5, 0.3], dtype=torch.float64)), kept, {}
        self.cached = functools.lru_cache(maxsize=None)(self.computed)

    def computed(self, time):
        return self.w[0] + self.w[1] * time

    def rate(self, time):
        if self.kept == "dict":
            if time not in self.found:
                self.found[time] = self.computed(time)
            return self.found[time]
        return self.cached(time) if self.kept == "lru_cache" else self.computed(time)

    def forward(self, t, y):
        return -self.rate(float(t)) * y


@pytest.mark.parametrize(
    ("kept", "method"),
    [("dict", "dopri5"), ("dict", "rk4"), ("dict", "kvaerno5"), ("lru_cache", "dopri5"), ("lru_cache", "kvaerno5")],
)
@pytest.mark.parametrize(
    ("gradient", "options"),
    [("checkpoint", {"graph_bytes": 0}), ("checkpoint", {}), *((g, {}) for g in (*GRADIENTS[1:], "backprop"))],
)
def test_weights_that_are_computed_once_for_each_time_keep_their_gradient(kept, gradient, options, method):
    if gradient == "reversible" and method not in ("dopri5", "rk4"):
        pytest.skip("no reversible method")
    options = {**options, **({"step_size": 0.1} if method == "rk4" else {})}
    found = []
    for field in (Scheduled(kept), Scheduled(None)):
        for _ in range(2):  # the second solve reads what the first kept
            y = nodekit.odeint(
                field, torch.ones(1, dtype=torch.float64), [0.0, 0.4, 1.0], rtol=1e-6, atol=1e-6, method=method,
                gradient=gradient, options=options,
            )  # fmt: skip
        y[-1].sum().backward()
        found.append(field.w.grad)
    # What is kept for one time alone has an integrand of one time alone, which continuous adjoints look into.
    looks_into = gradient in ("adjoint", "interpolated") and not options
    torch.testing.assert_close(found[0], found[1], rtol=1e-5 if looks_into else 1e-9, atol=0)
    y1 = math.exp(-0.5 - 0.3 / 2)
    torch.testing.assert_close(found[0], torch.tensor([-y1, -y1 / 2], dtype=torch.float64), rtol=1e-4, atol=0)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("method", ["dopri5", "kvaerno5"])
def test_parametrized_weights_that_torch_keeps_and_that_matter_later_only(gradient, method):
    """Within torch.nn.utils.parametrize.cached() a weight is what its first use made of it, graph or no graph."""
    if gradient == "reversible" and method == "kvaerno5":
        pytest.skip("no reversible method")
    torch.manual_seed(0)
    first, second = (nn.Linear(1, 1, bias=False).double() for _ in range(2))
    nn.utils.parametrizations.weight_norm(second)

    class Phases(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, t, y):
            return (self.first if t < 0.5 else self.second)(y)

    with nn.utils.parametrize.cached():
        y = nodekit.odeint(
            Phases(), torch.ones(1, dtype=torch.float64), [0.0, 1.0], rtol=1e-8, atol=1e-8, method=method,
            gradient=gradient, options={"jump_t": [0.5]},
        )[-1].sum()  # fmt: skip
        y.backward()
    length = second.parametrizations.weight.original0  # the weight is this length times a sign
    exact = 0.5 * y.detach() * torch.sign(second.weight)
    torch.testing.assert_close(length.grad, exact.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("gradient", [*GRADIENTS, "backprop"])
def test_a_module_among_the_arguments_that_matters_later_only(gradient):
    rate = nn.Linear(1, 1, bias=False).double()

    def field(t, y, module):
        return -(y if t < 0.5 else module(y))

    y = nodekit.odeint(
        field, torch.ones(1, dtype=torch.float64), [0.0, 1.0], args=(rate,), rtol=1e-8, atol=1e-8, gradient=gradient,
        options={"jump_t": [0.5]},
    )[-1].sum()  # fmt: skip
    y.backward()
    torch.testing.assert_close(rate.weight.grad.sum(), -0.5 * y.detach(), rtol=1e-6, atol=0)
