"""The continuous adjoint of independent samples: against tight exact gradients and every sample's adjoint alone."""

import math

import pytest
import torch
from fields import Field

import nodekit
from nodekit import errors

RATES = torch.tensor([[1.0], [3.0], [0.1], [0.5]], dtype=torch.float64)
#: forwards and backwards in time, with fewer outputs, filled up by NaN or by the last one again
TIMES = torch.tensor(
    [[0.0, 0.5, 1.0, 2.0], [0.0, 1.0, 1.5, 1.5], [0.0, -0.1, -0.2, -0.3], [1.0, 1.3, 2.0, math.nan]],
    dtype=torch.float64,
)
WEIGHTS = torch.arange(1.0, 5.0, dtype=torch.float64)


def states():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def relaxing(field, rates):
    return lambda t, y: field(t, y) - rates * y + 0.1 * torch.sin(t)


def solution_of(field, y0, t=TIMES, rates=RATES, **arguments):
    way = {"rtol": 1e-6, "atol": 1e-7, "gradient": "adjoint", **arguments}
    return nodekit.solve(relaxing(field, rates), y0, t, batch="independent", **way)


def gradients(field, y0=None, t=TIMES, rates=RATES, **arguments):
    """By the states, by the times, by the rates, and by the field's parameters."""
    y0 = (states() if y0 is None else y0).clone().requires_grad_()
    t, rates = t.clone().requires_grad_(), rates.clone().requires_grad_()
    y = solution_of(field, y0, t, rates, **arguments).y
    loss = (y.nan_to_num() ** 2 * WEIGHTS[: len(y)].view(-1, 1, 1)).sum()
    by_y0, by_t, by_rates, *by_field = torch.autograd.grad(loss, [y0, t, rates, *field.parameters()])
    return by_y0, by_t.nan_to_num(), by_rates, torch.cat([g.flatten() for g in by_field])


@pytest.fixture(scope="module")
def field():
    torch.manual_seed(0)
    return Field()


@pytest.fixture(scope="module")
def exact(field):
    """The exact gradient of a solve of nearly no error."""
    return gradients(field, method="dopri8", rtol=1e-12, atol=1e-13, gradient="backprop")


def distance(found, exact):
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True))


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3", "kvaerno5", "radauIIA5", "trbdf2"])
def test_its_error_is_that_of_the_solve_and_falls_with_the_tolerance(method, field, exact):
    before = math.inf
    for tol in (1e-4, 1e-6):
        of_adjoint, of_steps = (
            distance(gradients(field, method=method, rtol=tol, atol=tol / 10, gradient=name), exact)
            for name in ("adjoint", "backprop")
        )
        assert of_adjoint < min(20 * of_steps, before / 5)
        before = of_adjoint


@pytest.mark.parametrize(
    ("method", "order"),
    [("rk4", 4), ("dopri5", 5), ("heun", 2), ("implicit_midpoint", 2), ("trapezoid", 2), ("kvaerno3", 3), ("gl4", 4)],
)
def test_of_fixed_steps_its_error_has_the_methods_order(method, order, field, exact):
    coarse, fine = (distance(gradients(field, method=method, options={"step_size": h}), exact) for h in (0.1, 0.05))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.8)


@pytest.mark.parametrize("way", [{"method": "dopri5"}, {"method": "rk4", "options": {"step_size": 0.1}}])
def test_a_samples_gradient_notices_no_other_sample_and_the_parameters_is_the_sum(way, field):
    together = gradients(field, **way)
    single = [
        gradients(field, states()[i : i + 1], TIMES[i : i + 1], RATES[i : i + 1], **way) for i in range(len(RATES))
    ]
    # The parameters' part of chosen steps is held to the tolerances as one, that of what each sample is given, too.
    integral = {"rtol": 1e-12, "atol": 1e-13} if "options" in way else {"rtol": 1e-6, "atol": 1e-8}
    by_y0, by_t, by_rates, by_field = zip(*single, strict=True)
    torch.testing.assert_close(together[0], torch.cat(by_y0), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(together[1], torch.cat(by_t), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(together[2], torch.cat(by_rates), **integral)
    torch.testing.assert_close(together[3], sum(by_field), **integral)


def test_it_is_the_adjoint_of_every_sample_solved_alone(field):
    """Whose steps are its own, too, but go on from an output time as if nothing had been there."""
    together = gradients(field)
    total = torch.zeros_like(together[3])
    for i in range(4):
        y0, times = states()[i].requires_grad_(), TIMES[i][~TIMES[i].isnan()].unique_consecutive()
        y = nodekit.solve(relaxing(field, RATES[i]), y0, times, rtol=1e-6, atol=1e-7, gradient="adjoint").y
        weights = WEIGHTS[: len(times)].clone()
        weights[-1] = WEIGHTS[len(times) - 1 : 4 - int(TIMES[i].isnan().sum())].sum()
        found = torch.autograd.grad((y**2 * weights.view(-1, 1)).sum(), [y0, *field.parameters()])
        torch.testing.assert_close(together[0][i], found[0], rtol=1e-4, atol=1e-5)
        total += torch.cat([g.flatten() for g in found[1:]])
    torch.testing.assert_close(together[3], total, rtol=1e-4, atol=1e-5)


def test_a_slow_samples_neighbour_costs_it_no_accuracy_nor_steps():
    """Of very different stiffness: the steps of the backward solve are each sample's own."""
    rates = torch.tensor([[1.0], [200.0]], dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    y = nodekit.solve(
        lambda t, y: -rates * (y - torch.cos(t)), y0, [0.0, 0.1], batch="independent", gradient="adjoint",
        method="kvaerno5", rtol=1e-8, atol=1e-10,
    ).y  # fmt: skip
    found = torch.autograd.grad(y[-1].sum(), [y0, rates])
    k, t = rates.detach().requires_grad_(), 0.1
    # y = c e^(−kt) + (k² cos t + k sin t)/(k² + 1), with c such that y(0) = 1
    by_y0 = torch.exp(-k * t)
    exact = (1 - k**2 / (k**2 + 1)) * by_y0 + (k**2 * math.cos(t) + k * math.sin(t)) / (k**2 + 1)
    (by_k,) = torch.autograd.grad(exact.sum(), k)
    torch.testing.assert_close(found[0], by_y0.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found[1], by_k, rtol=1e-4, atol=1e-6)


def test_samples_that_failed_give_the_gradients_of_what_they_reached():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.1], [1.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    for method in ("dopri5", "radauIIA5"):
        solution = nodekit.solve(
            lambda t, y: weight * y * y, y0, t, batch="independent", gradient="adjoint", throw=False, method=method,
            rtol=1e-8, atol=1e-9,
        )  # fmt: skip
        assert list(solution.status.failures) == [1]
        found = torch.autograd.grad(solution.y.nansum(), [y0, weight])
        start, w = y0.detach().requires_grad_(), weight.detach().requires_grad_()
        exact = torch.stack([start / (1 - w * start * time) for time in t])
        exact = torch.where(solution.y.isnan(), 0.0, exact)
        for mine, right in zip(found, torch.autograd.grad(exact.sum(), [start, w]), strict=True):
            torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)


def test_fixed_steps_that_end_in_no_number_have_no_part_in_the_gradient():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.1], [-1.0], [1e8]], dtype=torch.float64)
    found = []
    for start in (y0, y0[:2]):
        y = nodekit.solve(
            lambda t, y: weight * y * y, start, [0.0, 1.0, 3.0], batch="independent", method="rk4",
            options={"step_size": 0.1}, gradient="adjoint", throw=False,
        ).y  # fmt: skip
        found.append(torch.autograd.grad(y[:, :2].sum(), weight)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_steps_that_lead_to_no_number_are_taken_shorter_and_spoil_no_gradient():
    """Backwards, y grows towards 1, beyond which the slope is not a number; first steps there are too long."""
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.99], [0.5]], dtype=torch.float64, requires_grad=True)
    way = {"batch": "independent", "rtol": 1e-7, "atol": 1e-9}
    spoiled = []

    def func(t, y):
        spoiled.append(bool((y > 1).any()))
        return torch.where(y > 1, math.nan, -weight * y)

    y = nodekit.solve(func, y0, [0.0, 1.0], **way, gradient="adjoint", adjoint_options={"first_step": 0.9}).y
    assert not any(spoiled)
    found = torch.autograd.grad(y.square().sum(), [y0, weight])
    assert any(spoiled)
    start, w = y0.detach().requires_grad_(), weight.detach().requires_grad_()
    loss = start.square().sum() + (start * torch.exp(-w)).square().sum()
    for mine, right in zip(found, torch.autograd.grad(loss, [start, w]), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)


def test_events_and_jumps_of_each_sample():
    level = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64, requires_grad=True)
    at = torch.tensor([[0.3], [0.2], [math.nan]], dtype=torch.float64)

    def func(t, y):
        return torch.where(t > at, 2.0, 1.0) * -rate * y

    solution = nodekit.solve(
        func, y0, [0.0, 0.1, 9.0], batch="independent", gradient="adjoint", options={"jump_t": at}, rtol=1e-8,
        atol=1e-10, events=[lambda t, y: y[:, 0] - level],
    )  # fmt: skip
    loss = solution.events.t.sum() + solution.y[1].square().sum() + solution.events.y.sum()
    found = torch.autograd.grad(loss, [y0, rate, level])
    # Behind the jump at a the rate is twice itself: log(y₀/level)/rate = a + 2 (t − a).
    start, r, l = (x.detach().requires_grad_() for x in (y0, rate, level))  # noqa: E741
    when = torch.log(start / l) / r
    when = torch.where(at.isnan(), when, at + (when - at) / 2)
    torch.testing.assert_close(solution.events.t, when[:, 0].detach(), rtol=1e-6, atol=1e-7)
    loss = when.sum() + (start * torch.exp(-r * 0.1)).square().sum() + 3 * l
    for mine, right in zip(found, torch.autograd.grad(loss, [start, r, l]), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-5, atol=1e-6)


def test_states_of_every_kind_with_tolerances_and_norms_of_their_own():
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    start = {
        "x": torch.ones(2, dtype=torch.float64, requires_grad=True),
        "z": torch.full((2, 3), 1 + 1j, dtype=torch.complex128, requires_grad=True),
    }
    calls = []

    def norm(parts):
        calls.append(len(parts))
        return torch.stack([part.abs().max() for part in parts[1:5]]).max()

    for more in (
        {},
        {"rtol": (1e-7, 1e-8), "atol": 1e-9},
        {"adjoint_rtol": lambda t: 1e-7, "adjoint_atol": 1e-9},
        {"adjoint_options": {"norm": norm}},
        {"adjoint_options": {"norm": "seminorm"}, "adjoint_method": "tsit5"},
    ):
        y = nodekit.solve(
            lambda t, y: {"x": -weight * y["x"], "z": 1j * weight * y["z"]}, start, t, batch="independent",
            gradient="adjoint", **{"rtol": 1e-7, "atol": 1e-9, **more},
        ).y  # fmt: skip
        loss = y["x"].sum() + y["z"].real.sum()
        found = torch.autograd.grad(loss, [start["x"], start["z"], weight])
        w, x, z = (leaf.detach().requires_grad_() for leaf in (weight, start["x"], start["z"]))
        exact = (x * torch.exp(-w * t.T)).sum() + (z * torch.exp(1j * w * t.T).unsqueeze(-1)).real.sum()
        for mine, right in zip(found, torch.autograd.grad(exact, [x, z, w]), strict=True):
            torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-5)
    assert set(calls) == {6}  # a time, two states, their two adjoints, a parameter


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_norm_gets_the_tensors_of_any_state(batch):
    """Not the names of a state that is a dict."""
    y0, kinds = {"x": torch.ones(2, 1, requires_grad=True), "z": torch.ones(2, 3)}, set()

    def norm(parts):
        kinds.add((len(parts), *map(type, parts)))
        return parts[1].abs().max()

    y = nodekit.solve(
        lambda t, y: {"x": -y["x"], "z": y["z"] - y["z"]}, y0, [0.0, 1.0], batch=batch, gradient="adjoint",
        adjoint_options={"norm": norm}, rtol=1e-4, atol=1e-5,
    ).y  # fmt: skip
    y["x"][-1].sum().backward()
    torch.testing.assert_close(y0["x"].grad, torch.full((2, 1), math.exp(-1)), rtol=1e-3, atol=1e-4)
    assert {count for count, *_ in kinds} == {5}


def test_numbers_for_samples_float32_and_images():
    for shape, dtype in (((5,), torch.float64), ((3, 2, 4), torch.float32), ((2, 0), torch.float64)):
        y0 = torch.rand(shape, dtype=dtype).requires_grad_()
        y = nodekit.solve(lambda t, y: -t * y, y0, [0.0, 1.0], batch="independent", gradient="adjoint",
                          rtol=1e-5, atol=1e-6).y  # fmt: skip
        (found,) = torch.autograd.grad(y[-1].sum(), y0)
        torch.testing.assert_close(found, torch.full(shape, math.exp(-0.5), dtype=dtype), rtol=1e-3, atol=1e-4)


def test_the_layer_learns_by_it():
    torch.manual_seed(0)
    func, y0, found = Field(), states(), []
    for gradient in ("checkpoint", "adjoint"):
        layer = nodekit.NeuralODE(func, batch="independent", rtol=1e-7, atol=1e-8, gradient=gradient)
        layer.zero_grad()
        layer(y0).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in layer.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_backward_solve_that_fails_names_its_sample():
    """What decays at a rate of 1e4 forwards explodes backwards."""
    rates = torch.tensor([[1.0], [1e4]], dtype=torch.float64)
    y0 = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    y = nodekit.solve(
        lambda t, y: -rates * (y - torch.cos(t)), y0, [0.0, 5.0], batch="independent", gradient="adjoint",
        method="kvaerno5", adjoint_method="dopri5", rtol=1e-5, atol=1e-7, adjoint_options={"max_num_steps": 300},
    ).y  # fmt: skip
    with pytest.raises(errors.SamplesFailed, match="backward solve of the continuous adjoint") as failed:
        y.sum().backward()
    assert 1 in failed.value.failures


def test_what_it_cannot_do_is_refused():
    y0 = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    way = {"batch": "independent", "gradient": "adjoint"}
    y = nodekit.solve(lambda t, y: -y, y0, [0.0, 1.0], **way).y
    (first,) = torch.autograd.grad(y.square().sum(), y0, create_graph=True)
    with pytest.raises(errors.GradientUnavailable, match="second derivatives"):
        first.sum().backward()
    with pytest.raises(errors.InvalidDerivative, match="other samples"):
        nodekit.solve(lambda t, y: y.mean(0) - y, y0 * torch.rand(3, 1), [0.0, 1.0], **way)
    with pytest.raises(errors.UnsupportedCombination, match="newton"):
        nodekit.solve(lambda t, y: -y, y0, [0.0, 1.0], adjoint_method="kvaerno3",
                      adjoint_options={"solver": "krylov"}, **way)  # fmt: skip


@pytest.mark.parametrize("events", [False, True])
def test_a_derivative_that_has_changed_since_is_noticed(events):
    class Scaled(torch.nn.Module):
        scale = 1.0

        def forward(self, t, y):
            return -y if t.max() == 0 else -self.scale * y

    func, y0 = Scaled(), torch.rand(3, 2, dtype=torch.float64, requires_grad=True) + 1
    happens = {"events": [lambda t, y: y[:, 0] - 0.9]} if events else {}

    def solved():
        return nodekit.solve(func, y0, [0.0, 1.0], batch="independent", gradient="adjoint", **happens)

    solution = solved()
    solution.y.nansum().backward()  # nothing changed
    solution = solved()
    func.scale = 2.0
    loss = solution.events.y.nansum() if events else solution.y.sum()
    with pytest.raises(errors.DerivativeChanged):
        loss.backward()
