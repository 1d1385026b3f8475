"""Explicit symplectic steps: their order, the energy over a long time, the way back, and what they are not made for."""

import math

import numpy as np
import pytest
import torch

import nodekit
from nodekit import errors

METHODS = [name for name, method in nodekit.METHODS.items() if method.pairs]


def pair(q=(1.0, 0.5), p=(0.0, 0.3)):
    return tuple(torch.tensor(x, dtype=torch.float64) for x in (q, p))


def pendulum(t, state):
    q, p = state
    return p, -torch.sin(q)


def energy(q, p):
    return (p**2 / 2 - torch.cos(q)).sum(-1)


def driven(t, state):
    """q' = (1 + t) p, p' = −(1 + t) q: turned by the angle t + t²/2."""
    q, p = state
    return (1 + t) * p, -(1 + t) * q


@pytest.mark.parametrize("end", [2.0, -0.9])
@pytest.mark.parametrize("method", METHODS)
def test_the_order_is_the_one_declared_for_systems_that_depend_on_time_too(method, end):
    angle = end + end**2 / 2
    q0, p0 = pair()
    exact = q0 * math.cos(angle) + p0 * math.sin(angle)
    errors_ = []
    for steps in (40, 80):
        q, _ = nodekit.odeint(driven, (q0, p0), [0.0, end], method=method, options={"step_size": abs(end) / steps})
        errors_.append((q[-1] - exact).abs().max().item())
    assert math.log2(errors_[0] / errors_[1]) == pytest.approx(nodekit.METHODS[method].order, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_energy_does_not_drift_over_a_thousand_swings_where_that_of_rk4_does(method):
    times = torch.linspace(0.0, 6000.0, 3001, dtype=torch.float64)
    step = {"leapfrog": 0.2, "yoshida4": 0.5}[method]

    def off(name, step):
        q, p = nodekit.odeint(pendulum, pair(), times, method=name, options={"step_size": step})
        there = energy(q, p)
        return (there - there[0]).abs()

    found = off(method, step)
    early, late = found[:300].max(), found[-300:].max()
    assert late < 1.2 * early
    assert late < 0.01
    drift = off("rk4", 0.5)
    assert drift[-300:].max() > 5 * drift[:300].max()


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_a_symplectic_map(method):
    """JᵀΩJ = Ω (Hairer, Lubich & Wanner, section VI.2)."""

    def end(y):
        q, p = nodekit.odeint(pendulum, (y[:2], y[2:]), [0.0, 1.2], method=method, options={"step_size": 0.4})
        return torch.cat([q[-1], p[-1]])

    jacobian = torch.autograd.functional.jacobian(end, torch.cat(pair()))
    omega = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(2)).double()
    torch.testing.assert_close(jacobian.T @ omega @ jacobian, omega, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_there_and_back_again_is_the_start(method):
    given = {"method": method, "options": {"step_size": 0.1}}
    ends = [x[-1] for x in nodekit.odeint(pendulum, pair(), [0.0, 50.0], **given)]
    back = [x[-1] for x in nodekit.odeint(pendulum, tuple(ends), [50.0, 0.0], **given)]
    torch.testing.assert_close(tuple(back), pair(), rtol=0, atol=1e-11)


TIMES = [0.0, 0.33, 1.0, 2.0]


@pytest.mark.parametrize("method", METHODS)
def test_gradients_agree_with_each_other_and_with_differences(method):
    stiffness = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    y0 = tuple(x.requires_grad_() for x in pair())

    def loss(y0, stiffness, gradient="backprop", **options):
        q, p = nodekit.solve(
            lambda t, y: ((1 + t) * y[1], -stiffness * torch.sin(y[0])), y0, TIMES, method=method, gradient=gradient,
            options={"step_size": 0.1, **options}, params=[stiffness],
        ).y  # fmt: skip
        return (q.square() + p).sum()

    def gradient(*choice, **options):
        return torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss(y0, stiffness, *choice, **options), (*y0, stiffness))]
        )

    exact = gradient()
    for other in (gradient("checkpoint"), gradient("checkpoint", graph_bytes=0), gradient("reversible")):
        torch.testing.assert_close(other, exact, rtol=1e-11, atol=1e-11)
    flat = torch.cat([*y0, stiffness[None]]).detach()
    units = 1e-6 * torch.eye(5, dtype=torch.float64)
    with torch.no_grad():
        found = [
            (loss((x[:2], x[2:4]), x[4]) - loss((z[:2], z[2:4]), z[4])) / 2e-6
            for x, z in zip(flat + units, flat - units, strict=True)
        ]
    torch.testing.assert_close(exact, torch.stack(found), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_an_adjoint_is_solved_by_another_method(method):
    y0 = tuple(x.requires_grad_() for x in pair())
    found = []
    for gradient in ("adjoint", "interpolated", "checkpoint"):
        q, _ = nodekit.odeint(
            pendulum, y0, [0.0, 2.0], method=method, gradient=gradient, options={"step_size": 0.02},
            **({"adjoint_method": "dopri5", "adjoint_options": {}} if gradient != "checkpoint" else {}),
        )  # fmt: skip
        found.append(torch.cat(torch.autograd.grad(q[-1].sum(), y0)))
    torch.testing.assert_close(found[0], found[2], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1], found[2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_times_within_steps_and_events_are_as_accurate_as_the_steps(method):
    q0, p0 = pair((1.0,), (0.0,))

    def spring(t, state):
        return state[1], -state[0]

    given = {"method": method, "options": {"step_size": 0.05}}
    times = torch.linspace(0.0, 3.0, 47, dtype=torch.float64)
    q, p = nodekit.odeint(spring, (q0, p0), times, **given)
    torch.testing.assert_close(q[:, 0], torch.cos(times), rtol=0, atol=1e-3)
    torch.testing.assert_close(p[:, 0], -torch.sin(times), rtol=0, atol=1e-3)
    solution = nodekit.solve(spring, (q0, p0), [0.0, 3.0], events=[lambda t, y: y[0]], **given)
    assert float(solution.events.t[0]) == pytest.approx(math.pi / 2, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("func", "words"),
    [
        (lambda t, y: (y[1], -y[0] - 0.1 * y[1]), "dp/dt on p"),
        (lambda t, y: (y[1] - 0.01 * y[0], -y[0]), "dq/dt depends on q"),
    ],
)
def test_a_system_that_is_not_separable_is_refused(method, func, words):
    with pytest.raises(errors.UnsupportedCombination, match=words):
        nodekit.odeint(func, pair(), [0.0, 1.0], method=method, options={"step_size": 0.1})


@pytest.mark.parametrize("state", [torch.ones(4).double(), np.ones(4), [1.0, 0.0], (1.0, 2.0), pair() + pair()])
def test_a_state_that_is_no_pair_is_refused(state):
    with pytest.raises(errors.UnsupportedCombination, match="tuple of two tensors"):
        nodekit.odeint(lambda t, y: y, state, [0.0, 1.0], method="leapfrog")


def test_each_half_may_be_a_structure_and_numpy_is_welcome():
    state = ({"a": np.ones(2), "b": np.zeros(())}, {"a": np.zeros(2), "b": np.ones(())})

    def func(t, y):
        return y[1], {name: -x for name, x in y[0].items()}

    q, _ = nodekit.odeint(func, state, np.array([0.0, 1.0]), method="yoshida4", options={"step_size": 0.1})
    assert q["a"][-1] == pytest.approx(math.cos(1), abs=1e-5)
    assert q["b"][-1] == pytest.approx(math.sin(1), abs=1e-5)
