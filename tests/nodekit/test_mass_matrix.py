"""Mass matrices: M y' = f(t, y), differential-algebraic equations of index 1 among them."""

import math

import pytest
import torch

import nodekit
from nodekit import errors

DOUBLE = {"dtype": torch.float64}
METHODS = [name for name, method in nodekit.METHODS.items() if method.mass]
ADAPTIVE = [name for name in METHODS if nodekit.METHODS[name].adaptive]
SINGULAR = torch.diag(torch.tensor([1.0, 0.0], **DOUBLE))


def driven(t, y):
    """y' = −y + z, 0 = z − cos 3t − y/2: y' = −y/2 + cos 3t."""
    y, z = y.unbind(-1)
    return torch.stack([z - y, z - torch.cos(3 * t) - y / 2], -1)


def driven_exactly(t):
    a, b = 0.5 / 9.25, 3 / 9.25
    y = a * torch.cos(3 * t) + b * torch.sin(3 * t) + (1 - a) * torch.exp(-t / 2)
    return torch.stack([y, torch.cos(3 * t) + y / 2], -1)


def robertson(t, y):
    a, b, c = y.unbind(-1)
    first = -0.04 * a + 1e4 * b * c
    return torch.stack([first, -first - 3e7 * b**2, a + b + c - 1], -1)


def robertson_without(t, y):
    a, b, c = y.unbind(-1)
    first = -0.04 * a + 1e4 * b * c
    return torch.stack([first, -first - 3e7 * b**2, 3e7 * b**2], -1)


def solve(func, y0, t, mass, **options):
    more = {name: options.pop(name) for name in list(options) if name in SOLVE}
    return nodekit.solve(func, y0, t, options={"mass_matrix": mass, **options}, **more)


SOLVE = {"method", "rtol", "atol", "gradient", "events", "dense", "batch", "compile", "args", "throw"}


def test_they_are_the_methods_that_end_in_a_stage_and_forget_at_once():
    assert METHODS == ["implicit_euler", "sdirk2", "trbdf2", "kvaerno3", "kvaerno5", "radauIIA3", "radauIIA5"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [20, 40])
def test_a_regular_matrix_gives_what_its_inverse_gives(method, steps):
    M = torch.tensor([[2.0, 1.0], [0.5, 3.0]], **DOUBLE)
    y0, t = torch.tensor([[1.0, 0.5], [0.2, -1.0]], **DOUBLE), [0.0, 0.33, 1.0]

    def f(t, y):
        return torch.stack([-y[..., 0] * y[..., 1], torch.sin(t) - y[..., 1]], -1)

    weighted = solve(f, y0, t, M, method=method, step_size=1 / steps)
    plain = nodekit.solve(
        lambda t, y: torch.linalg.solve(M, f(t, y).mT).mT, y0, t, method=method, options={"step_size": 1 / steps}
    )
    torch.testing.assert_close(weighted.y, plain.y, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_component_converges_with_the_method_s_order(method):
    t = torch.tensor([0.0, 2.0], **DOUBLE)
    errors_at = []
    for steps in (40, 80):
        found = solve(driven, driven_exactly(t[0]), t, SINGULAR, method=method, step_size=2 / steps).y[-1]
        errors_at.append((found - driven_exactly(t[1])).abs())
    order = torch.log2(errors_at[0] / errors_at[1])
    assert (order > nodekit.METHODS[method].order - 0.35).all()


@pytest.mark.parametrize("method", ADAPTIVE)
def test_what_has_no_derivative_is_as_accurate_between_steps_as_what_has(method):
    t = torch.linspace(0.0, 4.0, 101, **DOUBLE)
    error = (
        solve(driven, driven_exactly(t[0]), t, SINGULAR, method=method, rtol=1e-6, atol=1e-6).y - driven_exactly(t)
    ).abs()
    assert error[:, 1].max() <= 0.51 * error[:, 0].max()  # z − z(exact) is half of y − y(exact)
    assert error.max() < 1e-4


@pytest.mark.parametrize("method", ADAPTIVE)
def test_robertson_with_its_conservation_as_an_equation(method):
    y0, t = torch.tensor([1.0, 0.0, 0.0], **DOUBLE), [0.0, 0.4, 40.0]
    found = solve(robertson, y0, t, [1.0, 1.0, 0.0], method=method, rtol=1e-6, atol=1e-10).y
    exact = nodekit.solve(robertson_without, y0, t, method="radauIIA5", rtol=1e-10, atol=1e-14).y
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-9)
    assert (found.sum(1) - 1).abs().max() < 1e-12


def test_rows_of_a_singular_matrix_may_be_mixed():
    """Equations added to each other, so that no row is without a derivative by itself."""
    mix = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], **DOUBLE)
    t = torch.linspace(0.0, 2.0, 5, **DOUBLE)
    mass, tight = mix @ SINGULAR, {"rtol": 1e-8, "atol": 1e-8}
    found = solve(lambda t, y: mix @ driven(t, y), driven_exactly(t[0]), t, mass, method="radauIIA5", **tight)
    torch.testing.assert_close(found.y, driven_exactly(t), rtol=1e-6, atol=1e-7)


def test_samples_of_a_shared_solve_are_solved_as_alone():
    t = torch.linspace(0.0, 2.0, 5, **DOUBLE)
    starts = torch.tensor([1.0, -1.0, 3.0], **DOUBLE)
    y0 = torch.stack([starts, 1 + starts / 2], -1)
    found = solve(driven, y0, t, SINGULAR, method="kvaerno5", rtol=1e-8, atol=1e-8).y
    exact = driven_exactly(t)[:, None] + (y0[:, :1] - 1) * torch.exp(-t / 2)[:, None, None] * torch.tensor([1.0, 0.5])
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("solver", ["newton", "krylov"])
def test_large_systems(solver):
    """Diffusion whose ends follow algebraic equations."""
    n = 60
    x = torch.linspace(0.0, 1.0, n, **DOUBLE)
    mass = torch.ones(n, **DOUBLE)
    mass[0] = mass[-1] = 0.0

    def heat(t, y):
        inner = (y[:-2] - 2 * y[1:-1] + y[2:]) * (n - 1) ** 2
        return torch.cat([y[:1], inner, y[-1:]])

    y0 = torch.sin(math.pi * x)
    y0[-1] = 0.0
    found = solve(heat, y0, [0.0, 0.1], mass, method="radauIIA5", rtol=1e-6, atol=1e-8, solver=solver).y[-1]
    rate = 4 * (n - 1) ** 2 * math.sin(math.pi / 2 / (n - 1)) ** 2
    torch.testing.assert_close(found, y0 * math.exp(-rate * 0.1), rtol=1e-4, atol=1e-6)


def finite_difference(function, x, step=1e-5):
    moves = step * torch.eye(len(x), **DOUBLE)
    return torch.stack([(function(x + move) - function(x - move)) / (2 * step) for move in moves])


@pytest.mark.parametrize(
    ("gradient", "method", "options"),
    [
        ("checkpoint", "kvaerno5", {}),
        ("checkpoint", "radauIIA5", {"graph_bytes": 0}),
        ("checkpoint", "trbdf2", {"step_size": 0.25}),
        ("checkpoint", "kvaerno3", {"step_size": 0.25, "graph_bytes": 0}),
        ("backprop", "radauIIA5", {}),
        ("backprop", "sdirk2", {"step_size": 0.25}),
    ],
)
def test_gradients_are_those_of_the_solve(gradient, method, options):
    def loss(theta):
        start, a, b, m = theta.unbind()
        mass = torch.stack([m, torch.zeros_like(m)]).diag()

        def f(t, y):
            return torch.stack([a * y[1] - y[0] ** 2, y[1] ** 3 + y[1] - b * y[0] - torch.cos(t)])

        y0 = nodekit.consistent_state(f, torch.stack([start, torch.ones_like(start)]), 0.0, SINGULAR)
        y = solve(f, y0, [0.0, 0.31, 1.0], mass, method=method, rtol=1e-10, atol=1e-10, gradient=gradient, **options).y
        return (y[1] * torch.tensor([1.0, 2.0])).sum() + y[-1, 0] * y[-1, 1]

    theta = torch.tensor([0.7, 1.3, 0.8, 1.5], **DOUBLE, requires_grad=True)
    (found,) = torch.autograd.grad(loss(theta), theta)
    torch.testing.assert_close(found, finite_difference(loss, theta.detach()), rtol=2e-6, atol=1e-8)


def test_second_derivatives():
    def loss(theta):
        def f(t, y):
            return torch.stack([y[1] - y[0] ** 2, y[1] ** 3 + y[1] - theta[1] * y[0] - torch.cos(t)])

        y0 = nodekit.consistent_state(f, torch.stack([theta[0], torch.ones_like(theta[0])]), 0.0, SINGULAR)
        return solve(f, y0, [0.0, 0.31, 1.0], SINGULAR, method="radauIIA5", step_size=0.25).y[1:].pow(2).sum()

    def gradient(theta):
        theta = theta.requires_grad_()
        return torch.autograd.grad(loss(theta), theta)[0]

    theta = torch.tensor([0.7, 0.8], **DOUBLE)
    hessian = torch.autograd.functional.hessian(loss, theta)
    torch.testing.assert_close(hessian, finite_difference(gradient, theta), rtol=1e-6, atol=1e-7)


def test_events_look_at_what_has_no_derivative():
    """z = cos 3t + y/2 falls through zero where the formula does."""
    event = nodekit.Event(lambda t, y: y[1])
    for method in ("kvaerno5", "radauIIA5"):
        found = solve(driven, driven_exactly(torch.zeros((), **DOUBLE)), [0.0, 4.0], SINGULAR, method=method, rtol=1e-9,
                      atol=1e-9, events=[event]).events.t[0]  # fmt: skip
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if driven_exactly(torch.tensor(middle, **DOUBLE))[1] > 0 else (low, middle)
        assert math.isclose(found.item(), low, rel_tol=1e-6)


def test_dense_output_and_times_with_gradients():
    t = torch.tensor([0.0, 1.0, 2.0], **DOUBLE, requires_grad=True)
    start = driven_exactly(torch.zeros((), **DOUBLE))
    y = solve(driven, start, t, SINGULAR, method="radauIIA5", rtol=1e-9, atol=1e-9).y
    (by_time,) = torch.autograd.grad(y[1, 1], t)
    there = driven_exactly(t[1].detach())
    slope = -3 * math.sin(3.0) + (there[1] - there[0]) / 2
    torch.testing.assert_close(by_time[1], slope, rtol=1e-6, atol=1e-8)
    dense = solve(driven, start, [0.0, 2.0], SINGULAR, method="kvaerno5", rtol=1e-7, atol=1e-7, dense=True).dense
    torch.testing.assert_close(dense(torch.tensor(0.77, **DOUBLE)), driven_exactly(torch.tensor(0.77, **DOUBLE)),
                               rtol=1e-4, atol=1e-5)  # fmt: skip


def test_backwards_in_time_and_from_numpy():
    t = torch.tensor([2.0, 0.5, 0.0], **DOUBLE)
    found = solve(driven, driven_exactly(t[0]), t, SINGULAR, method="radauIIA5", rtol=1e-9, atol=1e-9).y
    torch.testing.assert_close(found, driven_exactly(t), rtol=1e-6, atol=1e-6)

    def on_numpy(t, y):
        return driven(torch.tensor(t), torch.tensor(y)).numpy()

    found = solve(
        on_numpy, driven_exactly(t[2]).numpy(), [0.0, 2.0], SINGULAR, method="kvaerno5", rtol=1e-7, atol=1e-7
    ).y
    torch.testing.assert_close(torch.tensor(found[-1]), driven_exactly(t[0]), rtol=1e-5, atol=1e-5)


def test_an_inconsistent_start_is_refused_with_how_far_it_is_off():
    with pytest.raises(
        errors.InvalidState, match=r"components \[1\] are off, component 1 by about 0.5.*consistent_state"
    ):
        solve(driven, torch.tensor([1.0, 2.0], **DOUBLE), [0.0, 1.0], SINGULAR, method="radauIIA5")
    start = nodekit.consistent_state(driven, torch.tensor([1.0, 2.0], **DOUBLE), 0.0, SINGULAR)
    torch.testing.assert_close(start, torch.tensor([1.0, 1.5], **DOUBLE))


def test_a_consistent_state_that_does_not_exist_is_said():
    with pytest.raises(errors.NewtonDidNotConverge, match="no state near"):
        nodekit.consistent_state(
            lambda t, y: torch.stack([y[1], y[1] ** 2 + 1]), torch.tensor([0.0, 0.4], **DOUBLE), 0.0, SINGULAR
        )


def test_a_higher_index_is_refused():
    def pendulum(t, y):
        x, height, vx, vy, tension = y.unbind()
        return torch.stack([vx, vy, -tension * x, -tension * height - 9.81, x**2 + height**2 - 1])

    y0 = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0], **DOUBLE)
    with pytest.raises(errors.UnsupportedCombination, match="index 2 or higher"):
        solve(pendulum, y0, [0.0, 1.0], [1.0, 1.0, 1.0, 1.0, 0.0], method="radauIIA5")


@pytest.mark.parametrize("mass", [torch.eye(3), torch.ones(3), [1.0], 2.0, [1.0, math.nan], torch.eye(2) * 1j])
def test_a_matrix_that_does_not_fit_is_refused(mass):
    with pytest.raises(errors.InvalidOption, match="mass_matrix"):
        solve(driven, torch.ones(4, 2, **DOUBLE), [0.0, 1.0], mass, method="radauIIA5")


def test_where_the_equations_stop_determining_the_solution_the_solve_ends_by_name():
    """0 = z² + t − 1, z(0) = 1: beyond t = 1 there is no z."""
    with pytest.raises(errors.SolveFailed):
        solve(lambda t, y: torch.stack([y[1], y[1] ** 2 + t - 1]), torch.tensor([0.0, 1.0], **DOUBLE), [0.0, 2.0],
              SINGULAR, method="radauIIA5", rtol=1e-6, atol=1e-6)  # fmt: skip
