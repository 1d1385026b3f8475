"""Implicit Runge–Kutta methods: stability, dense output, the solvers of their equations, and failures."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import nodekit
from nodekit import errors
from nodekit._methods.implicit_runge_kutta import blocks_of
from nodekit._methods.krylov import gmres

IMPLICIT = {name: m.tableau for name, m in nodekit.METHODS.items() if m.implicit and m.tableau}
L_STABLE = ("implicit_euler", "sdirk2", "trbdf2", "kvaerno3", "kvaerno5", "radauIIA3", "radauIIA5")
GAUSS = ("implicit_midpoint", "gl4", "gl6")
SOLVERS = ("newton", "krylov", "anderson", "fixed_point")


def amplification(tableau, z):
    """The stability function R(z) = 1 + z bᵀ(1 − zA)⁻¹1."""
    ones = np.ones(tableau.stages)
    return 1 + z * tableau.b @ np.linalg.solve(np.eye(tableau.stages) - z * tableau.A, ones)


@pytest.mark.parametrize("name", IMPLICIT)
def test_every_implicit_method_is_stable_in_the_left_half_plane(name):
    for y in np.logspace(-2, 4, 200):
        assert abs(amplification(IMPLICIT[name], 1j * y)) <= 1 + 1e-9


@pytest.mark.parametrize("name", IMPLICIT)
def test_what_is_infinitely_stiff_is_damped_by_l_stable_methods_and_kept_by_others(name):
    assert abs(amplification(IMPLICIT[name], -1e9)) == pytest.approx(0.0 if name in L_STABLE else 1.0, abs=1e-6)


@pytest.mark.parametrize("name", GAUSS)
def test_gauss_methods_keep_quadratic_invariants(name):
    """B = diag(b)A + (diag(b)A)ᵀ − bbᵀ vanishes (Hairer, Lubich & Wanner, theorem IV.2.2)."""
    A, b = IMPLICIT[name].A, IMPLICIT[name].b
    assert np.abs(b[:, None] * A + b * A.T - np.outer(b, b)).max() < 1e-15


@pytest.mark.parametrize(
    ("name", "embedded"),
    [("sdirk2", 1), ("trbdf2", 2), ("kvaerno3", 2), ("kvaerno5", 4), ("radauIIA3", 2), ("radauIIA5", 3)],
)
def test_embedded_weights_have_the_order_they_should(name, embedded):
    assert nodekit.METHODS[name].adaptive
    assert IMPLICIT[name].embedded_order == embedded


@pytest.mark.parametrize("name", IMPLICIT)
def test_dense_output_is_as_accurate_as_the_steps(name):
    """Its local error dt^(q+1) is of the order of the global error dt^p when q ≥ p − 1."""
    assert IMPLICIT[name].dense_order() >= IMPLICIT[name].order - 1


@pytest.mark.parametrize("name", IMPLICIT)
def test_outputs_between_steps_converge_at_the_order_of_the_method(name):
    order, errors = IMPLICIT[name].order, []
    counts = (8, 12) if order > 4 else (40, 60)
    for n in counts:
        h = 2.0 / n
        t = [0.0, *(h * (i + theta) for i in range(n) for theta in (0.21, 0.5, 0.83)), 2.0]
        y = nodekit.odeint(lambda t, y: y * math.cos(t), 1.0, t, method=name, options={"step_size": h})
        errors.append(np.abs(y - np.exp(np.sin(t))).max())
    assert math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0]) > order - 0.3


def test_stages_are_solved_in_the_smallest_blocks():
    sizes = {name: [block.last - block.first for block in blocks_of(tableau.A)] for name, tableau in IMPLICIT.items()}
    assert sizes["kvaerno3"] == [1] * 4
    assert sizes["gl6"] == [3]
    assert sizes["radauIIA5"] == [1, 3]  # the slope at the start is known


def pendulums(t, y):
    """Uncoupled, driven: components first."""
    angle, speed = y
    return torch.stack([speed, torch.cos(t) - torch.sin(angle) - 0.1 * speed**3])


@pytest.mark.parametrize("method", IMPLICIT)
def test_all_solvers_find_the_same_step(method):
    y0 = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(2, 10)
    found = [
        nodekit.odeint(pendulums, y0, [0.0, 0.2], method=method, options={"step_size": 0.1, "solver": solver})[-1]
        for solver in SOLVERS
    ]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("solver", ["newton", "krylov", "auto"])
@pytest.mark.parametrize("method", ["implicit_euler", "sdirk2", "radauIIA5"])
def test_linear_stiff_steps_are_those_of_the_stability_function(method, solver):
    """Diffusion in 40 cells with dt·λ down to −400: one step is R(dt·A) y."""
    cells = 40
    A = (np.eye(cells, k=1) - 2 * np.eye(cells) + np.eye(cells, k=-1)) * 1000.0
    y0 = np.sin(np.arange(cells)) + 1
    values, vectors = np.linalg.eigh(A)
    factors = np.array([amplification(IMPLICIT[method], 0.1 * value) for value in values])
    expected = vectors @ (factors * (vectors.T @ y0))
    matrix = torch.tensor(A)
    y = nodekit.odeint(
        lambda t, y: matrix @ y,
        torch.tensor(y0),
        [0.0, 0.1],
        method=method,
        options={"step_size": 0.1, "solver": solver},
    )
    np.testing.assert_allclose(y[-1].numpy(), expected, atol=1e-11)


def test_large_stiff_systems_are_solved_without_their_matrix():
    """Diffusion in 700 cells: more unknowns than a matrix is made for, too stiff for fixed points."""

    def diffusion(t, y):
        padded = torch.nn.functional.pad(y, (1, 1))
        return 2e3 * (padded[2:] - 2 * y + padded[:-2])

    y0 = torch.zeros(700, dtype=torch.float64)
    y0[300:400] = 1.0
    solution = nodekit.solve(diffusion, y0, [0.0, 0.05], method="kvaerno3", rtol=1e-5, atol=1e-7)
    A = 2e3 * (np.eye(700, k=1) - 2 * np.eye(700) + np.eye(700, k=-1))
    np.testing.assert_allclose(solution.y[-1].numpy(), expm(0.05 * A) @ y0.numpy(), atol=2e-5)


@pytest.mark.parametrize("method", ["radauIIA3", "radauIIA5"])
@pytest.mark.parametrize(("size", "solver"), [(4, "krylov"), (260, "auto")])
def test_error_estimates_of_several_stages_are_filtered_without_the_matrix(method, size, solver):
    """y' = r (cos t − y), whose solution is known: in the steps that a matrix would take."""
    r = torch.logspace(0, 3, size, dtype=torch.float64)

    def solve(solver):
        return nodekit.solve(
            lambda t, y: r * (torch.cos(t) - y), torch.ones_like(r), [0.0, 1.0], method=method, rtol=1e-4, atol=1e-4,
            options={"solver": solver},
        )  # fmt: skip

    solution = solve(solver)
    expected = (r**2 * math.cos(1) + r * math.sin(1) + torch.exp(-r)) / (r**2 + 1)
    torch.testing.assert_close(solution.y[-1], expected, rtol=0, atol=2e-4)
    assert solution.stats.accepted == pytest.approx(solve("newton").stats.accepted, abs=3)


def test_a_part_of_a_change_is_not_taken_for_convergence():
    """GMRES sees nothing of a cyclic shift before its space holds the whole cycle."""
    y0 = torch.eye(64, dtype=torch.float64)[0]

    def step(solver):
        given = {"method": "implicit_euler", "options": {"step_size": 1.0, "solver": solver}}
        return nodekit.odeint(lambda t, y: 1e3 * y.roll(1), y0, [0.0, 1.0], **given)[-1]

    torch.testing.assert_close(step("newton"), -1e-3 * y0.roll(-1), rtol=0, atol=2e-6)
    with pytest.raises(errors.NewtonDidNotConverge):
        step("krylov")


def test_gmres_finds_the_solution_of_a_linear_system():
    generator = torch.Generator().manual_seed(0)
    A = torch.eye(50, dtype=torch.float64) + torch.randn(50, 50, dtype=torch.float64, generator=generator) / 20
    b = torch.randn(5, 10, dtype=torch.float64, generator=generator)
    x, found = gmres(lambda v: (A @ v.reshape(-1)).view(5, 10), b, 1e-12)
    assert found
    torch.testing.assert_close(x.reshape(-1), torch.linalg.solve(A, b.reshape(-1)))
    assert gmres(lambda v: v * 0, torch.ones(3), 1e-6)[1] is False


def test_a_derivative_without_a_graph_is_linearised_by_differences():
    """NumPy in and out, as from R."""

    def robertson(t, y):
        a, b, c = y
        return np.array([-0.04 * a + 1e4 * b * c, 0.04 * a - 1e4 * b * c - 3e7 * b * b, 3e7 * b * b])

    y = nodekit.odeint(robertson, np.array([1.0, 0.0, 0.0]), np.array([0.0, 40.0]), method="radauIIA5", rtol=1e-6)
    # As printed in the manual of CVODE (Hindmarsh & Serban, example cvRoberts_dns).
    np.testing.assert_allclose(y[-1], [0.7158, 9.185e-6, 0.2842], rtol=1e-3)


@pytest.mark.parametrize("method", ["trapezoid", "kvaerno3", "radauIIA5"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128, torch.bfloat16])
def test_states_of_every_kind(method, dtype):
    state = {"a": torch.tensor([[1.0, 2.0]]).to(dtype), "b": (torch.tensor(0.5).to(dtype),)}
    y = nodekit.odeint(
        lambda t, y: {"a": -y["a"], "b": (y["b"][0] * torch.cos(t),)},
        state,
        [0.0, 1.0],
        method=method,
        options={"step_size": 0.02},
    )
    tolerance = 2e-2 if dtype == torch.bfloat16 else 2e-4
    torch.testing.assert_close(y["a"][-1], state["a"] * math.exp(-1), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(y["b"][0][-1], state["b"][0] * math.exp(math.sin(1)), rtol=tolerance, atol=tolerance)


def test_autocast_does_not_keep_stages_from_converging():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(30, 30), torch.nn.Tanh(), torch.nn.Linear(30, 30))
    with torch.autocast("cpu", torch.bfloat16):
        layer = nodekit.NeuralODE(
            lambda t, y: net(y).float(), method="trapezoid", options={"step_size": 0.1}, params=net.parameters()
        )
        layer(torch.randn(8, 30)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_fixed_steps_that_have_no_solution_raise():
    """k = (y + dt k)² has no real solution once 4 dt y > 1."""
    with pytest.raises(errors.NewtonDidNotConverge, match="smaller steps") as caught:
        nodekit.odeint(lambda t, y: y * y, 1.0, [0.0, 0.5], method="implicit_euler", options={"step_size": 0.5})
    assert (caught.value.t, caught.value.dt) == (0.0, 0.5)
    assert caught.value.residual > 1
    solution = nodekit.solve(
        lambda t, y: y * y, 1.0, [0.0, 0.5], method="implicit_euler", options={"step_size": 0.5}, throw=False
    )
    assert isinstance(solution.status, errors.NewtonDidNotConverge)
    assert np.isnan(solution.y[-1])


def test_adaptive_steps_that_do_not_converge_are_taken_again_smaller():
    solution = nodekit.solve(
        lambda t, y: y * y, 1.0, [0.0, 0.9], method="trbdf2", rtol=1e-3, options={"first_step": 0.9}
    )
    assert solution.stats.rejected > 0
    assert solution.y[-1] == pytest.approx(10.0, rel=0.05)
    with pytest.raises(errors.SolveFailed) as caught:
        nodekit.odeint(lambda t, y: y * y, 1.0, [0.0, 1.5], method="trbdf2", rtol=1e-3)
    assert caught.value.t == pytest.approx(1.0, abs=0.01)


def test_fixed_points_fail_where_newton_does_not():
    """dt·λ = −10."""
    options = {"step_size": 0.1, "solver": "fixed_point"}
    with pytest.raises(errors.NewtonDidNotConverge):
        nodekit.odeint(lambda t, y: -100 * y, 1.0, [0.0, 1.0], method="implicit_euler", options=options)
    y = nodekit.odeint(lambda t, y: -100 * y, 1.0, [0.0, 1.0], method="implicit_euler", options={"step_size": 0.1})
    assert y[-1] == pytest.approx(11.0**-10, rel=1e-9)


def test_looser_newton_tolerances_cost_less():
    y0 = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(2, 10)
    found = {
        tolerance: nodekit.solve(
            pendulums, y0, [0.0, 1.0], method="gl4", options={"step_size": 0.1, "newton_tol": tolerance}
        )
        for tolerance in (None, 1e-6)
    }
    assert found[1e-6].stats.nfe_forward < found[None].stats.nfe_forward
    assert 1e-16 < (found[1e-6].y - found[None].y).abs().max() < 1e-5


def test_unknown_solvers_are_refused_by_name():
    with pytest.raises(errors.UnknownOption, match="Did you mean 'newton'"):
        nodekit.odeint(lambda t, y: -y, 1.0, [0.0, 1.0], method="gl4", options={"step_size": 0.1, "solver": "newtn"})
