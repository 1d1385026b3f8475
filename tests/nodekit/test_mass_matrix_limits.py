"""Mass matrices where their assumptions end: units, rank, index, time, events, null spaces that turn."""

import math

import numpy as np
import pytest
import torch

import nodekit
from nodekit import errors

DOUBLE = {"dtype": torch.float64}
SINGULAR = torch.tensor([1.0, 0.0], **DOUBLE)


def driven(t, y):
    """y' = −y + z, 0 = cos 3t + y/2 − z."""
    y, z = y.unbind(-1)
    return torch.stack([z - y, torch.cos(3 * t) + y / 2 - z], -1)


def driven_by_a_number(t, y):
    """The same of a time that is no tensor, so that no graph leads to it."""
    y, z = y.unbind(-1)
    return torch.stack([z - y, math.cos(3 * t.item()) + y / 2 - z], -1)


START = torch.tensor([1.0, 1.5], **DOUBLE)


def solve(func, y0, t, mass, rtol=1e-9, atol=1e-9, method="radauIIA5", options=None, **more):
    options = {"mass_matrix": mass, **(options or {})}
    return nodekit.solve(func, y0, t, rtol=rtol, atol=atol, method=method, options=options, **more)


def finite_difference(function, x, step=1e-5):
    moves = step * torch.eye(len(x), **DOUBLE)
    return torch.stack([(function(x + move) - function(x - move)) / (2 * step) for move in moves])


@pytest.mark.parametrize("size", [1e-18, 1e18])
def test_units_do_not_make_a_matrix_singular(size):
    """An equation in another unit: ε z' = ε (cos t − z)."""
    found = solve(
        lambda t, y: torch.stack([-y[0], size * (torch.cos(t) - y[1])]),
        torch.tensor([1.0, 0.0], **DOUBLE),
        [0.0, 1.0],
        torch.tensor([1.0, size], **DOUBLE),
    )
    z = (math.cos(1.0) + math.sin(1.0) - math.exp(-1.0)) / 2
    torch.testing.assert_close(found.y[-1], torch.tensor([math.exp(-1.0), z], **DOUBLE), rtol=1e-7, atol=1e-8)


def test_units_do_not_change_the_index():
    """Currents of picoamperes: 0 = 1e-12 y − z, and an equation for them in another unit."""
    found = solve(
        lambda t, y: torch.stack([-1e12 * y[1], 1e-9 * (1e-12 * y[0] - y[1])]),
        torch.tensor([1.0, 1e-12], **DOUBLE),
        [0.0, 1.0],
        SINGULAR,
        atol=torch.tensor([1e-9, 1e-21], **DOUBLE),
    )
    expected = math.exp(-1.0) * torch.tensor([1.0, 1e-12], **DOUBLE)
    torch.testing.assert_close(found.y[-1], expected, rtol=1e-7, atol=0.0)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("numpy", [False, True])
def test_an_index_of_two_is_seen_in_all_coordinates_and_from_differences(mixed, numpy):
    """x' = z + w, 0 = x − z − w (index 1, of one combination) and its multiple, which leaves z − w open."""
    turn = torch.tensor([[0.6, 0.8, 0.0], [-0.48, 0.36, 0.8], [0.64, -0.48, 0.6]], **DOUBLE)
    turn = turn if mixed else torch.eye(3, **DOUBLE)
    A = torch.tensor([[-1.0, 1.0, 1.0], [0.7, -3.3, -3.3], [0.3, -1.1, -1.1]], **DOUBLE)
    A, mass = turn @ A @ turn.T, turn @ torch.diag(torch.tensor([1.0, 0.0, 0.0], **DOUBLE)) @ turn.T
    func = (lambda t, y: A.numpy() @ y) if numpy else (lambda t, y: A @ y)
    y0 = np.zeros(3) if numpy else torch.zeros(3, **DOUBLE)
    with pytest.raises(errors.UnsupportedCombination, match="index 2 or higher"):
        solve(func, y0, [0.0, 1.0], mass)


@pytest.mark.parametrize("options", [{}, {"step_size": 0.01}])
def test_an_index_that_rises_on_the_way_ends_the_solve_by_name(options):
    """Until t = 1 the second equation determines z, from then on x."""

    def func(t, y):
        x, z = y.unbind()
        return torch.stack([z - x, x - torch.cos(t) if t > 1.0 else z - torch.sin(t)])

    found = solve(func, torch.zeros(2, **DOUBLE), [0.0, 0.5, 2.0], SINGULAR, options=options, throw=False, rtol=1e-6)
    assert isinstance(found.status, errors.NewtonDidNotConverge)
    assert "index 2 or higher" in found.status.message
    assert math.isclose(found.status.t, 1.0, abs_tol=0.02)
    assert found.y[1].isfinite().all()
    assert found.y[2].isnan().all()


@pytest.mark.parametrize("func", [driven, driven_by_a_number])
def test_derivatives_by_times_and_of_events_know_a_time_without_a_graph(func):
    """y = a cos 3t + b sin 3t + c exp(−t/2), z = y/2 + cos 3t."""
    a, b = 0.5 / 9.25, 3 / 9.25

    def z_and_rate(t, start):
        c = start - a
        y = a * math.cos(3 * t) + b * math.sin(3 * t) + c * math.exp(-t / 2)
        rate = -3 * a * math.sin(3 * t) + 3 * b * math.cos(3 * t) - c / 2 * math.exp(-t / 2)
        return y / 2 + math.cos(3 * t), rate / 2 - 3 * math.sin(3 * t)

    t = torch.tensor([0.0, 1.0], **DOUBLE, requires_grad=True)
    (by_time,) = torch.autograd.grad(solve(func, START, t, SINGULAR).y[1, 1], t)
    assert math.isclose(by_time[1].item(), z_and_rate(1.0, 1.0)[1], rel_tol=1e-6)
    start = torch.tensor(1.0, **DOUBLE, requires_grad=True)
    y0 = torch.stack([start, start / 2 + 1])
    event = solve(func, y0, [0.0, 4.0], SINGULAR, events=[nodekit.Event(lambda t, y: y[1])]).events.t[0]
    z, rate = z_and_rate(event.item(), 1.0)
    assert abs(z) < 1e-7
    (by_start,) = torch.autograd.grad(event, start)
    assert math.isclose(by_start.item(), -math.exp(-event.item() / 2) / 2 / rate, rel_tol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_gradients_of_a_matrix_whose_null_space_turns(side):
    def loss(theta):
        c, s = torch.cos(theta[0]), torch.sin(theta[0])
        turn = torch.stack([torch.stack([c, s]), torch.stack([-s, c])])
        mass = turn @ torch.diag(SINGULAR) if side == "left" else torch.diag(SINGULAR) @ turn
        mass = theta[1] * mass
        y0 = nodekit.consistent_state(driven, START, 0.0, mass)
        return solve(driven, y0, [0.0, 0.3, 1.0], mass, rtol=1e-11, atol=1e-11, method="kvaerno5").y[1:].sum()

    theta = torch.tensor([0.3, 1.2], **DOUBLE, requires_grad=True)
    (found,) = torch.autograd.grad(loss(theta), theta)
    torch.testing.assert_close(found, finite_difference(loss, theta.detach()), rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_zero_entry_is_that_of_the_stiff_limit():
    """ε z' = cos 3t + y/2 − z: the derivative at ε = 0 from above, away from the layer at the start."""

    def end(mass):
        return solve(driven, START, [0.0, 2.0], mass, rtol=1e-11, atol=1e-11).y[-1]

    mass = SINGULAR.clone().requires_grad_()
    found = torch.stack([torch.autograd.grad(end(mass)[i], mass)[0] for i in (0, 1)])
    eps = 1e-4
    limit = (end(torch.tensor([1.0, eps], **DOUBLE)) - end(SINGULAR)) / eps
    torch.testing.assert_close(found[:, 1], limit, rtol=2e-3, atol=0.0)


def test_events_may_change_what_has_a_derivative_and_the_rest_follows():
    """x' = −z, 0 = z + z³/5 − p x; whenever z falls to 1/2, x grows by one."""

    def values(p):
        def func(t, y):
            x, z = y.unbind()
            return torch.stack([-z, z + 0.2 * z**3 - p[0] * x])

        kick = nodekit.Event(
            lambda t, y: y[1] - 0.5, direction=-1, terminal=False, change=lambda t, y: torch.stack([y[0] + 1, y[1]])
        )
        y0 = nodekit.consistent_state(func, torch.stack([p[1], p[1]]), 0.0, SINGULAR)
        found = solve(func, y0, [0.0, 1.0, 2.0, 3.0], SINGULAR, events=[kick], rtol=1e-10, atol=1e-10)
        assert len(found.events.t) == 2
        z, x = found.y[:, 1], found.y[:, 0]
        assert torch.allclose(z + 0.2 * z**3, p[0] * x, atol=1e-9)
        return torch.cat([found.y.reshape(-1), found.events.t])

    def loss(p):
        found = values(p)
        return found @ torch.linspace(1.0, 2.0, len(found), **DOUBLE)

    p = torch.tensor([1.1, 1.0], **DOUBLE, requires_grad=True)
    # Between events x falls as z dx = (1 + 3z²/5)/p dz does: ∫ dt = ∫ (1/z + 3z/5)/p dz.
    times = values(p)[-2:].detach()
    high = float(nodekit.consistent_state(
        lambda t, y: torch.stack([y[0], y[1] + 0.2 * y[1] ** 3 - 1.1 * y[0]]), torch.tensor([1.0, 1.0], **DOUBLE), 0.0,
        SINGULAR)[1])  # fmt: skip
    until = (math.log(high / 0.5) + 0.3 * (high**2 - 0.25)) / 1.1
    assert math.isclose(times[0].item(), until, rel_tol=1e-8)
    (found,) = torch.autograd.grad(loss(p), p)
    torch.testing.assert_close(found, finite_difference(loss, p.detach()), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("jumps", [[], [1.0]])
def test_what_has_no_derivative_jumps_with_its_equation(jumps):
    """x' = z − x, z = 1 and from t = 1 on 3: not a slope between both."""

    def func(t, y):
        x, z = y.unbind()
        return torch.stack([z - x, z - torch.where(t > 1.0, 3.0, 1.0)])

    t = [0.0, 0.5, 1.0, 1.0001, 1.01, 1.5]
    found = solve(func, torch.tensor([0.0, 1.0], **DOUBLE), t, SINGULAR, options={"jump_t": jumps}).y
    x = [1 - math.exp(-t) if t <= 1 else 3 - (2 + math.exp(-1.0)) * math.exp(1 - t) for t in t]
    torch.testing.assert_close(found[:, 0], torch.tensor(x, **DOUBLE), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found[:, 1], torch.tensor([1.0, 1.0, 1.0, 3.0, 3.0, 3.0], **DOUBLE))


def test_what_no_error_estimate_sees_is_still_right_between_the_steps():
    """x' = −x takes long steps, over many waves of z = sin 100t, and events of z are found there."""

    def func(t, y):
        return torch.stack([-y[0], y[1] - torch.sin(100 * t)])

    t = torch.linspace(0.0, 3.0, 301, **DOUBLE)
    found = solve(func, torch.tensor([1.0, 0.0], **DOUBLE), t, SINGULAR, method="kvaerno5", rtol=1e-5, atol=1e-5)
    assert found.stats.accepted < 60
    torch.testing.assert_close(found.y[:, 1], torch.sin(100 * t), rtol=0.0, atol=1e-12)


def test_rounding_is_no_inconsistency():
    """In float32 a sum of one is one up to 6e-8, more than ten times the tolerance of a component near zero."""

    def func(t, y):
        a, b, c = y.unbind()
        return torch.stack([-a, a - b, a + b + c - 1])

    y0 = torch.tensor([0.9, 0.1, -6e-8])
    found = solve(func, y0, [0.0, 1.0], [1.0, 1.0, 0.0], rtol=1e-4, atol=1e-9).y[-1]
    e = math.exp(-1.0)
    torch.testing.assert_close(found, torch.tensor([0.9 * e, e, 1 - 1.9 * e]), rtol=1e-3, atol=1e-5)


def test_a_state_as_a_list_of_numbers_and_transforms():
    def func(p):
        return lambda t, y: torch.stack([p * y[1] - y[0] ** 2, y[1] ** 3 + y[1] - y[0] - torch.cos(t)])

    def loss(p):
        y0 = nodekit.consistent_state(func(p), torch.stack([0.7 + 0 * p, 1 + 0 * p]), 0.0, SINGULAR)
        y = solve(func(p), y0, [0.0, 0.31, 1.0], SINGULAR, options={"step_size": 0.25}).y
        return y[1:].pow(2).sum()

    p = torch.tensor(1.3, **DOUBLE)
    expected = finite_difference(lambda p: loss(p[0]), p[None])[0]
    for found in (torch.func.grad(loss)(p), torch.func.jacfwd(loss)(p)):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    batch = torch.func.vmap(loss)(torch.stack([p, p + 0.1]))
    torch.testing.assert_close(batch, torch.stack([loss(p), loss(p + 0.1)]), rtol=1e-9, atol=0.0)
    found = solve(lambda t, y: np.array([y[1] - y[0], y[1] - math.cos(t)]), [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]).y[-1]
    assert math.isclose(found[0], (math.cos(1.0) + math.sin(1.0) + math.exp(-1.0)) / 2, rel_tol=1e-7)


def test_a_network_with_an_equation_without_a_derivative():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()

    def func(t, y):
        out, z = network(y), y[..., 1]
        return torch.stack([out[..., 0] - y[..., 0], z + 0.3 * torch.tanh(z) - out[..., 1] / 2], -1)

    def loss():
        start = torch.linspace(-1.0, 1.0, 4, **DOUBLE)
        y0 = nodekit.consistent_state(func, torch.stack([start, 0 * start], -1), 0.0, SINGULAR)
        y = solve(func, y0, [0.0, 0.3, 1.0], SINGULAR, method="kvaerno5").y
        return (y**2 * torch.tensor([1.0, 2.0])).sum()

    loss().backward()
    weight = network[0].weight
    for index in [(0, 0), (3, 1)]:
        values = []
        with torch.no_grad():
            for move in (1e-5, -1e-5):
                kept = weight[index].clone()
                weight[index] += move
                values.append(loss())
                weight[index] = kept
        torch.testing.assert_close(weight.grad[index], (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_a_transistor_amplifier_ends_where_the_test_set_has_it():
    """Hairer & Wanner II, section VI.1, eight voltages of which three follow; Test Set for IVP Solvers, transamp."""

    def amplifier(t, y):
        u = y.unbind()
        first, second = (1e-6 * (torch.exp(x / 0.026) - 1) for x in (u[1] - u[2], u[4] - u[5]))
        return torch.stack([
            (u[0] - 0.1 * torch.sin(200 * math.pi * t)) / 1000, (2 * u[1] - 6) / 9000 + 0.01 * first,
            u[2] / 9000 - first, (u[3] - 6) / 9000 + 0.99 * first, (2 * u[4] - 6) / 9000 + 0.01 * second,
            u[5] / 9000 - second, (u[6] - 6) / 9000 + 0.99 * second, u[7] / 9000,
        ])  # fmt: skip

    pair = torch.tensor([[-1.0, 1.0], [1.0, -1.0]], **DOUBLE)
    one = torch.tensor([[-1.0]], **DOUBLE)
    mass = 1e-6 * torch.block_diag(pair, 2 * one, 3 * pair, 4 * one, 5 * pair)
    start = torch.tensor([0.0, 3.0, 3.0, 6.0, 3.0, 3.0, 6.0, 0.0], **DOUBLE)
    found = solve(amplifier, start, [0.0, 0.2], mass, rtol=1e-4, atol=1e-4, method="kvaerno5").y[-1]
    published = [
        -0.5562145012262709e-2, 0.3006522471903042e1, 0.2849958788608128e1, 0.2926422536206241e1,
        0.2704617865010554e1, 0.2761837778393145e1, 0.4770927631616772e1, 0.1236995868091548e1,
    ]  # fmt: skip
    torch.testing.assert_close(found, torch.tensor(published, **DOUBLE), rtol=0.0, atol=1e-3)


def test_a_pendulum_by_its_tension_keeps_its_length_and_energy():
    """0 = u² + v² − λ(x² + y²) − 9.81 y: the length, differentiated twice."""

    def pendulum(t, state):
        x, y, u, v, tension = state.unbind()
        length = u**2 + v**2 - tension * (x**2 + y**2) - 9.81 * y
        return torch.stack([u, v, -tension * x, -tension * y - 9.81, length])

    start = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0], **DOUBLE)
    found = solve(
        pendulum, start, torch.linspace(0.0, 2.0, 11, **DOUBLE), [1.0, 1.0, 1.0, 1.0, 0.0], rtol=1e-8, atol=1e-8
    )
    x, y, u, v, tension = found.y.unbind(1)
    torch.testing.assert_close(x**2 + y**2, torch.ones(11, **DOUBLE), rtol=1e-7, atol=0.0)
    torch.testing.assert_close((u**2 + v**2) / 2 + 9.81 * y, torch.zeros(11, **DOUBLE), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(tension, -3 * 9.81 * y, rtol=0.0, atol=1e-6)


def test_states_between_steps_and_consistent_ones_are_right_in_any_unit():
    """A diode's current in femtoamperes beside a charge in coulombs: 0 = s (z/s + (z/s)³ − y), s = 1e-15."""
    unit = 1e-15

    def func(t, y):
        z = y[1] / unit
        return torch.stack([-y[0], unit * (z + z**3 - y[0])])

    y0 = nodekit.consistent_state(func, torch.tensor([2.0, 0.0], **DOUBLE), 0.0, SINGULAR)
    torch.testing.assert_close(y0[1], torch.tensor(unit, **DOUBLE), rtol=1e-8, atol=0.0)
    atol = torch.tensor([1e-9, 1e-9 * unit], **DOUBLE)
    found = solve(func, y0, torch.linspace(0.0, 1.0, 21, **DOUBLE), SINGULAR, rtol=1e-8, atol=atol).y
    z = found[:, 1] / unit
    torch.testing.assert_close(z + z**3, found[:, 0], rtol=1e-8, atol=0.0)


@pytest.mark.parametrize("mass", ["diagonal", lambda t: SINGULAR, [[1.0], [0.0, 0.0]]])
def test_what_is_no_matrix_is_refused(mass):
    with pytest.raises(errors.InvalidOption, match="mass_matrix must be a matrix of numbers"):
        solve(driven, START, [0.0, 1.0], mass)


@pytest.mark.parametrize("state", [(START,), START + 0j])
def test_states_that_a_matrix_does_not_act_on_are_refused(state):
    with pytest.raises(errors.InvalidState, match="one real tensor"):
        nodekit.consistent_state(driven, state, 0.0, SINGULAR)


def test_a_consistent_state_is_not_sought_where_the_equations_leave_it_open():
    """0 = x says nothing of z."""
    with pytest.raises(errors.NewtonDidNotConverge, match="index 2 or higher"):
        nodekit.consistent_state(lambda t, y: y.flip(0), START, 0.0, SINGULAR)


@pytest.mark.parametrize(("gradient", "method"), [("checkpoint", "dopri5"), ("adjoint", "radauIIA5")])
def test_what_cannot_is_refused_by_the_functions_of_torchdiffeq_too(gradient, method):
    with pytest.raises(errors.UnsupportedCombination, match="mass_matrix"):
        nodekit.odeint(
            driven, START, torch.tensor([0.0, 1.0]), method=method, gradient=gradient, options={"mass_matrix": SINGULAR}
        )


def test_jacobian_products_serve_large_batches_and_their_gradients():
    """Three hundred samples: no matrix of all of them is made for a step."""
    start = torch.linspace(0.0, 1.0, 300, **DOUBLE, requires_grad=True)
    y0 = torch.stack([start, 1 + start / 2], -1)
    found = solve(driven, y0, [0.0, 1.0], SINGULAR, method="kvaerno5", rtol=1e-8, atol=1e-8).y[-1]
    (by_start,) = torch.autograd.grad(found.sum(), start)
    torch.testing.assert_close(by_start, torch.full_like(by_start, 1.5 * math.exp(-0.5)), rtol=1e-6, atol=0.0)
