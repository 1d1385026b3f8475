"""The parameters' part of continuous adjoints, where z and a do not tell how fast it varies."""

import math
import warnings

import pytest
import torch
from torch import nn

import nodekit
from nodekit import METHODS
from nodekit._gradients import _parameter_integral as integral

W, END = 7.3, 10.0
OSCILLATION = (1 - math.cos(W * END)) / W
CHOSEN = sorted(name for name, method in METHODS.items() if method.adaptive and method.differentiable)
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def oscillating(p):
    """y' = p sin(W t), which is nothing at p = 0: dy(T)/dp = (1 − cos W T) / W."""
    return lambda t, y: p * torch.sin(W * t) + 0 * y


def test_kronrods_and_gausss_rules_have_their_degrees():
    for degree in range(23):
        kronrod = sum(weight * node**degree for node, weight, _ in integral._RULE)
        assert kronrod == pytest.approx(1 / (degree + 1), rel=1e-13)
    for degree in range(14):
        gauss = sum((weight - difference) * node**degree for node, weight, difference in integral._RULE)
        assert gauss == pytest.approx(1 / (degree + 1), rel=1e-13)
    assert len(integral._RULE) == 15


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
@pytest.mark.parametrize("method", CHOSEN)
def test_an_integrand_that_varies_where_nothing_moves_is_resolved(method, gradient):
    p = nn.Parameter(torch.zeros(1))
    y = nodekit.odeint(
        oscillating(p), torch.ones(1), torch.tensor([0.0, END]), method=method, gradient=gradient, **TIGHT
    )
    y[-1].sum().backward()
    assert p.grad.item() == pytest.approx(OSCILLATION, abs=1e-7)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3", "kvaerno5", "radauIIA5"])
def test_so_it_is_for_samples_with_times_of_their_own(method):
    p, ends, weights = nn.Parameter(torch.zeros(1)), torch.tensor([END, 4.0, 7.0]), torch.tensor([1.0, -2.0, 0.5])
    t = torch.stack([torch.zeros(3), ends / 3, ends], 1)
    y = nodekit.odeint(
        oscillating(p), torch.ones(3, 1), t, method=method, gradient="adjoint", batch="independent", **TIGHT
    )
    (y[-1][:, 0] @ weights).backward()
    assert p.grad.item() == pytest.approx(((1 - torch.cos(W * ends)) / W @ weights).item(), abs=1e-7)


@pytest.mark.parametrize(
    ("y0", "given"),
    [
        (torch.ones(1, dtype=torch.complex128), TIGHT),
        (torch.ones(1, dtype=torch.float32), {"rtol": 1e-5, "atol": 1e-7}),
        ((torch.ones(1, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64)), TIGHT),
        (torch.ones(1, dtype=torch.float64), {"rtol": 1e-9, "atol": 0.0}),
    ],
    ids=["complex", "float32", "tuple", "no atol"],
)
@pytest.mark.parametrize("way", [1, -1])
def test_it_is_resolved_for_states_of_every_kind_forwards_and_backwards(y0, given, way):
    first = y0[0] if isinstance(y0, tuple) else y0
    p, t = nn.Parameter(torch.zeros_like(first)), torch.tensor([0.0, END][::way])

    def func(t, y):
        slope = p * torch.sin(W * t) + 0 * (y[0] if isinstance(y, tuple) else y)
        return (slope, 0.1 * y[1]) if isinstance(y, tuple) else slope

    y = nodekit.odeint_adjoint(func, y0, t.to(first.real.dtype), adjoint_params=(p,), **given)
    (y[0] if isinstance(y, tuple) else y)[-1].real.sum().backward()
    assert p.grad.real.item() == pytest.approx(way * OSCILLATION, abs=1e-4 if first.dtype == torch.float32 else 1e-7)


def test_it_is_resolved_beside_a_state_that_moves_slowly():
    p = nn.Parameter(torch.zeros(()))

    def func(t, y):
        return torch.stack([p * torch.sin(41.0 * t) + 0 * y[0], 0.8 * torch.cos(1.3 * t) * y[1]])

    y = nodekit.odeint_adjoint(func, torch.ones(2), torch.tensor([0.0, END]), adjoint_params=(p,), rtol=1e-6, atol=1e-8)
    y[-1].sum().backward()
    assert p.grad.item() == pytest.approx((1 - math.cos(41.0 * END)) / 41.0, abs=1e-5)


@pytest.mark.parametrize("rtol", [torch.tensor([1e-9, 1e-3]), lambda t: 1e-9])
def test_the_smallest_of_many_tolerances_holds(rtol):
    p = nn.Parameter(torch.zeros(()))
    y = nodekit.odeint(
        oscillating(p), torch.ones(2), torch.tensor([0.0, END]), gradient="adjoint", rtol=rtol, atol=1e-11
    )
    y[-1].sum().backward()
    assert p.grad.item() == pytest.approx(2 * OSCILLATION, abs=1e-7)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "kvaerno5"])
def test_a_learned_kink_at_an_output_needs_no_step_to_it(method, gradient):
    """y' = |t − τ|, of which the output at τ sees one side and the next the other: 1 and −1."""
    tau = nn.Parameter(torch.tensor(1.0))

    def func(t, y):
        return (t - tau).abs() + 0 * y

    y = nodekit.odeint(func, torch.zeros(1), torch.tensor([0.0, 1.0, 3.0]), method=method, gradient=gradient, **TIGHT)
    at_kink, behind = (torch.autograd.grad(x.sum(), tau, retain_graph=True)[0].item() for x in y[1:])
    assert at_kink == pytest.approx(1.0, abs=1e-7)
    assert behind == pytest.approx(-1.0, abs=1e-7)


def evaluations(tolerance, monkeypatch, judged):
    """How many evaluations the backward solve of a small network with ReLUs takes, and its gradient."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 24), nn.ReLU(), nn.Linear(24, 3))
    with monkeypatch.context() as patch:
        if not judged:
            add = integral.ParameterIntegral.add
            patch.setattr(integral.ParameterIntegral, "add_judged", lambda self, dt, mean, *rest: add(self, dt, mean))
        solution = nodekit.solve(
            lambda t, y: net(y), torch.randn(8, 3), [0.0, 1.0], gradient="adjoint", rtol=tolerance, atol=tolerance
        )
        solution.y[-1].square().sum().backward()
    return solution.stats.nfe_backward, net[0].weight.grad


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_slopes_that_jump_everywhere_cost_few_more_evaluations(tolerance, monkeypatch):
    (judged, by_judged), (plain, by_plain) = (evaluations(tolerance, monkeypatch, judge) for judge in (True, False))
    _, exact = evaluations(1e-9, monkeypatch, False)
    assert judged <= 1.25 * plain + 15
    assert (by_judged - exact).norm() < 1.01 * (by_plain - exact).norm()


def test_an_integrand_without_an_integral_is_given_up_with_a_warning():
    """A derivative with randomness that PyTorch does not know of, as NumPy's."""
    numbers, p, count = iter(range(10**9)), nn.Parameter(torch.zeros(())), [0]

    def func(t, y):
        count[0] += 1
        return p * math.sin(next(numbers) ** 2) + 0 * y

    y = nodekit.odeint(func, torch.ones(1), torch.tensor([0.0, 1.0]), gradient="adjoint", **TIGHT)
    with pytest.warns(UserWarning, match="varies too fast") as caught:
        y[-1].sum().backward()
    assert len(caught) == 1
    assert count[0] < 20_000


def test_a_smooth_integrand_is_not_looked_into():
    torch.manual_seed(0)
    net, count = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 3)), [0]
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error")
        patch.setattr(integral.ParameterIntegral, "_panel", lambda *_: count.append(1))
        y = nodekit.odeint(lambda t, y: net(y), torch.ones(4, 3), torch.linspace(0, 1, 5), gradient="adjoint")
        y.sum().backward()
    assert count == [0]
