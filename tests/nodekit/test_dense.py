"""The solution as a function of time: from where to where it is known."""

import math

import numpy as np
import pytest
import torch

import nodekit
from nodekit import errors


def test_after_a_failure_the_solution_is_known_as_far_as_it_was_followed():
    y0 = torch.ones(1, dtype=torch.float64)
    solution = nodekit.solve(lambda t, y: y**2, y0, [0.0, 2.0], throw=False, dense=True)
    assert isinstance(solution.status, errors.SolveFailed)
    assert solution.dense.t1 == pytest.approx(1.0, abs=1e-3)  # 1 / (1 − t) ends at 1
    assert solution.dense.t1 <= 1.0 + 1e-3
    torch.testing.assert_close(solution.dense(0.9), torch.tensor([10.0], dtype=torch.float64), rtol=1e-4, atol=0)
    assert solution.dense(solution.dense.t1).isfinite().all()
    with pytest.raises(errors.InvalidTimes, match="outside"):
        solution.dense(1.5)


def test_a_solve_that_fails_in_its_first_step_is_known_at_its_start():
    y0 = torch.ones(1, dtype=torch.float64)
    dense = nodekit.solve(lambda t, y: y * math.nan, y0, [1.0, 2.0], throw=False, dense=True).dense
    assert (dense.t0, dense.t1) == (1.0, 1.0)
    assert torch.equal(dense(1.0), y0)
    with pytest.raises(errors.InvalidTimes, match="outside"):
        dense(1.5)


def test_a_failure_behind_events_ends_the_dense_solution_too():
    y0 = torch.ones(1, dtype=torch.float64)
    half = nodekit.Event(lambda t, y: t - 0.5, change=lambda t, y: y)
    solution = nodekit.solve(lambda t, y: y**2, y0, [0.0, math.inf], events=[half], throw=False, dense=True)
    assert solution.dense.t1 == pytest.approx(1.0, abs=1e-3)
    torch.testing.assert_close(solution.dense(0.75), torch.tensor([4.0], dtype=torch.float64), rtol=1e-5, atol=0)


def test_a_solve_without_steps_is_known_at_its_start():
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    dense = nodekit.solve(lambda t, y: -y, y0, [3.0], dense=True).dense
    assert torch.equal(dense(3.0), y0)
    assert torch.equal(dense(torch.tensor([3.0])), y0[None])
    assert torch.equal(torch.autograd.grad(dense(3.0).sum(), y0)[0], torch.ones_like(y0))
    with pytest.raises(errors.InvalidTimes, match="outside"):
        dense(3.1)


@pytest.mark.parametrize(
    "query", [torch.tensor(0.7), torch.tensor([1.1, 0.7]), np.float32(1.1), np.array([0.7, 1.1], dtype=np.float32)]
)
@pytest.mark.parametrize("ends", [(0.7, 1.1), (1.1, 0.7)])
def test_the_ends_may_be_asked_for_in_less_precision_than_they_are_known(query, ends):
    """As float32, 0.7 is less than 0.7 and 1.1 more than 1.1."""
    dense = nodekit.odeint_dense(lambda t, y: -y, torch.ones(1, dtype=torch.float64), *ends)
    exact = torch.exp(ends[0] - torch.as_tensor(query).double())
    torch.testing.assert_close(dense(query)[..., 0], exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "query", [torch.tensor(0.1001), torch.nextafter(torch.tensor(0.1), torch.tensor(1.0)), 0.1 + 1e-9]
)
def test_beyond_rounding_a_time_outside_is_refused(query):
    dense = nodekit.odeint_dense(lambda t, y: -y, torch.ones(1), 0.0, 0.1)
    with pytest.raises(errors.InvalidTimes, match="outside"):
        dense(query)


def test_a_whole_number_is_not_rounded_to():
    dense = nodekit.odeint_dense(lambda t, y: -y, torch.ones(1), 0.5, 1.5)
    assert dense(torch.tensor(1)).item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    with pytest.raises(errors.InvalidTimes, match="outside"):
        dense(torch.tensor(0))


def test_forward_mode_differentiates_by_the_time_of_the_question():
    start = torch.tensor([2.0], dtype=torch.float64)
    solution = nodekit.solve(lambda t, y: -y, start, [0.0, 1.0], rtol=1e-10, atol=1e-10, dense=True)
    t = torch.tensor(0.5, dtype=torch.float64)
    y, slope = torch.func.jvp(solution.dense, (t,), (torch.ones_like(t),))
    torch.testing.assert_close(slope, -y, rtol=1e-8, atol=0.0)


@pytest.mark.parametrize("times", ["0.5", [torch.tensor(0.5, requires_grad=True)], None])
def test_times_that_are_no_numbers_or_would_lose_their_gradients_are_refused(times):
    dense = nodekit.solve(lambda t, y: -y, torch.ones(1), [0.0, 1.0], dense=True).dense
    with pytest.raises(nodekit.errors.InvalidTimes):
        dense(times)


def test_dense_output_is_differentiated_by_time_three_times():
    t = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor(2.0, dtype=torch.float64)
    dense = nodekit.solve(lambda t, y: -t * y / 2, y0, [0.0, 2.0], rtol=1e-9, atol=1e-9, dense=True).dense
    found, y = [], dense(t)
    for _ in range(3):
        (y,) = torch.autograd.grad(y, t, create_graph=True)
        found.append(y.item())
    y1 = 2 * math.exp(-1 / 4)  # of y = 2 exp(−t²/4)
    assert found == pytest.approx([-y1 / 2, -y1 / 4, 5 / 8 * y1], rel=1e-7)


def test_torchdiffeqs_dense_output_is_differentiated_by_its_start():
    t0 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([2.0], dtype=torch.float64)
    dense = nodekit.odeint_dense(lambda t, y: -y, y0, t0, 3.0, rtol=1e-9, atol=1e-9)
    (by_start,) = torch.autograd.grad(dense(torch.tensor(2.0, dtype=torch.float64)).sum(), t0)
    assert by_start.item() == pytest.approx(2 * math.exp(-1.5), rel=1e-6)


def test_no_times_give_no_states():
    dense = nodekit.solve(lambda t, y: -y, torch.ones(3), [0.0, 1.0], dense=True).dense
    assert dense([]).shape == (0, 3)
