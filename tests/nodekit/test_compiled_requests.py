"""What compile=True takes beside a module and one tensor, what it notices between two calls, and what it refuses."""

import functools
import gc
import weakref

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import nodekit

DOUBLE = torch.float64
EULER = {"method": "euler", "options": {"step_size": 0.5}}
T = torch.tensor([0.0, 0.7, 1.0, 2.5], dtype=DOUBLE)


class Driven(nn.Module):
    """y' = tanh(W y) + forcing(t) scaled by an argument, two components a row."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2, dtype=DOUBLE)
        self.forcing = nodekit.Forcing([0.0, 1.0, 1.6, 3.0], torch.tensor([[1.0, 0], [-2, 1], [3, 2], [0, 0]]).double())
        self.forcing.kind = "constant"
        self.rate = 1.0

    def forward(self, t, y, scale=1.0):
        return torch.tanh(self.layer(y)) * self.rate + self.forcing(t) * scale

    def reversed(self, t, y):
        return -self(t, y)


def with_args():
    field, drive = Driven(), torch.tensor([0.5, -1.0], dtype=DOUBLE, requires_grad=True)

    def func(t, y, given, power, net):
        return net(y) * given["drive"] ** 2 - y * power

    return (
        func,
        torch.randn(3, 2, dtype=DOUBLE),
        {"args": ({"drive": drive}, 0.5, field.layer)},
        [drive, *field.layer.parameters()],
    )


def with_a_tuple_state():
    net = nn.Linear(3, 3, dtype=DOUBLE)
    start = torch.randn(3, dtype=DOUBLE), {"energy": torch.ones(1, 1, dtype=DOUBLE)}

    def func(t, state):
        y, more = state
        return torch.tanh(net(y)), {"energy": -more["energy"] * y.square().sum()}

    return func, start, {"rtol": (1e-4, 1e-8), "atol": (1e-4, 1e-8)}, list(net.parameters())


def with_jumps():
    field = Driven()
    given = {"options": {"jump_t": field.forcing.breaks, "step_t": [0.3]}}
    return field, torch.randn(3, 2, dtype=DOUBLE), given, list(field.layer.parameters())


def with_tolerances_of_components():
    field = Driven()
    given = {"rtol": torch.tensor([1e-3, 1e-9]).double(), "atol": torch.tensor([1e-3, 0.0]).double()}
    given["method"] = "bosh3"
    return field.reversed, torch.randn(3, 2, dtype=DOUBLE), given, list(field.layer.parameters())


class Shared(nn.Module):
    """One layer under two names, and its weights in another one, too."""

    def __init__(self):
        super().__init__()
        self.first = self.last = nn.Linear(2, 2, dtype=DOUBLE)
        self.tied = nn.Linear(2, 2, dtype=DOUBLE)
        self.tied.weight = self.first.weight

    def forward(self, t, y):
        return self.last(torch.tanh(self.tied(self.first(y))))


def test_weights_with_several_names_get_their_whole_gradient_and_stay_where_they_are():
    torch.manual_seed(2)
    field, y0 = Shared(), torch.randn(2, dtype=DOUBLE)
    weights = [field.first.weight, field.first.bias, field.tied.bias]
    eager, compiled = (
        torch.autograd.grad(nodekit.odeint(field, y0, [0.0, 1.0], compile=compile, **EULER)[-1].sum(), weights)
        for compile in (False, True)
    )
    for one, other in zip(eager, compiled, strict=True):
        torch.testing.assert_close(one, other)
    assert [id(x) for x in (field.last.weight, field.last.bias, field.tied.bias)] == [id(x) for x in weights]
    assert field.tied.weight is field.last.weight


@pytest.mark.parametrize("make", [with_args, with_a_tuple_state, with_jumps, with_tolerances_of_components])
def test_what_is_compiled_gives_the_eager_solution_gradients_and_steps(make):
    torch.manual_seed(1)
    func, y0, given, parameters = make()
    leaves, structure = torch.utils._pytree.tree_flatten(y0)
    leaves = [x.requires_grad_() for x in leaves]
    wanted = [*leaves, *parameters]

    def found(compile):
        start = torch.utils._pytree.tree_unflatten(leaves, structure)
        solution = nodekit.solve(func, start, T, **{"rtol": 1e-6, "atol": 1e-6, **given}, compile=compile)
        outputs = torch.utils._pytree.tree_leaves(solution.y)
        loss = sum((y * T.view(-1, *[1] * (y.ndim - 1))).square().sum() for y in outputs)
        stats = solution.stats
        once = torch.autograd.grad(loss, wanted, retain_graph=True)
        first = torch.autograd.grad(loss, wanted, create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), wanted)
        return [*outputs, *once, *second], (stats.accepted, stats.rejected, stats.nfe_forward)

    def agree():
        (one, steps), (other, compiled_steps) = found(False), found(True)
        for eager, compiled in zip(one, other, strict=True):
            torch.testing.assert_close(eager, compiled, rtol=1e-8, atol=1e-9)
        assert steps == compiled_steps

    agree()
    graphs = counters["stats"]["unique_graphs"]
    with torch.no_grad():
        for x in wanted:
            x *= 0.9  # as an optimizer does
    agree()
    assert counters["stats"]["unique_graphs"] == graphs


Y0 = torch.tensor([1.0, 2.0], dtype=DOUBLE)


def end(func, **given):
    """y(1) of y' = −k y by two steps of Euler's method: (1 − k/2)² y(0)."""
    return nodekit.odeint(func, Y0, [0.0, 1.0], compile=True, **EULER, **given)[-1]


def expected(rate):
    return Y0 * (1 - rate / 2) ** 2


def by_closure():
    rate, weight = 1.0, torch.tensor(1.0, dtype=DOUBLE)

    def made(rate, weight):
        return lambda t, y: -rate * weight * y

    return [(made(rate, weight), 1.0), (made(0.5, weight), 0.5), (made(0.5, 3 * weight), 1.5)]


def by_default():
    def made(rate):
        def func(t, y, k=rate):
            return -k * y

        return func

    return [(made(1.0), 1.0), (made(0.5), 0.5)]


def by_partial():
    def func(t, y, k):
        return -k * y

    return [(functools.partial(func, k=1.0), 1.0), (functools.partial(func, k=0.5), 0.5)]


@pytest.mark.parametrize("make", [by_closure, by_default, by_partial])
def test_functions_that_differ_in_what_they_hold_are_told_apart(make):
    for func, rate in make():
        torch.testing.assert_close(end(func), expected(rate))


class Decay(nn.Module):
    rate = 1.0

    def __init__(self):
        super().__init__()
        self.part = nn.Identity()
        self.register_buffer("scale", torch.ones((), dtype=DOUBLE))

    def forward(self, t, y):
        return -self.rate * self.slope(y)

    def slope(self, y):
        return self.scale * self.part(y)


def test_what_changes_between_calls_takes_effect(monkeypatch):
    field = Decay()
    torch.testing.assert_close(end(field), expected(1.0))
    field.scale.fill_(0.5)
    torch.testing.assert_close(end(field), expected(0.5))
    field.scale = torch.tensor(0.25, dtype=DOUBLE)
    torch.testing.assert_close(end(field), expected(0.25))
    field.rate = 2.0
    torch.testing.assert_close(end(field), expected(0.5))
    hook = field.part.register_forward_hook(lambda module, inputs, output: 3 * output)
    torch.testing.assert_close(end(field), expected(1.5))
    hook.remove()
    torch.testing.assert_close(end(field), expected(0.5))
    monkeypatch.setattr(Decay, "slope", lambda self, y: 1.5 * y)
    torch.testing.assert_close(end(field), expected(3.0))
    monkeypatch.setattr(Decay, "forward", lambda self, t, y: -y)
    torch.testing.assert_close(end(field), expected(1.0))


def test_what_changes_too_often_is_named():
    def func(t, y, rate):
        return -rate * y

    with torch._dynamo.config.patch(recompile_limit=2):
        found = [end(func, args=(rate,)) for rate in (0.5, 1.0)]
        torch.testing.assert_close(found, [expected(0.5), expected(1.0)])
        with pytest.raises(nodekit.errors.UnsupportedCombination, match="as a tensor in args"):
            end(func, args=(1.5,))


def closed_over():
    weight = torch.ones((), dtype=DOUBLE, requires_grad=True)
    return lambda t, y: -weight * y


def computed():
    weight = torch.ones((), dtype=DOUBLE, requires_grad=True)
    scaled = 2 * weight
    return lambda t, y: -scaled * y


def read_beside_its_module():
    layer = nn.Linear(2, 2, dtype=DOUBLE)
    weights = [layer.weight]
    return lambda t, y: layer(y) + weights[0] @ y


@pytest.mark.parametrize(
    ("make", "words"),
    [(closed_over, "as 'weight'"), (computed, "as 'scaled'"), (read_beside_its_module, r"shape \(2, 2\)")],
)
def test_tensors_whose_gradients_would_be_lost_are_refused_by_name(make, words):
    func = make()
    with pytest.raises(nodekit.errors.UnsupportedCombination, match=words):
        end(func)
    with torch.no_grad():
        torch.testing.assert_close(end(func), nodekit.odeint(func, Y0, [0.0, 1.0], **EULER)[-1])


class Counting(Decay):
    def slope(self, y):
        self.rate = self.rate + 1.0
        return y


class Averaging(Decay):
    def slope(self, y):
        self.scale.mul_(0.9)
        return self.scale * y


@pytest.mark.parametrize(("kind", "words"), [(Counting, "rate"), (Averaging, "'buffer scale'")])
def test_a_derivative_that_changes_what_it_reads_is_refused(kind, words):
    with pytest.raises(nodekit.errors.UnsupportedCombination, match=words), torch.no_grad():
        end(kind())


def test_a_weight_that_is_replaced_before_the_backward_pass_is_noticed():
    field, y0 = Shared(), torch.randn(2, dtype=DOUBLE)
    loss = nodekit.odeint(field, y0, [0.0, 1.0], compile=True, **EULER)[-1].sum()
    field.tied = nn.Linear(2, 2, dtype=DOUBLE)
    with pytest.raises(nodekit.errors.DerivativeChanged):
        loss.backward()


def test_a_derivative_that_holds_the_last_solution_does_not_hold_those_before():
    field, y0, solutions = Shared(), torch.randn(2, dtype=DOUBLE), []
    for _ in range(3):
        with torch.no_grad():
            field.solution = nodekit.solve(field, y0, [0.0, 1.0], compile=True, dense=True, **EULER)
        solutions.append(weakref.ref(field.solution))
    gc.collect()
    assert [solution() is None for solution in solutions] == [True, True, False]


def test_outputs_before_a_failure_have_their_gradient():
    """y' = y² with y(0) = a is a / (1 − a t), whose derivative by a is 1 / (1 − a t)²; infinite at t = 1."""
    y0 = torch.ones(1, dtype=DOUBLE, requires_grad=True)
    solution = nodekit.solve(lambda t, y: y * y, y0, [0.0, 0.5, 2.0, 3.0], compile=True, throw=False)
    assert not solution.success
    (found,) = torch.autograd.grad(solution.y[1].sum(), y0)
    assert found.item() == pytest.approx(4.0, rel=1e-5)
