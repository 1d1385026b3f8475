"""The gradient is that of the forward pass that ran, or the change since is noticed: never that of another function."""

import collections
import copy
import math
import os
import types

import numpy as np
import pytest
import torch
from torch import nn

import nodekit
from nodekit.errors import DerivativeChanged, GradientUnavailable, InvalidDerivative

ALL = ["checkpoint", "backprop", "adjoint", "interpolated", "reversible"]
RECORDED = ["checkpoint", "backprop"]
OTHERS = ["adjoint", "interpolated", "reversible"]
TIGHT = {"rtol": 1e-7, "atol": 1e-7}


def vector(*values, **more):
    return torch.tensor(values, dtype=torch.float64, **more)


class Controlled(nn.Module):
    """y' = −w u y, where u may be anything that the function reads."""

    def __init__(self, read):
        super().__init__()
        self.w, self.read = nn.Parameter(vector(0.5)), read

    def forward(self, t, y):
        return -self.w * self.read(t) * y


RATE = 1.0


class Box:
    pass


def controls():
    """Ways to hold a control, each with a function that sets it anew."""
    inside = Box()
    inside.box = Box()
    space, listed, by_name, array = types.SimpleNamespace(), [1.0], {"u": 1.0}, np.ones(1)
    tensor, closed = vector(1.0), 1.0

    def set_global(u):
        global RATE
        RATE = u

    def set_closed(u):
        nonlocal closed
        closed = u

    yield "closure", lambda t: closed, set_closed
    yield "global", lambda t: RATE, set_global
    yield "namespace", lambda t: space.u, lambda u: setattr(space, "u", u)
    yield "list", lambda t: listed[0], lambda u: listed.__setitem__(0, u)
    yield "dict", lambda t: by_name["u"], lambda u: by_name.__setitem__("u", u)
    yield "two objects deep", lambda t: inside.box.u, lambda u: setattr(inside.box, "u", u)
    yield "new tensor", lambda t: space.v, lambda u: setattr(space, "v", vector(u))
    yield "array in place", lambda t: float(array[0]), lambda u: array.fill(u)
    yield "tensor in place", lambda t: tensor.clone(), lambda u: tensor.fill_(u)
    yield (
        "only in the middle", lambda t: space.w if 0.4 < t < 0.6 else 1.0, lambda u: setattr(space, "w", u)
    )  # fmt: skip


NAMES = [name for name, *_ in controls()]


def solves(name, gradient, **more):
    """The gradient of two solves with other controls, after both; and the function set to each by turns."""
    read, put = next((read, put) for known, read, put in controls() if known == name)
    field = Controlled(read)
    y0 = torch.ones(more.pop("samples", 1), 1, dtype=torch.float64)
    total = 0.0
    for u in (1.0, 3.0):
        put(u)
        options = {"jump_t": [0.4, 0.6]} if name == "only in the middle" and "batch" not in more else None
        y = nodekit.odeint(field, y0, [0.0, 1.0], gradient=gradient, options=options, **TIGHT, **more)
        total = total + y[-1].sum()
    put(1.0)
    return torch.autograd.grad(total, field.w)[0].item()


def exact(name):
    mean = [1.0, 1.0 * 0.8 + 3.0 * 0.2] if name == "only in the middle" else [1.0, 3.0]
    return -sum(u * math.exp(-0.5 * u) for u in mean)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_a_module_with_buffers_that_stay_is_not_solved_again(gradient):
    def evaluations(field):
        count = 0

        def counted(t, y):
            nonlocal count
            count += 1
            return field(t, y)

        nodekit.odeint(counted, vector(1.0), [0.0, 1.0], gradient=gradient)[-1].sum().backward()
        return count

    plain, buffered = Controlled(torch.cos), Controlled(torch.cos)
    buffered.register_buffer("table", vector(1.0, 2.0))
    assert evaluations(buffered) == evaluations(plain)


@pytest.mark.parametrize("gradient", RECORDED)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_recorded_has_the_gradient_of_each_solve(name, gradient):
    assert solves(name, gradient) == pytest.approx(exact(name), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "only in the middle"])
def test_so_have_independent_samples(name):
    assert solves(name, "checkpoint", batch="independent", samples=2) == pytest.approx(2 * exact(name), rel=1e-5)


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_evaluated_again_notices_the_change(name, gradient):
    with pytest.raises(DerivativeChanged, match="args"):
        solves(name, gradient)


@pytest.mark.parametrize("create_graph", [False, True])
def test_steps_that_are_taken_again_notice_the_change(create_graph):
    field, box = Controlled(lambda t: box.u), Box()
    box.u = 1.0
    y0 = vector(1.0, requires_grad=True)
    y = nodekit.odeint(field, y0, [0.0, 1.0], options={"graph_bytes": 0}, **TIGHT)[-1]
    box.u = 3.0
    with pytest.raises(DerivativeChanged, match="graph_bytes"):
        torch.autograd.grad(y.sum(), field.w, create_graph=create_graph)


@pytest.mark.parametrize("gradient", OTHERS)
def test_what_changes_at_every_evaluation_or_has_no_effect_is_no_change(gradient):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.calls, self.last, self.epoch, self.log = nn.Parameter(vector(0.5)), 0, None, 0, []

        def forward(self, t, y):
            self.calls += 1
            self.last = y
            self.log.append(y.detach())
            return -self.w * y

    field = Counting()
    y = nodekit.odeint(field, vector(1.0), [0.0, 1.0], gradient=gradient, **TIGHT)[-1]
    field.epoch += 1
    (found,) = torch.autograd.grad(y.sum(), field.w)
    assert found.item() == pytest.approx(-math.exp(-0.5), rel=1e-5)


def test_second_derivatives_are_those_of_the_forward_pass_too():
    box = Box()
    field = Controlled(lambda t: box.u)
    found = 0.0
    for u in (1.0, 3.0):
        box.u = u
        y0 = vector(2.0, requires_grad=True)
        y = nodekit.odeint(field, y0, [0.0, 1.0], **TIGHT)[-1].sum()
        (slope,) = torch.autograd.grad(y, y0, create_graph=True)
        found = found + slope.square().sum()  # e^(−2 w u)
    box.u = 7.0
    expected = sum(-2 * u * math.exp(-u) for u in (1.0, 3.0))
    assert torch.autograd.grad(found, field.w)[0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gradient", ALL)
@pytest.mark.parametrize("frozen", [True, False])
def test_weights_of_a_functional_call(frozen, gradient):
    h = vector(0.75, requires_grad=True)
    field = Controlled(lambda t: 1.0)
    field.w.requires_grad_(not frozen)
    block = nodekit.NeuralODE(field, gradient=gradient, **TIGHT)
    y = torch.func.functional_call(block, {"func.w": 2 * h}, (vector(1.0),))
    if gradient in RECORDED:
        assert torch.autograd.grad(y.sum(), h)[0].item() == pytest.approx(-2 * math.exp(-1.5), rel=1e-5)
    else:
        with pytest.raises(GradientUnavailable, match="backprop"):
            torch.autograd.grad(y.sum(), h)


@pytest.mark.parametrize("gradient", ALL)
def test_a_mode_that_changed_before_the_backward_pass(gradient):
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(vector(0.5))

        def forward(self, t, y):
            return -self.w * y * (2 if self.training else 1)

    field = Field()
    y = nodekit.odeint(field, vector(1.0), [0.0, 1.0], gradient=gradient, **TIGHT)[-1]
    field.eval()
    if gradient in RECORDED:
        assert torch.autograd.grad(y.sum(), field.w)[0].item() == pytest.approx(-2 * math.exp(-1.0), rel=1e-5)
    else:
        with pytest.raises(DerivativeChanged):
            torch.autograd.grad(y.sum(), field.w)


@pytest.mark.parametrize("gradient", ALL)
@pytest.mark.parametrize("draw", ["torch", "numpy"])
def test_noise_of_generators_of_their_own(draw, gradient):
    w = vector(0.5, requires_grad=True)
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    noise, total = [], {}

    def field(t, y):
        if draw == "torch":
            noise.append(torch.rand(1, dtype=torch.float64, generator=generator).item())
        else:
            noise.append(random.random())
        return -w * y * noise[-1]

    options = {"step_size": 0.1}
    method = "euler" if gradient != "reversible" else "reversible_euler"
    y = nodekit.odeint(field, vector(1.0), [0.0, 1.0], method=method, options=options, gradient=gradient)[-1]
    if gradient not in RECORDED:
        with pytest.raises(DerivativeChanged):
            torch.autograd.grad(y.sum(), w)
        return
    total["exact"] = 0.0  # y = Π (1 − 0.1 w u), so dy/dw = −y Σ 0.1 u / (1 − 0.1 w u)
    for u in noise[:10]:
        total["exact"] -= 0.1 * u / (1 - 0.05 * u)
    assert torch.autograd.grad(y.sum(), w)[0].item() == pytest.approx(y.item() * total["exact"], rel=1e-9)


def hidden_parameters():
    """Places for a parameter that no module lists."""

    class Method(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.use = self.make(rate)

        @staticmethod
        def make(rate):
            return lambda: rate

        def rate(self):
            return self.use()

    class Deep(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.helper = Box()
            self.helper.inner = types.SimpleNamespace(rate=rate)

        def rate(self):
            return self.helper.inner.rate

    class Listed(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.rates = [{"rate": rate}]

        def rate(self):
            return self.rates[0]["rate"]

    class Modules(nn.Module):
        def __init__(self, rate):
            super().__init__()
            part = nn.Module()
            part.rate = rate
            self.parts = [part]

        def rate(self):
            return self.parts[0].rate

    return [Method, Deep, Listed, Modules]


@pytest.mark.parametrize("gradient", [*ALL, "steps taken again"])
@pytest.mark.parametrize("kind", hidden_parameters(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("window", [(1.0, 2.0), (2.75, 3.0)])
def test_a_parameter_used_for_a_while_only_has_its_gradient(window, kind, gradient):
    rate = nn.Parameter(vector(2.0))
    holder, low, high = kind(rate), *window

    class Dosed(nn.Module):
        def __init__(self):
            super().__init__()
            self.k, self.holder = nn.Parameter(vector(0.3)), holder

        def forward(self, t, y):
            return -self.k * y + (self.holder.rate() if low <= t < high else 0.0)

    options = {"jump_t": [low, high]}
    if gradient == "steps taken again":
        gradient, options = "checkpoint", {**options, "graph_bytes": 0}
    y = nodekit.odeint(Dosed(), vector(0.0), [0.0, 3.0], gradient=gradient, options=options, **TIGHT)
    y[-1].sum().backward()
    expected = (math.exp(-0.3 * (3 - high)) - math.exp(-0.3 * (3 - low))) / 0.3
    assert rate.grad.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gradient", [*OTHERS, "steps taken again"])
@pytest.mark.parametrize("last", [True, False])
def test_a_parameter_that_cannot_be_found_is_refused(last, gradient):
    """It is made, and held where nobody looks, by a function that the code only calls."""
    rate = vector(2.0, requires_grad=True)

    class Hidden:
        __slots__ = ()

        def __getattr__(self, name):
            return _VAULT[0]

    _VAULT.clear()
    _VAULT.append(rate)
    hidden, w = Hidden(), vector(0.3, requires_grad=True)

    def field(t, y):
        used = t > 0.9 if last else 0.4 < t < 0.6
        return -w * y + (hidden.rate if used else 0.0)

    options = {"step_size": 0.25} if not last else {"step_size": 1.0}
    more = {"method": "reversible_rk4" if gradient == "reversible" else "rk4", "gradient": gradient}
    if gradient == "steps taken again":
        more["gradient"], options["graph_bytes"] = "checkpoint", 0
    y = nodekit.odeint(field, vector(0.0), [0.0, 1.0], options=options, **more)[-1]
    with pytest.raises(GradientUnavailable, match="params"):
        torch.autograd.grad(y.sum(), w)
    field.__defaults__ = None
    y = nodekit.odeint(field, vector(0.0), [0.0, 1.0], options=options, params=[rate], **more)[-1]
    assert torch.autograd.grad(y.sum(), rate)[0].item() > 0


_VAULT = []


@pytest.mark.parametrize("gradient", [*ALL, "steps taken again"])
@pytest.mark.parametrize("how", ["state", "kept", "logged", "time", "constant", "output"])
def test_a_leaf_made_in_the_function_is_nobodys_parameter(how, gradient):
    torch.manual_seed(0)
    potential = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    kept, log = Box(), []

    def field(t, y):
        with torch.enable_grad():
            if how in ("state", "kept", "logged"):
                x = y.detach().requires_grad_(True)
                kept.x = x if how == "kept" else None
                if how == "logged":
                    log.append(x)
                (force,) = torch.autograd.grad(potential(x).sum(), x, create_graph=True)
                return -force - y
            if how == "time":
                t = t.requires_grad_(True)
                return potential(y) * t - y
            if how == "constant":
                return potential(y) * torch.tensor(1.0, dtype=torch.float64, requires_grad=True) - y
            return potential(y) + torch.zeros_like(y).requires_grad_(True)

    options = None
    if gradient == "steps taken again":
        gradient, options = "checkpoint", {"graph_bytes": 0}
    found = {}
    for choice in (gradient, "backprop"):
        y = nodekit.odeint(
            field, vector(1.0, -0.5), [0.0, 1.0], gradient=choice, method="reversible_dopri5", **TIGHT,
            options=options if choice == gradient else None, params=list(potential.parameters()),
        )  # fmt: skip
        found[choice] = torch.autograd.grad(y[-1].sum(), potential.parameters(), allow_unused=True)
    for one, two in zip(found[gradient], found["backprop"], strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_a_continuous_adjoint_has_no_second_derivative(gradient):
    w, y0 = vector(0.5, requires_grad=True), vector(2.0, requires_grad=True)
    y = nodekit.odeint(lambda t, y: -w * y, y0, [0.0, 1.0], gradient=gradient, **TIGHT)[-1].sum()
    first, by_w = torch.autograd.grad(y, (y0, w), create_graph=True)
    assert first.item() == pytest.approx(math.exp(-0.5), rel=1e-6)
    assert by_w.item() == pytest.approx(-2 * math.exp(-0.5), rel=1e-6)
    for loss in (first.sum(), y + first.square().sum(), by_w.sum()):
        with pytest.raises(GradientUnavailable, match="second"):
            torch.autograd.grad(loss, w, retain_graph=True)


@pytest.mark.parametrize("gradient", ALL)
@pytest.mark.parametrize("method", ["reversible_dopri5", "reversible_rk4"])
def test_many_vectors_at_once(method, gradient):
    W = vector([-0.1, 1.0], [-0.7, -0.1], requires_grad=True)
    options = {} if "dopri5" in method else {"step_size": 0.01}

    def end(y):
        return nodekit.odeint(
            lambda t, y: W @ y, y, [0.0, 0.5, 1.0], gradient=gradient, method=method, options=options, **TIGHT
        )[-1]

    found = torch.autograd.functional.jacobian(end, vector(1.0, 0.5), vectorize=True)
    torch.testing.assert_close(found, torch.matrix_exp(W.detach()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gradient", ALL)
@pytest.mark.parametrize("by", ["state", "parameters"])
@pytest.mark.parametrize("method", ["reversible_dopri5", "rk4", "implicit_midpoint"])
def test_autograd_inside_the_function(method, by, gradient):
    if gradient == "reversible" and method != "reversible_dopri5":
        pytest.skip("not a reversible method")
    k = vector(2.0, requires_grad=by == "parameters")
    y0 = vector(1.0, 0.0, requires_grad=by == "state")

    def oscillator(t, x):  # H = (p² + k q²) / 2
        (slopes,) = torch.autograd.grad((k * x[0] ** 2 + x[1] ** 2).sum() / 2, x, create_graph=True)
        return torch.stack([slopes[1], -slopes[0]])

    options = None if method == "reversible_dopri5" else {"step_size": 0.005}
    y = nodekit.odeint(oscillator, y0, [0.0, 1.0], gradient=gradient, method=method, options=options, **TIGHT)
    q = y[-1][0]
    assert q.item() == pytest.approx(math.cos(math.sqrt(2)), abs=1e-5)
    if by == "state":
        assert torch.autograd.grad(q, y0)[0][0].item() == pytest.approx(math.cos(math.sqrt(2)), abs=1e-5)
    else:
        expected = -math.sin(math.sqrt(2)) / (2 * math.sqrt(2))
        assert torch.autograd.grad(q, k)[0].item() == pytest.approx(expected, abs=1e-5)
    with torch.no_grad():
        y = nodekit.odeint(oscillator, y0, [0.0, 1.0], gradient=gradient, method=method, options=options, **TIGHT)
    assert y[-1][0].item() == pytest.approx(math.cos(math.sqrt(2)), abs=1e-5)


def test_what_carries_no_graph_to_differentiate_is_said():
    with pytest.raises(InvalidDerivative, match="carries no graph"):
        nodekit.odeint(lambda t, y: torch.autograd.grad(y.detach().sum(), y)[0], vector(1.0), [0.0, 1.0])


BUFFERS = {"one": 1, "two by turns": 2, "five by turns": 5}


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5", "dopri8", "explicit_adams", "radauIIA5", "kvaerno5"])
@pytest.mark.parametrize("count", BUFFERS.values(), ids=BUFFERS)
@pytest.mark.parametrize("view", [False, True])
def test_memory_that_the_function_uses_again(view, count, method):
    memory = torch.zeros(count, 4, dtype=torch.float64)
    buffers, calls = [row.clone() for row in memory], [0]

    def heat(t, u, own=True):
        slope = buffers[calls[0] % count] if own else torch.zeros_like(u)
        slope = slope if not view or not own else memory[calls[0] % count]
        calls[0] += 1
        slope[1:-1] = 10 * (u[:-2] - 2 * u[1:-1] + u[2:])
        return slope

    y0 = vector(0.0, 1.0, 2.0, 0.0)
    adaptive = method in ("dopri5", "dopri8", "kvaerno5", "radauIIA5")
    options = None if adaptive else {"step_size": 0.01}
    with torch.no_grad():
        found = nodekit.odeint(heat, y0, [0.0, 0.3], method=method, options=options)
        expected = nodekit.odeint(lambda t, u: heat(t, u, False), y0, [0.0, 0.3], method=method, options=options)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(y0, vector(0.0, 1.0, 2.0, 0.0))


@pytest.mark.parametrize("count", BUFFERS.values(), ids=BUFFERS)
def test_large_memory_that_the_function_uses_again(count):
    """Of more than a mebibyte, of which not every result can be held while the first evaluations are watched."""
    y0 = torch.linspace(0, 1, 150_000, dtype=torch.float64)
    buffers, calls = [torch.empty_like(y0) for _ in range(count)], [0]

    def field(t, y):
        calls[0] += 1
        return torch.neg(y, out=buffers[calls[0] % count]).mul_(1 + t)

    with torch.no_grad():
        found = nodekit.odeint(field, y0, [0.0, 1.0], method="rk4", options={"step_size": 0.1})
    torch.testing.assert_close(found[-1], y0 * math.exp(-1.5), rtol=1e-5, atol=0)


@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.parametrize("when", [0.0, 0.5])
@pytest.mark.parametrize("structure", [lambda y: y, lambda y: (y, y.clone())])
def test_a_function_that_changes_its_argument_is_refused(structure, when, batch):
    y0 = torch.full((2, 1), 2.0, dtype=torch.float64)
    state = structure(y0)

    def field(t, y):
        first = y if isinstance(y, torch.Tensor) else y[0]
        if bool((t >= when).all()):
            first.clamp_(max=1.0)
        return torch.ones_like(y) if isinstance(y, torch.Tensor) else tuple(torch.ones_like(x) for x in y)

    with torch.no_grad(), pytest.raises(InvalidDerivative, match="in place"):
        nodekit.odeint(field, state, [0.0, 1.0], method="rk4", options={"step_size": 0.25}, batch=batch)
    assert torch.equal(y0, torch.full((2, 1), 2.0, dtype=torch.float64))


def test_steps_that_rounding_keeps_from_being_undone_are_said():
    """What decays on the way there grows on the way back, and with it the rounding errors: by e^12 here."""

    def gradient(dtype, how):
        y0 = torch.ones(2, dtype=dtype, requires_grad=True)
        rate = torch.tensor([1.0, 12.0], dtype=dtype, requires_grad=True)
        times, options = torch.tensor([0.0, 1.0], dtype=dtype), {"step_size": 1 / 200}
        field = lambda t, y: -rate * y + torch.cos(t)  # noqa: E731
        y = nodekit.odeint(field, y0, times, method="reversible_heun", options=options, gradient=how)
        return torch.autograd.grad(y[-1].sum(), [y0, rate])

    double = torch.float64
    torch.testing.assert_close(gradient(double, "reversible"), gradient(double, "checkpoint"), rtol=1e-5, atol=1e-7)
    with pytest.raises(DerivativeChanged, match="rounding errors of 200 undone steps have grown too large"):
        gradient(torch.float32, "reversible")


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated", "reversible"])
@pytest.mark.parametrize("where", ["class", "environment", "queue", "bytes"])
def test_a_change_that_does_not_show_at_the_start_is_noticed_wherever_it_is(gradient, where, monkeypatch):
    """Of what nobody sees to be read, the last slope and one between tell."""
    rate, held = vector(0.5, requires_grad=True), type("Held", (), {"gain": 1.0})
    queue, number = collections.deque([1.0]), bytearray([1])
    monkeypatch.setenv("GAIN", "1.0")
    read = {
        "class": lambda: held.gain,
        "environment": lambda: float(os.environ["GAIN"]),
        "queue": lambda: queue[0],
        "bytes": lambda: number[0],
    }[where]
    y = nodekit.odeint(lambda t, y: -rate * y * (1 + read() * t), vector(1.0), [0.0, 1.0], gradient=gradient)
    monkeypatch.setenv("GAIN", "5.0")
    held.gain = queue[0] = 5.0
    number[0] = 5
    with pytest.raises(DerivativeChanged):
        y[-1].sum().backward()


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint", "interpolated", "reversible"])
def test_a_callback_that_changes_the_state_is_refused(gradient):
    class Doubled(nn.Module):
        def forward(self, t, y):
            return -y

        def callback_step(self, t, y, dt):
            y.mul_(2.0)

    with pytest.raises(InvalidDerivative, match="callback_step"):
        nodekit.odeint(Doubled(), vector(1.0), [0.0, 1.0], gradient=gradient)


@pytest.mark.parametrize("gradient", OTHERS)
@pytest.mark.parametrize(
    "levels", [vector(1.0, 2.0, 3.0, 4.0), [1.0, 2.0, 3.0, 4.0], np.array([1.0, 2.0, 3.0, 4.0])], ids=type
)
def test_arguments_that_change_for_a_while_only_are_noticed(gradient, levels):
    """The first slope, the last one and one between do not tell."""
    w = vector(0.1, requires_grad=True)
    levels = copy.deepcopy(levels)
    y = nodekit.odeint(
        lambda t, y, levels: -w * levels[min(int(t), 3)] * y, vector(1.0), [0.0, 4.0], args=(levels,), **TIGHT,
        gradient=gradient, options={"jump_t": [1.0, 2.0, 3.0]},
    )[-1].sum()  # fmt: skip
    levels[1] = 20.0
    with pytest.raises(DerivativeChanged):
        y.backward()
