"""The automatic method: as cheap as the better of its two methods, exact in its gradients, and switching both ways."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from detest import CLASSICAL, NONSTIFF, STIFF
from scipy.integrate import solve_ivp

import nodekit

ROBERTSON = CLASSICAL["robertson"]._replace(end=1e5)
PROBLEMS = CLASSICAL | {"robertson": ROBERTSON} | NONSTIFF | STIFF
#: of every class a few
CHOSEN = [*CLASSICAL, "A3", "A5", "B1", "B5", "C2", "C4", "D1", "D5", "E2", "E3", *STIFF]


@functools.cache
def reference(name: str) -> np.ndarray:
    """SciPy's solution at the end."""
    problem = PROBLEMS[name]

    def slope(t, y):
        return problem.slope(torch.tensor(t, dtype=torch.float64), torch.tensor(y)).numpy()

    solver = "DOP853" if name in NONSTIFF else "Radau"
    start = np.array(problem.start, dtype=float)
    solution = solve_ivp(slope, (0, problem.end), start, method=solver, rtol=1e-9, atol=1e-12)
    assert solution.success
    return solution.y[:, -1]


def solved(name: str, method: str, rtol: float, **options) -> nodekit.Solution:
    """A derivative without a graph has its Jacobians by differences, whose evaluations are counted."""
    problem = PROBLEMS[name]
    y0 = torch.tensor(problem.start, dtype=torch.float64)
    atol = rtol if name in NONSTIFF else 1e-3 * rtol
    return nodekit.solve(
        lambda t, y: problem.slope(t, y).detach(), y0, [0.0, problem.end], rtol=rtol, atol=atol, method=method,
        options=options, throw=False,
    )  # fmt: skip


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("name", CHOSEN)
def test_it_costs_at_most_a_third_more_than_the_better_of_its_methods(name, rtol):
    found = solved(name, "auto", rtol)
    assert found.success
    # What neither method does in so many steps is not done for less.
    enough = {"max_num_steps": found.stats.nfe_forward // 6 + 1}
    others = [solved(name, method, rtol, **enough) for method in ("tsit5", "kvaerno5")]
    costs = [other.stats.nfe_forward for other in others if other.success]
    assert all(found.stats.nfe_forward <= 1.3 * cost for cost in costs)


@pytest.mark.parametrize("name", CHOSEN)
def test_it_solves_to_tolerance(name):
    rtol, exact = 1e-5, reference(name)
    atol = rtol if name in NONSTIFF else 1e-3 * rtol
    error = np.abs(solved(name, "auto", rtol).y[-1].numpy() - exact) / (atol + rtol * np.abs(exact))
    # Neighbouring orbits part, and so do relaxations' phases.
    assert error.max() < (2000 if name[0] == "D" else 100)


def van_der_pol(mu):
    return lambda t, y: torch.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def kinds(solution) -> list[tuple[str, int]]:
    """The methods that took the steps of a solve with dense output, and how many of them in a row."""
    steps = [type(accepted.interval.method).__name__ for accepted in solution.dense._dense.steps]
    return [(name, len(list(group))) for name, group in itertools.groupby(steps)]


def test_it_switches_at_every_jump_of_a_relaxation_oscillation():
    """At mu = 1000 the first jump is at t = 807, the second 807 later: Hairer & Wanner II, section IV.1."""
    y0 = torch.tensor([2.0, 0.0], dtype=torch.float64)
    solution = nodekit.solve(van_der_pol(1000.0), y0, [0.0, 2000.0], rtol=1e-6, atol=1e-8, method="auto", dense=True)
    names = [name for name, _ in kinds(solution)]
    assert names == ["ExplicitRungeKutta", "ImplicitRungeKutta"] * 3
    steps = solution.dense._dense.steps
    explicit = [s.interval.t0 for s in steps if type(s.interval.method).__name__ == "ExplicitRungeKutta"]
    assert all(min(abs(t), abs(t - 807), abs(t - 1614)) < 20 for t in explicit)


def test_what_only_oscillates_stays_explicit():
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for rtol in (1e-3, 1e-6):
        solution = nodekit.solve(
            lambda t, y: torch.stack([y[1], -100 * y[0]]), y0, [0.0, 20.0], rtol=rtol, method="auto", dense=True
        )
        assert [name for name, _ in kinds(solution)] == ["ExplicitRungeKutta"]


TIMES = torch.tensor([0.0, 0.3, 20.0, 48.0], dtype=torch.float64)


def gradient(mu, y0, *orders, **more):
    """Of a solve that both methods take part in, to first order or further ones."""
    given = {"rtol": 1e-6, "atol": 1e-8, "method": "auto"} | more
    y = nodekit.solve(van_der_pol(mu), y0, TIMES, params=[mu], **given).y
    found = torch.autograd.grad((y * torch.tensor([1.0, 0.1], dtype=torch.float64)).sum(), [mu, y0], create_graph=True)
    for _ in orders:
        found = torch.autograd.grad(found[0] + found[1].sum(), [mu, y0])
    return torch.cat([g.reshape(-1) for g in found]).detach()


@pytest.fixture
def start():
    mu = torch.tensor(25.0, dtype=torch.float64, requires_grad=True)
    return mu, torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)


def test_both_methods_take_part_in_what_is_differentiated(start):
    mu, y0 = (x.detach() for x in start)
    solution = nodekit.solve(van_der_pol(mu), y0, TIMES, rtol=1e-6, atol=1e-8, method="auto", dense=True)
    assert [name for name, _ in kinds(solution)] == ["ExplicitRungeKutta", "ImplicitRungeKutta"] * 3


@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}, {"graph_bytes": 20_000}, {"checkpoints": 3}])
def test_exact_gradients_agree_whether_steps_are_kept_or_taken_again(options, start):
    exact = gradient(*start, gradient="backprop")
    torch.testing.assert_close(gradient(*start, options=options), exact, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_the_solution(start):
    """Central differences of SciPy's solution."""

    def loss(mu, a, b):
        def slope(t, y):
            return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]

        times = TIMES.numpy()
        solution = solve_ivp(slope, (0, times[-1]), [a, b], method="Radau", rtol=1e-10, atol=1e-12, t_eval=times)
        return (solution.y * np.array([[1.0], [0.1]])).sum()

    differences = []
    for unit in np.eye(3):
        ahead, behind = (loss(*(np.array([25.0, 2.0, 0.0]) + sign * 1e-4 * unit)) for sign in (1, -1))
        differences.append((ahead - behind) / 2e-4)
    found = gradient(*start, rtol=1e-8, atol=1e-10)
    assert found.tolist() == pytest.approx(differences, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["adjoint", "interpolated"])
def test_continuous_adjoints_are_solved_by_it_as_well(name):
    """To an attracting solution a stiff way back exists along the stored solution only."""
    y0, w = (torch.ones(2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    rates = torch.tensor([1.0, 0.5 if name == "adjoint" else 500.0], dtype=torch.float64)

    def gradient(gradient, rtol):
        y = nodekit.solve(
            lambda t, y: -rates * (w * y - torch.cos(t)), y0, [0.0, 2.0], method="auto", rtol=rtol, atol=rtol,
            gradient=gradient, params=[w],
        ).y  # fmt: skip
        return torch.cat(torch.autograd.grad(y[-1].square().sum(), [y0, w]))

    torch.testing.assert_close(gradient(name, 1e-8), gradient("backprop", 1e-11), rtol=1e-5, atol=1e-6)


def test_second_derivatives_are_exact_too(start):
    kept, again = (gradient(*start, 2, options={"graph_bytes": most}) for most in (2**30, 0))
    torch.testing.assert_close(kept, again, rtol=1e-8, atol=1e-8)


def relaxed(t, y):
    """Towards cos t, at a rate of a thousand from t = 1 on."""
    return -torch.where(t < 1, 1.0, 1000.0).to(y) * (y - torch.cos(t)) - torch.sin(t)


@pytest.mark.parametrize("backwards", [False, True])
def test_dense_output_and_events_use_the_method_of_their_step(backwards):
    y0 = torch.tensor([1.0, 1.0], dtype=torch.float64)
    sign = -1.0 if backwards else 1.0

    def func(t, y):
        return sign * relaxed(sign * t, y)

    event = nodekit.Event(lambda t, y: y[0], terminal=False)
    solution = nodekit.solve(
        func, y0, [0.0, sign * 10.0], method="auto", rtol=1e-7, dense=True, events=[event], options={"jump_t": [sign]}
    )
    assert len(kinds(solution)) >= 2
    t = torch.linspace(0.0, 10.0, 301, dtype=torch.float64)
    torch.testing.assert_close(solution.dense(sign * t)[:, 0], torch.cos(t), rtol=0, atol=1e-5)
    found = [abs(float(x)) for x in solution.events.t]
    assert found == pytest.approx([math.pi / 2, 3 * math.pi / 2, 5 * math.pi / 2], abs=1e-6)
    at_times = nodekit.solve(func, y0, sign * t, method="auto", rtol=1e-7, options={"jump_t": [sign]}).y
    torch.testing.assert_close(at_times[:, 0], torch.cos(t), rtol=0, atol=1e-5)


def test_a_state_whose_stiff_part_rests_and_one_that_does_not_change_are_solved():
    y0 = torch.tensor([0.0, 1.0], dtype=torch.float64)
    rates = torch.tensor([-1e6, -0.1], dtype=torch.float64)
    y = nodekit.solve(lambda t, y: rates * y, y0, [0.0, 1000.0], method="auto", rtol=1e-6, atol=0.0).y
    assert y[-1, 0] == 0
    assert y[-1, 1].item() == pytest.approx(math.exp(-100), rel=1e-3)
    assert torch.equal(nodekit.solve(lambda t, y: 0 * y, y0, [0.0, 1e6], method="auto").y[-1], y0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_of_several_tensors_and_of_other_types_are_solved(dtype):
    rate = 1000.0
    y0 = torch.ones(2, dtype=dtype), torch.ones(3, dtype=dtype.to_complex())

    def func(t, y):
        return -rate * (y[0] - 1), -rate * (y[1] - torch.exp(1j * t)) + 1j * torch.exp(1j * t)

    solution = nodekit.solve(func, y0, [0.0, 20.0], method="auto", rtol=1e-4, atol=1e-5)
    assert abs(solution.y[1][-1, 0].item() - np.exp(20j)) < 1e-3
    assert solution.stats.accepted < 500


def test_large_systems_are_solved_without_their_matrix():
    """Diffusion on 600 points, which an explicit method would take ten thousands of steps for."""
    n = 600
    y0 = torch.sin(math.pi * torch.arange(1, n + 1, dtype=torch.float64) / (n + 1))

    def heat(t, y):
        zero = torch.zeros_like(y[:1])
        return n * n * (torch.cat([zero, y[:-1]]) - 2 * y + torch.cat([y[1:], zero]))

    solution = nodekit.solve(heat, y0, [0.0, 0.2], method="auto", rtol=1e-4, atol=1e-6)
    rate = 2 * n * n * (1 - math.cos(math.pi / (n + 1)))
    torch.testing.assert_close(solution.y[-1], y0 * math.exp(-rate * 0.2), rtol=1e-3, atol=1e-5)
    assert solution.stats.accepted < 200


def test_it_is_the_same_under_transforms():
    def end(y0):
        return nodekit.solve(van_der_pol(25.0), y0, [0.0, 5.0], method="auto", rtol=1e-5, atol=1e-7).y[-1].sum()

    y0 = torch.tensor([2.0, 0.0], dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(end(y0), y0)
    torch.testing.assert_close(torch.func.grad(end)(y0.detach()), exact, rtol=1e-6, atol=1e-8)
