"""The small problem of row A5 is what it says, and its checks would notice a wrong sign."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from pipeline.compute.adjoint import difference_quotient, equations, linear_system, small_problem, through_layers

GIVEN = {"matrix": [[0.8, -1.5], [1.2, 0.4]], "initial": [1.0, -0.5], "target": [0.0, 0.5], "span": [0.0, 2.0]}


@pytest.fixture
def problem():
    return small_problem(GIVEN)


def test_written_derivatives_are_those_of_automatic_differentiation(problem):
    t, z = 0.7, torch.tensor([0.3, -1.1], dtype=torch.float64)

    def f(z, w):
        return np.cos(t) * torch.tanh(w @ z)

    by_z, by_w = torch.autograd.functional.jacobian(f, (z, torch.tensor(problem.matrix)))
    np.testing.assert_allclose(problem.f_z(t, z.numpy()), by_z, rtol=1e-12)
    np.testing.assert_allclose(problem.f_theta(t, z.numpy()), by_w.reshape(2, 4), rtol=1e-12)


def test_end_state_is_scipys(problem):
    peer = solve_ivp(problem.f, (problem.t0, problem.t1), problem.start, method="DOP853", rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(problem.solve(), peer.y[:, -1], rtol=1e-10)


def test_both_sides_of_every_equation_agree(problem):
    for name, (left, right) in equations(problem, seed=3).items():
        np.testing.assert_allclose(left, right, rtol=1e-7, atol=1e-10, err_msg=name)


def test_the_adjoint_of_the_wrong_sign_is_not_the_gradient(problem):
    a0 = problem.adjoint()[1]
    assert np.abs(problem.adjoint(sign=-1.0)[1] - a0).max() > np.abs(a0).max()


def test_layers_tend_to_the_adjoint_at_first_order(problem):
    a0 = problem.adjoint()[1]
    coarse, fine = (np.linalg.norm(through_layers(problem, steps) - a0) for steps in (400, 800))
    assert coarse / fine == pytest.approx(2, rel=0.02)


def test_difference_quotient_of_a_cubic_is_exact():
    assert difference_quotient(lambda x: float(x[0] ** 3 + 2 * x[1]), np.array([2.0, 5.0])) == pytest.approx([12, 2])


def test_adjoint_of_a_linear_system_needs_no_inverse():
    solved, by_adjoint = linear_system(5, np.random.default_rng(0))
    np.testing.assert_allclose(solved, by_adjoint, rtol=1e-10)
