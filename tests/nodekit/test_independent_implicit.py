"""Implicit methods with batch="independent": against solving every sample alone, and finite differences."""

import math

import numpy as np
import pytest
import torch
from fields import Field

import nodekit
from nodekit import errors

IMPLICIT = [m.name for m in nodekit.METHODS.values() if m.implicit and m.name != "auto"]
ADAPTIVE = [name for name in IMPLICIT if nodekit.METHODS[name].adaptive]
MU = torch.tensor([[1.0], [10.0], [1000.0]], dtype=torch.float64)
RATES = torch.tensor([[1.0], [30.0], [1000.0], [5.0]], dtype=torch.float64)
TIMES = torch.linspace(0.0, 1.5, 4, dtype=torch.float64)


def van_der_pol(mu):
    def func(t, y):
        x, v = y[..., :1], y[..., 1:]
        return torch.cat([v, mu * (1 - x * x) * v - x], -1)

    return func


def robertson(k):
    def func(t, y):
        a, b, c = y.unbind(-1)
        first, second, third = 0.04 * k[..., 0] * a, 1e4 * b * c, 3e7 * b * b
        return torch.stack([second - first, first - second - third, third], -1)

    return func


def relaxing(rates, field=None):
    """Towards a moving state, at a rate of each sample's own."""
    field = Field() if field is None else field
    return lambda t, y: field(t, y) - rates * (y - torch.cos(t))


def independently(func, y0, t=TIMES, **arguments):
    return nodekit.solve(func, y0, t, batch="independent", **{"rtol": 1e-5, "atol": 1e-7, **arguments})


def alone(func, y0, t, **arguments):
    """By a shared solve of this sample only, with the same solver of equations."""
    options = {"solver": "newton", **arguments.pop("options", {})}
    return nodekit.solve(func, y0, t, options=options, **{"rtol": 1e-5, "atol": 1e-7, **arguments})


def options_of(method):
    return {} if nodekit.METHODS[method].adaptive else {"step_size": 0.1}


@pytest.mark.parametrize("method", ["kvaerno5", "radauIIA5", "trbdf2"])
def test_oscillators_from_gentle_to_very_stiff_are_each_solved_as_if_alone(method):
    y0 = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(3, 2)
    t = torch.tensor([0.0, 2.0, 5.0, 20.0], dtype=torch.float64)
    together = independently(van_der_pol(MU), y0, t, method=method, rtol=1e-4, atol=1e-6)
    for i, mu in enumerate(MU):
        single = alone(van_der_pol(mu), y0[i], t, method=method, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(together.y[:, i], single.y, rtol=1e-9, atol=1e-9)
        found = together.stats
        assert (found.accepted[i], found.rejected[i]) == (single.stats.accepted, single.stats.rejected)
        assert found.nfe[i] == single.stats.nfe_forward  # iterations that others need are not counted


@pytest.mark.parametrize("method", ["kvaerno3", "radauIIA3"])
def test_robertsons_reactions_of_different_rates_over_spans_of_their_own(method):
    k = torch.tensor([[0.01], [1.0], [100.0]], dtype=torch.float64)
    y0 = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64).expand(3, 3)
    t = torch.tensor([[0.0, 1.0, 1e4], [0.0, 40.0, 400.0], [0.0, 1e-3, math.nan]], dtype=torch.float64)
    together = independently(robertson(k), y0, t, method=method, atol=1e-9)
    for i in range(3):
        times = t[i][~t[i].isnan()]
        single = alone(robertson(k[i]), y0[i], times, method=method, atol=1e-9)
        torch.testing.assert_close(together.y[: len(times), i], single.y, rtol=1e-8, atol=1e-10)
        assert together.stats.accepted[i] == single.stats.accepted
    assert together.y[2, 2].isnan().all()
    torch.testing.assert_close(together.y.nansum(-1)[:2], torch.ones(2, 3, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("neighbour", [[1e3, -1e3, 0.0], [math.nan, 0.0, 0.0], [math.inf, 1.0, 0.0]])
@pytest.mark.parametrize("method", ["kvaerno3", "radauIIA5", "gl4"])
def test_neighbours_change_no_bit(method, neighbour):
    y0, func = torch.randn(4, 3, dtype=torch.float64), relaxing(RATES)
    before = independently(func, y0, method=method, options=options_of(method)).y
    y0[1] = torch.tensor(neighbour)
    after = independently(func, y0, method=method, options=options_of(method), throw=False).y
    others = [0, 2, 3]
    assert torch.equal(before[:, others], after[:, others])


@pytest.mark.parametrize("method", IMPLICIT)
def test_fixed_steps_are_those_of_a_shared_solve(method):
    func, y0 = relaxing(RATES), torch.randn(4, 3, dtype=torch.float64)
    for options in ({"step_size": 0.07}, {"step_size": 0.3, "perturb": True}):
        found = [
            nodekit.solve(func, y0, TIMES, method=method, options=options, batch=batch).y
            for batch in ("shared", "independent")
        ]
        torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", IMPLICIT)
def test_gradients_agree_with_each_other_and_with_single_solves(method):
    field, rates = Field(), RATES.clone().requires_grad_()
    y0 = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    t = 0.3 * torch.stack([TIMES, 0.5 * TIMES, TIMES + 1, 0.1 - 0.01 * TIMES])
    weights = torch.arange(1.0, 5.0).view(-1, 1)

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [y0, rates, *field.parameters()])])

    found, tolerance = [], {"rtol": 1e-3, "atol": 1e-5}
    for way in ({}, {"gradient": "backprop"}, {"options": {"graph_bytes": 0, **options_of(method)}}):
        y = independently(
            relaxing(rates, field), y0, t, method=method, **tolerance, **{"options": options_of(method), **way}
        ).y
        found.append(gradient((y**2 * weights.unsqueeze(1)).sum()))
    losses = [
        (
            alone(relaxing(rates[i], field), y0[i], t[i], method=method, options=options_of(method), **tolerance).y ** 2
            * weights
        ).sum()
        for i in range(4)
    ]
    single = gradient(sum(losses))
    for gradients in found:
        torch.testing.assert_close(gradients, single, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("method", ["kvaerno5", "radauIIA5", "gl4"])
def test_first_and_second_derivatives_agree_with_finite_differences(method):
    options = options_of(method)

    def outputs(y0, t, weight):
        func = lambda t, y: torch.sin(weight * y) + 0.1 * t - RATES[:2] * y  # noqa: E731
        return independently(func, y0, t, method=method, options=options, rtol=1e-6, atol=1e-7).y

    y0 = torch.tensor([[0.3, -0.2], [0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 0.2, 0.4], [0.3, 0.35, 0.4]], dtype=torch.float64)
    weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (y0, t, weight), rtol=1e-4, atol=1e-6, fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, (y0, t, weight), rtol=1e-4, atol=1e-5, fast_mode=True)


def test_gradients_by_times_are_those_of_the_flow():
    t = torch.tensor([[0.0, 0.4, 1.0], [0.3, -0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    y = independently(lambda t, y: -y * torch.cos(t), y0, t, method="radauIIA5", rtol=1e-9, atol=1e-10).y
    (found,) = torch.autograd.grad(y[1:].sum(), t)
    exact = y0 * torch.exp(torch.sin(t[:, :1]) - torch.sin(t[:, 1:]))
    (expected,) = torch.autograd.grad(exact.sum(), t)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_torch_func_sees_through_the_steps():
    y0 = torch.randn(4, 2, dtype=torch.float64)

    def loss(weight):
        func = lambda t, y: torch.sin(weight * y) - RATES * y  # noqa: E731
        return independently(func, y0, method="kvaerno3").y.square().sum()

    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    (by_autograd,) = torch.autograd.grad(loss(weight), weight)
    torch.testing.assert_close(torch.func.grad(loss)(weight.detach()), by_autograd, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", ["kvaerno5", "radauIIA5"])
@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}])
def test_samples_that_blow_up_are_named_and_spoil_nothing(method, options):
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0, t = torch.tensor([[0.1], [1 / 1.2], [-1.0]], dtype=torch.float64), [0.0, 1.0, 2.0]
    way = {"method": method, "options": options}
    solution = independently(lambda t, y: weight * y * y, y0, t, throw=False, **way)
    assert list(solution.status.failures) == [1]
    assert solution.status.failures[1].t == pytest.approx(1.2, abs=1e-3)
    assert solution.y[1, 1].isfinite().all()
    assert solution.y[2, 1].isnan().all()
    good = independently(lambda t, y: weight * y * y, y0[[0, 2]], t, **way)
    assert torch.equal(solution.y[:, [0, 2]], good.y)
    found = [torch.autograd.grad(y.square().sum(), weight)[0] for y in (solution.y[:, [0, 2]], good.y)]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def without_solution(limits, weight):
    """From its limit on, each sample's slope is so large that no state after a step satisfies the equations."""
    return lambda t, y: torch.where(t > limits, 100 + 100 * weight * y * y, -weight * y)


@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}])
@pytest.mark.parametrize("method", ["implicit_euler", "trapezoid", "gl4", "kvaerno3"])
def test_where_equations_have_no_solution_fixed_steps_of_this_sample_end(method, options):
    limits = torch.tensor([[9.0], [0.55], [9.0]], dtype=torch.float64)
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0, t = torch.tensor([[0.5], [1.9], [1.0]], dtype=torch.float64), [0.0, 0.25, 0.5, 1.0, 1.5]
    way = {"method": method, "options": {"step_size": 0.1, **options}}
    with pytest.raises(errors.SamplesFailed, match="1 of 3"):
        independently(without_solution(limits, weight), y0, t, **way)
    solution = independently(without_solution(limits, weight), y0, t, throw=False, **way)
    single = nodekit.solve(without_solution(limits[1], weight), y0[1], t, throw=False, **way)
    assert list(solution.status.failures) == [1]
    assert isinstance(solution.status.failures[1], errors.NewtonDidNotConverge)
    assert solution.status.failures[1].t == single.status.t == pytest.approx(0.5)
    torch.testing.assert_close(solution.y[:, 1], single.y, rtol=1e-12, atol=1e-12, equal_nan=True)
    good = independently(without_solution(limits[[0, 2]], weight), y0[[0, 2]], t, **way)
    assert torch.equal(solution.y[:, [0, 2]], good.y)
    losses = solution.y[:3, 1].sum() + solution.y[:, [0, 2]].square().sum(), single.y[:3].sum() + good.y.square().sum()
    found = [torch.autograd.grad(loss, weight)[0] for loss in losses]
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_where_equations_have_no_solution_adaptive_steps_become_shorter():
    """Beyond y = 1 the slope is not a number: a step that leads there has no solution."""

    def func(t, y):
        return torch.where(y > 1, math.nan, rate * (1 - y).clamp(min=0).sqrt())

    rate, y0 = torch.tensor([[1.0], [20.0]], dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    options = {"first_step": 0.5}
    t = [0.0, 0.08]
    together = independently(func, y0, t, method="kvaerno5", options=options)
    rate = rate[1]
    single = alone(func, y0[1], t, method="kvaerno5", options=options)
    assert together.stats.rejected[1] == single.stats.rejected > 0
    torch.testing.assert_close(together.y[-1, 1], single.y[-1], rtol=1e-9, atol=1e-9)
    # y = 1 − (1 − rate t / 2)²
    torch.testing.assert_close(together.y[-1, :, 0].tolist(), [0.0784, 0.96], rtol=0, atol=1e-4)


def test_a_singular_matrix_is_that_of_its_sample():
    """Of 1 − dt λ with λ = 1/dt."""
    rate, y0 = torch.tensor([[-1.0], [10.0], [1.0]], dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64)
    solution = independently(
        lambda t, y: rate * y, y0, [0.0, 0.5], method="implicit_euler", options={"step_size": 0.1}, throw=False
    )
    assert list(solution.status.failures) == [1]
    exact = [(1 - 0.1 * r) ** -5 for r in (-1.0, 1.0)]
    assert solution.y[-1, [0, 2], 0].tolist() == pytest.approx(exact, rel=1e-12)


def test_every_sample_ends_at_its_own_event_and_jumps_at_its_own_times():
    y0 = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([[1.0], [50.0], [1000.0]], dtype=torch.float64)
    solution = independently(
        lambda t, y: -rate * y, y0, [0.0, 5.0], method="kvaerno5", rtol=1e-9, atol=1e-11,
        events=[lambda t, y: y[:, 0] - 0.5],
    )  # fmt: skip
    exact = torch.log(2 * y0) / rate
    torch.testing.assert_close(solution.events.t, exact[:, 0], rtol=1e-6, atol=1e-8)
    found, expected = (torch.autograd.grad(t.sum(), y0)[0] for t in (solution.events.t, exact))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    at = torch.tensor([[0.3], [0.7], [math.nan]], dtype=torch.float64)
    doses = independently(
        lambda t, y: torch.where(t > at, 1.0, 0.0) - rate * y, torch.zeros(3, 1, dtype=torch.float64), [0.0, 1.0],
        method="radauIIA5", options={"jump_t": at}, rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    expected = torch.where(at.isnan(), 0.0, (1 - torch.exp(-rate * (1 - at))) / rate)
    torch.testing.assert_close(doses.y[-1], expected, rtol=1e-6, atol=1e-9)
    assert doses.stats.accepted[2] < 10


@pytest.mark.parametrize("method", ["kvaerno5", "radauIIA5", "auto"])
def test_without_graphs_jacobians_are_differences_of_each_sample(method):
    """Of NumPy arrays; what neighbours' Jacobians take is no sample's own number of evaluations."""
    mu, y0 = MU.numpy(), np.array([[2.0, 0.0]] * 3)

    def func(mu):
        return lambda t, y: np.concatenate([y[:, 1:], mu * (1 - y[:, :1] ** 2) * y[:, 1:] - y[:, :1]], 1)

    way = {"method": method, "rtol": 1e-4, "atol": 1e-6}
    together = independently(func(mu), y0, [0.0, 2.0, 10.0], **way)
    for i in range(3):
        apart = independently(func(mu[i : i + 1]), y0[i : i + 1], [0.0, 2.0, 10.0], **way)
        assert np.array_equal(together.y[:, i], apart.y[:, 0])
        assert together.stats.nfe[i] == apart.stats.nfe[0]


def test_states_of_every_kind():
    rate = torch.tensor([[1.0], [300.0]], dtype=torch.float64)
    t = torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    y0 = {"x": torch.ones(2, 1, dtype=torch.float64), "z": torch.ones(2, 3, dtype=torch.complex128)}
    y = independently(lambda t, y: {"x": -rate * y["x"], "z": 1j * t * y["z"]}, y0, t, method="radauIIA5").y
    torch.testing.assert_close(y["x"][..., 0], torch.exp(-rate * t).T, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(y["z"][..., 2], torch.exp(0.5j * t.T**2), rtol=1e-3, atol=1e-3)
    y = independently(lambda t, y: -y * rate.numpy(), np.ones((2, 1)), [0.0, 1.0], method="kvaerno3").y
    assert y[-1, :, 0] == pytest.approx([math.exp(-1), 0.0], abs=1e-4)
    y = independently(lambda t, y: -y * t, torch.ones(2), [0.0, 1.0], method="trbdf2", atol=1e-5).y
    assert y[-1].tolist() == pytest.approx([math.exp(-0.5)] * 2, abs=1e-3)
    images = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    y = independently(lambda t, y: -rate.view(2, 1, 1, 1) * y, images, [0.0, 1.0], method="radauIIA5").y
    torch.testing.assert_close(y[-1], images * torch.exp(-rate.view(2, 1, 1, 1)), rtol=1e-4, atol=1e-5)


def test_the_automatic_method_switches_for_each_sample_alone():
    mu = torch.tensor([[1.0], [100.0], [1000.0]], dtype=torch.float64)
    y0 = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(3, 2)
    way = {"method": "auto", "rtol": 1e-4, "atol": 1e-6}
    t = torch.tensor([0.0, 2.0, 100.0], dtype=torch.float64)
    together = independently(van_der_pol(mu), y0, t, **way)
    for i in range(3):
        apart = independently(van_der_pol(mu[i : i + 1]), y0[i : i + 1], t, **way)
        assert torch.equal(together.y[:, i], apart.y[:, 0])
        assert (together.stats.nfe[i], together.stats.accepted[i]) == (apart.stats.nfe[0], apart.stats.accepted[0])
        single = alone(van_der_pol(mu[i]), y0[i], t, **way)
        torch.testing.assert_close(together.y[:, i], single.y, rtol=1e-3, atol=1e-3)
        assert together.stats.accepted[i].item() == pytest.approx(single.stats.accepted, abs=3)
    # The stiff ones are not for an explicit method, the first is.
    explicit = independently(van_der_pol(mu), y0, [0.0, 1.0], **{**way, "method": "tsit5"}).stats.nfe
    mixed = independently(van_der_pol(mu), y0, [0.0, 1.0], **way).stats.nfe
    assert mixed[0] == explicit[0]
    assert 5 * mixed[2] < explicit[2]


def test_gradients_by_the_automatic_method_are_those_of_single_solves():
    rates = torch.tensor([[1.0], [300.0], [20.0]], dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0, 2.0], [0.5, -1.0], [2.0, 0.3]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 0.5, 2.0], [0.0, 1.0, 3.0], [1.0, 1.5, math.nan]], dtype=torch.float64)

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [y0, rates])])

    found = []
    for way in ({}, {"gradient": "backprop"}, {"options": {"graph_bytes": 0}}):
        y = independently(lambda t, y: -rates * (y - torch.cos(t)) + torch.sin(y), y0, t, method="auto", **way).y
        found.append(gradient((y**2).nansum()))
    losses = []
    for i, rate in enumerate(rates):
        times = t[i][~t[i].isnan()]
        y = alone(lambda t, y, k=rate: -k * (y - torch.cos(t)) + torch.sin(y), y0[i], times, method="auto").y
        losses.append((y**2).sum())
    single = gradient(sum(losses))
    for gradients in found:
        torch.testing.assert_close(gradients, single, rtol=1e-6, atol=1e-8)


def test_the_automatic_method_finds_events_and_names_failures_of_each_sample():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([[1.0], [300.0], [-1.0]], dtype=torch.float64)
    y0 = torch.tensor([[1.0], [2.0], [1.0]], dtype=torch.float64)
    solution = independently(
        lambda t, y: torch.where(rate > 0, -rate * weight * y, weight * y * y), y0, [0.0, 0.3, 5.0], method="auto",
        rtol=1e-8, atol=1e-10, events=[lambda t, y: y[:, 0] - 0.5], throw=False,
    )  # fmt: skip
    assert list(solution.status.failures) == [2]
    assert solution.status.failures[2].t == pytest.approx(1.0, abs=1e-3)
    exact = torch.log(2 * y0[:2, 0]) / rate[:2, 0]
    torch.testing.assert_close(solution.events.t[:2].detach(), exact, rtol=1e-6, atol=1e-8)
    (found,) = torch.autograd.grad(solution.events.t[:2].sum() + solution.y[1, 2].sum(), weight)
    assert found.item() == pytest.approx(-exact.sum().item() + 0.3 / 0.7**2, rel=1e-5)


@pytest.mark.parametrize("arguments", [{"method": "kvaerno3"}, {"method": "implicit_euler"}])
def test_samples_that_touch_each_other_are_refused(arguments):
    y0 = torch.randn(4, 2, dtype=torch.float64)
    for func in (lambda t, y: y.mean(0) - y, lambda t, y: y.roll(1, 0), torch.nn.BatchNorm1d(2).double()):
        with pytest.raises(errors.InvalidDerivative, match="other samples"):
            independently(func if not isinstance(func, torch.nn.Module) else lambda t, y, f=func: f(y), y0, **arguments)
    with pytest.raises(errors.UnsupportedCombination, match="newton"):
        independently(lambda t, y: -y, y0, method="kvaerno3", options={"solver": "krylov"})
