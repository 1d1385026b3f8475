"""compile=True gives the numbers of the uncompiled solve, fails as it does, and says what it cannot compile."""

import copy
import gc
import math
import os
import re
import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import nodekit
from nodekit._compiled import loops
from nodekit.flows import HyperPlanarField

DOUBLE = torch.float64
FIXED_STEPS = {"method": "rk4", "options": {"step_size": 0.25}}


class Oscillator(nn.Module):
    """Two damped oscillators, driven."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.linear.weight.data = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)

    def forward(self, t, y):
        return self.linear(torch.tanh(y)) + torch.sin(t)


Y0 = torch.tensor([[1.0, 0.0], [0.5, -2.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("method", "times", "options", "again"),
    [
        ("dopri5", torch.linspace(0, 3, 11, dtype=torch.float64), None, 0),
        ("dopri5", torch.tensor([2.0, -1.0], dtype=torch.float64), {"controller": "PI"}, 0),
        # The last step evaluates the slope at its end, as steps with outputs inside need it.
        ("rk4", torch.linspace(0, 1, 4, dtype=torch.float64), {"step_size": 0.25}, 1),
        # Without a slope to carry on, the first step evaluates anew what the solve began with.
        ("rk4", torch.linspace(0, 1, 3, dtype=torch.float64), {"step_size": 0.25}, 1),
    ],
)
def test_compiled_solves_and_gradients_are_the_eager_ones(method, times, options, again, monkeypatch):
    monkeypatch.setattr(loops, "_STEPS", 8)  # more than one chunk
    results, solutions = [], []
    for compile in (False, True):
        layer, y0 = Oscillator(), Y0.clone().requires_grad_()
        given = {"method": method, "rtol": 1e-6, "atol": 1e-6, "options": options, "compile": compile}
        solution = nodekit.solve(layer, y0, times, **given)
        loss = (solution.y * torch.arange(1.0, len(times) + 1, dtype=torch.float64).view(-1, 1, 1)).square().mean()
        first = torch.autograd.grad(loss, [y0, layer.linear.weight], create_graph=True)
        results.append([solution.y.detach(), *torch.autograd.grad(loss, [y0, layer.linear.weight], retain_graph=True)])
        results[-1] += [*first, *torch.autograd.grad(first[0].square().sum(), [y0, layer.linear.weight])]
        with torch.no_grad():
            layer.linear.weight *= 0.5  # as an optimizer does
            results[-1].append(nodekit.odeint(layer, y0, times, **given))
        solutions.append(solution)
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(eager, compiled, rtol=1e-9, atol=1e-10)
    eager, compiled = (solution.stats for solution in solutions)
    assert (eager.accepted, eager.rejected) == (compiled.accepted, compiled.rejected)
    assert compiled.nfe_forward == eager.nfe_forward + again
    assert compiled.first_step == (eager.first_step and pytest.approx(eager.first_step, rel=1e-6))


class Wide(nn.Module):
    """A small network, each of whose samples moves by itself and by the mean of all."""

    def __init__(self, size, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, size, bias=False))

    def forward(self, t, y):
        return self.layers(y) - 0.1 * y.mean(0) + torch.cos(t)


class OfTwoTensors(nn.Module):
    """A state (y, energy)."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2, dtype=DOUBLE)

    def forward(self, t, state):
        y, energy = state
        return torch.tanh(self.layer(y)), -energy * y.square().sum() * torch.cos(t)


@pytest.mark.parametrize(
    ("make", "given"),
    [
        # Computed transposed, in several chunks, with slopes that are evaluated for the dense output alone.
        (lambda: (Wide(3, 8).double(), [torch.linspace(-1, 1, 24, dtype=DOUBLE).view(8, 3)]), {"method": "dopri8"}),
        (lambda: (OfTwoTensors(), [torch.tensor(x, dtype=DOUBLE) for x in ([1.0, 2.0], [[3.0]])]), FIXED_STEPS),
    ],
    ids=["chosen steps of one tensor", "given steps of two tensors"],
)
def test_dense_output_of_a_compiled_solve_is_the_eager_one_with_its_gradients(make, given, monkeypatch):
    monkeypatch.setattr(loops, "_STEPS", 3)
    torch.manual_seed(4)
    (field, leaves), times = make(), torch.tensor([0.0, 1.1, 2.0], dtype=DOUBLE)
    leaves = [x.requires_grad_() for x in leaves]
    wanted, asked = [*leaves, *field.parameters()], torch.tensor([2.0, 0.0, 0.3, 1.9, 0.3, 1.1], dtype=DOUBLE)
    weights = torch.arange(1.0, 7, dtype=DOUBLE)

    def found(compile):
        y0 = leaves[0] if len(leaves) == 1 else tuple(leaves)
        solution = nodekit.solve(field, y0, times, rtol=1e-9, atol=1e-9, dense=True, compile=compile, **given)
        states, outputs = (tree_leaves(x) for x in (solution.dense(asked), solution.y))
        of_dense = sum(torch.tensordot(weights, x, 1).square().sum() for x in states)
        results = [*states, *outputs]
        for loss in (of_dense, of_dense + outputs[0].sum(), outputs[0].square().sum()):
            first = torch.autograd.grad(loss, wanted, create_graph=True)
            results += [*first, *torch.autograd.grad(loss, wanted, retain_graph=True)]
            results += torch.autograd.grad(sum(x.square().sum() for x in first), wanted, retain_graph=True)
        with torch.no_grad():
            unrecorded = nodekit.solve(field, y0, times, rtol=1e-9, atol=1e-9, dense=True, compile=compile, **given)
            return [*results, *tree_leaves(unrecorded.dense(asked))]

    for eager, compiled in zip(found(False), found(True), strict=True):
        torch.testing.assert_close(eager, compiled, rtol=1e-8, atol=1e-9)


def test_dense_output_of_a_compiled_solve_goes_as_far_as_the_solve_and_away_with_it():
    y0 = torch.ones(1, 1, dtype=DOUBLE, requires_grad=True)
    solution = nodekit.solve(Exploding(), y0, [0.0, 2.0], compile=True, throw=False, dense=True)
    assert not solution.success
    assert solution.dense.t1 == pytest.approx(1.0, rel=1e-3)
    y = solution.dense(0.5)
    assert y.item() == pytest.approx(2.0, rel=1e-6)  # 1 / (1 − t)
    (found,) = torch.autograd.grad(y.sum(), y0)
    assert found.item() == pytest.approx(4.0, rel=1e-5)
    with pytest.raises(nodekit.errors.InvalidTimes):
        solution.dense(1.5)
    gone = weakref.ref(solution.dense)
    del solution, y
    gc.collect()
    assert gone() is None


class Exploding(nn.Module):
    """y' = y², infinite at t = 1."""

    def forward(self, t, y):
        return y * y


@pytest.mark.parametrize(
    ("end", "options", "status"),
    [
        (2.0, {}, "StepSizeUnderflow|NonFiniteDerivative"),
        (0.9, {"max_num_steps": 3}, "MaxStepsReached"),
        (0.9, {"min_step": 0.5, "first_step": 0.5}, "NoneType"),  # such steps are accepted whatever their error
    ],
)
def test_a_compiled_solve_ends_as_the_eager_one_does(end, options, status):
    layer, y0, times = Exploding(), torch.ones(1, 1, dtype=torch.float64), [0.0, 0.1, end]
    found = []
    for compile in (False, True):
        solution = nodekit.solve(layer, y0, times, compile=compile, throw=False, options=options)
        found.append((type(solution.status).__name__, solution.y.isnan().sum().item()))
    assert found[0] == found[1]
    assert re.fullmatch(status, found[1][0])


def test_a_component_that_stays_zero_has_no_error_in_compiled_steps():
    y0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    layer.weight.data = -torch.eye(2, dtype=torch.float64)
    func = nn.Module()
    func.layer, func.forward = layer, lambda t, y: layer(y)
    eager, compiled = (nodekit.solve(func, y0, [0.0, 1.0], atol=0.0, compile=compile) for compile in (False, True))
    torch.testing.assert_close(compiled.y, eager.y, rtol=1e-12, atol=0)
    assert compiled.stats.accepted == eager.stats.accepted


def test_a_compiled_solve_shows_where_it_fails():
    with pytest.raises(nodekit.errors.SolveFailed) as caught:
        nodekit.odeint(Exploding(), torch.ones(1, 1, dtype=torch.float64), [0.0, 2.0], compile=True)
    assert caught.value.t == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "trapezoid"}, "explicit Runge–Kutta"),
        ({"gradient": "adjoint"}, "gradient='checkpoint'"),
        ({"y0": torch.ones(2, dtype=torch.complex128)}, "real tensors"),
        ({"y0": (torch.ones(2), torch.ones(2, dtype=torch.float16))}, "real tensors of 32 or 64 bits"),
        ({"rtol": lambda t: 1e-6}, "tolerances that are no functions of time"),
        ({"events": [lambda t, y: y[0, 0]]}, "only with no events[.]"),
        ({"batch": "independent"}, "batch='independent'"),
        ({"options": {"checkpoints": 3}}, "no checkpoints"),
    ],
)
def test_what_cannot_be_compiled_is_refused(change, words):
    given = {"func": Oscillator(), "y0": Y0, "t": [0.0, 1.0], "compile": True, **change}
    with pytest.raises(nodekit.errors.UnsupportedCombination, match=words):
        nodekit.solve(given.pop("func"), given.pop("y0"), given.pop("t"), **given)


def test_without_a_cpp_compiler_the_error_names_it(tmp_path):
    program = "import torch, nodekit\nnodekit.solve(lambda t, y: -y, torch.ones(2), [0.0, 1.0], compile=True)"
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert "UnsupportedCombination: compile=True needs a C++ compiler" in done.stderr


def test_random_derivatives_are_refused_before_they_are_solved():
    layer = nn.Sequential()
    layer.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
    layer.forward = lambda t, y: nn.functional.dropout(y * layer.weight, 0.5)
    with pytest.raises(nodekit.errors.UnsupportedCombination, match="random"):
        nodekit.odeint(layer, Y0, [0.0, 1.0], compile=True, method="euler", options={"step_size": 1.0})


@pytest.mark.parametrize(
    ("shape", "hidden"),
    [((19, 3), 16), ((6, 2, 3), 16), ((40, 4), 600)],
    ids=["computed transposed", "three dimensions", "products left to the library"],
)
def test_compiled_gradients_in_float32_are_as_near_to_those_in_float64_as_uncompiled_ones(shape, hidden):
    times = (0.0, 0.7, 1.1, 2.0)
    torch.manual_seed(3)
    layer, y0, errors = Wide(shape[-1], hidden), torch.randn(shape), {}
    exact = copy.deepcopy(layer).double()

    def differentiated(module, y, **given):
        y = y.clone().requires_grad_()
        out = nodekit.odeint(module, y, torch.tensor(times, dtype=y.dtype), **given)
        return [out, *torch.autograd.grad(out.square().sum(), [y, *module.parameters()])]

    reference = differentiated(exact, y0.double(), rtol=1e-11, atol=1e-11)
    for compile in (False, True):
        found = differentiated(layer, y0, rtol=1e-4, atol=1e-4, compile=compile)
        errors[compile] = [((a - b).norm() / b.norm()).item() for a, b in zip(found, reference, strict=True)]
    for eager, compiled in zip(errors[False], errors[True], strict=True):
        assert compiled <= 1.5 * eager + 2e-6  # rounding alone makes steps of other sizes


def test_the_compiled_tanh_of_float32_is_right_to_a_few_units_in_the_last_place():
    from nodekit._compiled.kernels import Rewritten

    options = {"post_grad_custom_pre_pass": Rewritten(turned=True)}
    tanh = torch.compile(lambda x: torch.tanh(x), options=options)
    x = torch.cat([torch.linspace(-12, 12, 200_001), torch.logspace(-30, 1, 50_000)])
    found, exact = tanh(x).double(), torch.tanh(x.double())
    near = exact != 0
    assert ((found - exact)[near] / exact[near]).abs().max() < 4 * torch.finfo(torch.float32).eps
    assert found.abs().max() <= 1
    assert (found[~near] == 0).all()
    special = tanh(torch.tensor([math.inf, -math.inf, math.nan]).repeat(7))[-3:]
    assert special.tolist()[:2] == [1.0, -1.0]
    assert special[2].isnan()


class Decay(nn.Module):
    """y' = −rate · W y: of two rates, modules that are compiled to the same code but for one number in their loops."""

    def __init__(self, rate):
        super().__init__()
        self.rate, self.layer = rate, nn.Linear(2, 2, bias=False, dtype=torch.float64)
        self.layer.weight.data = torch.eye(2, dtype=torch.float64)

    def forward(self, t, y):
        return -self.rate * self.layer(y)


def test_what_was_compiled_once_is_found_again_and_only_for_the_same_derivative():
    from torch._dynamo.utils import counters
    from torch._inductor.utils import fresh_cache

    def differentiated(rate):
        counters.clear()
        layer, y0 = Decay(rate), Y0.clone().requires_grad_()
        with pytest.warns(UserWarning, match="compiling the solve of Decay"):
            y = nodekit.odeint(layer, y0, [0.0, 1.0], compile=True)[-1]
        torch.testing.assert_close(y, Y0 * math.exp(-rate), rtol=1e-6, atol=1e-8)
        (found,) = torch.autograd.grad(y.sum(), layer.layer.weight)
        exact = -rate * math.exp(-rate) * Y0.sum(0).expand(2, 2)  # d/dW of 1ᵀ exp(−rate W) y at W = 1
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-7)
        return counters["aot_autograd"]["autograd_cache_hit"]

    with fresh_cache():
        assert [differentiated(rate) for rate in (1.0, 2.0, 1.0)] == [0, 0, 2]


def test_the_gradients_of_a_network_of_the_time_are_the_eager_ones():
    """A column of weights: its gradient comes with other strides than the parameter has."""
    torch.manual_seed(0)
    field, y0 = HyperPlanarField(2), torch.randn(8, 2)
    eager, compiled = (
        torch.autograd.grad(nodekit.odeint(field, y0, [0.0, 1.0], compile=compile).square().sum(), field.parameters())
        for compile in (False, True)
    )
    assert field.network[0].weight.shape == (32, 1)
    for one, other in zip(eager, compiled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
