"""Every way to fail has a name, a place and a remedy."""

import gc
import weakref

import pytest
import torch

import nodekit
from nodekit import errors

Y0, T = torch.ones(2, 3, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)


def decay(t, y):
    return -y


def grid(func, y0, t):
    return torch.tensor([0.0, 0.5])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"method": "dopri_5"}, errors.UnknownMethod, "Did you mean 'dopri5'"),
        ({"options": {"stepsize": 0.1}}, errors.UnknownOption, "Did you mean 'step_size'"),
        ({"gradient": "adjiont"}, errors.UnknownOption, "Did you mean 'adjoint'"),
        ({"options": {"controller": "PIDD"}}, errors.UnknownOption, "Did you mean 'PID'"),
        ({"options": {"interp": "quintic"}}, errors.UnknownOption, "Known: dense, cubic, linear"),
        ({"method": "euler", "options": {"step_size": -1}}, errors.InvalidOption, "positive"),
        ({"options": {"max_step": 0.0}}, errors.InvalidOption, "max_step must be positive"),
        ({"options": {"min_step": 1.0, "max_step": 0.1}}, errors.InvalidOption, "exceeds"),
        ({"options": {"dfactor": 2.0}}, errors.InvalidOption, "in \\(0, 1\\)"),
        ({"options": {"max_num_steps": 0}}, errors.InvalidOption, "one or larger"),
        ({"options": {"step_size": 1.0, "grid_constructor": grid}}, errors.UnsupportedCombination, "exclusive"),
        ({"method": "euler", "options": {"grid_constructor": grid}}, errors.InvalidTimes, "starts and ends"),
        ({"rtol": -1.0}, errors.InvalidTolerance, "not negative"),
        ({"atol": torch.ones(5)}, errors.InvalidTolerance, "shape"),
        ({"atol": torch.ones((), requires_grad=True)}, errors.InvalidTolerance, "gradient"),
        ({"rtol": (1e-3, 1e-3)}, errors.InvalidTolerance, "2 entries"),
        ({"t": torch.tensor([0.0, 1.0, 0.5])}, errors.InvalidTimes, "strictly"),
        ({"t": torch.tensor([0.0, 0.0])}, errors.InvalidTimes, "strictly"),
        ({"t": torch.tensor([0.0, float("nan")])}, errors.InvalidTimes, "finite"),
        ({"t": torch.zeros(2, 2)}, errors.InvalidTimes, "one-dimensional.*batch='independent'"),
        ({"t": torch.tensor([])}, errors.InvalidTimes, "empty"),
        ({"t": torch.tensor([0j, 1j])}, errors.InvalidTimes, "must hold numbers"),
        ({"t": [0.0, torch.ones((), requires_grad=True)]}, errors.InvalidTimes, "torch.stack"),
        *(
            ({"method": "implicit_euler", "options": {"max_newton_iterations": value}}, errors.InvalidOption, "whole")
            for value in (-1, 0, 2.5, "many")
        ),
        *(
            ({"method": "gl4", "options": {"newton_tol": value}}, errors.InvalidOption, "newton_tol must be positive")
            for value in (-1.0, 0.0, float("nan"))
        ),
        ({"method": "explicit_adams", "options": {"max_order": 2.5}}, errors.InvalidOption, "from 1 to 12, not 2.5"),
        ({"method": "implicit_adams", "options": {"max_iters": 1.5}}, errors.InvalidOption, "whole"),
        ({"method": "scipy_solver", "options": {"solver": "LSODE"}}, errors.UnknownOption, "Did you mean 'LSODA'"),
        ({"y0": torch.ones(2, dtype=torch.int64)}, errors.InvalidState, "floating"),
        ({"y0": torch.eye(2).to_sparse()}, errors.InvalidState, "to_dense"),
        ({"y0": ()}, errors.InvalidState, "no tensor"),
        ({"y0": "one"}, errors.InvalidState, "not a number"),
        ({"func": lambda t, y: y[0]}, errors.InvalidDerivative, r"shape \(3,\), the state has \(2, 3\)"),
        ({"func": lambda t, y: y * 1j}, errors.InvalidDerivative, "complex"),
        ({"func": lambda t, y: 1.0}, errors.InvalidDerivative, "tensor, not float"),
        ({"func": lambda t, y: (y, y)}, errors.InvalidDerivative, "tuple"),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    given = {"func": decay, "y0": Y0, "t": T, **arguments}
    with pytest.raises(error, match=words) as caught:
        nodekit.solve(given.pop("func"), given.pop("y0"), given.pop("t"), **given)
    assert isinstance(caught.value, nodekit.NodekitError)


def blow_up(t, y):
    return y**2


def not_finite_in_one_sample(t, y):
    return torch.where(t > 0.5, y / torch.tensor([[1.0], [0.0]], dtype=y.dtype), -y)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_a_solution_that_leaves_the_real_line_names_time_and_sample(gradient):
    with pytest.raises(errors.SolveFailed) as caught:
        nodekit.odeint(blow_up, Y0.requires_grad_(), 2 * T, gradient=gradient)
    assert caught.value.t == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(errors.NonFiniteDerivative) as caught:
        nodekit.odeint(not_finite_in_one_sample, Y0, T, gradient=gradient)
    assert caught.value.t == pytest.approx(0.5, abs=1e-6)
    assert caught.value.sample == 1


def test_a_slope_that_is_not_finite_at_the_start_is_said_at_once():
    evaluations = 0

    def func(t, y):
        nonlocal evaluations
        evaluations += 1
        return y * float("nan")

    with pytest.raises(errors.NonFiniteDerivative) as caught:
        nodekit.odeint(func, Y0, T)
    assert caught.value.t == 0
    assert caught.value.dt > 1e-9
    assert evaluations < 20
    with pytest.raises(errors.SolveFailed, match="infinite or not a number"):
        nodekit.odeint(func, Y0, T, method="implicit_euler", options={"step_size": 0.5})


def test_too_many_steps_and_too_small_ones():
    with pytest.raises(errors.MaxStepsReached, match="Loosen") as caught:
        nodekit.odeint(lambda t, y: torch.cos(100 * t) * y, Y0, 10 * T, options={"max_num_steps": 7})
    assert 0 < caught.value.t < 10

    def jagged(t, y):
        return torch.where((y * 1e15).round() % 2 == 0, 1.0, -1.0).to(y)

    with pytest.raises(errors.StepSizeUnderflow, match="jump_t"):
        nodekit.odeint(jagged, Y0, T + 1, rtol=0.0, atol=1e-17)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_without_throw_a_failure_is_the_status_and_what_was_reached_is_kept(gradient):
    t = torch.tensor([0.0, 0.5, 1.5], dtype=torch.float64)
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    solution = nodekit.solve(blow_up, y0, t, gradient=gradient, throw=False)
    assert not solution.success
    assert isinstance(solution.status, errors.SolveFailed)
    torch.testing.assert_close(solution.y[1], torch.tensor([2.0], dtype=torch.float64), rtol=1e-6, atol=0)
    assert solution.y[2].isnan().all()
    (found,) = torch.autograd.grad(solution.y[1].sum(), y0)
    torch.testing.assert_close(found, torch.tensor([4.0], dtype=torch.float64), rtol=1e-5, atol=0)


def test_fixed_steps_to_infinity_are_noticed():
    with pytest.raises(errors.NonFiniteDerivative) as caught:
        nodekit.odeint(not_finite_in_one_sample, Y0, T, method="rk4", options={"step_size": 0.1})
    assert caught.value.sample == 1
    y = nodekit.odeint(not_finite_in_one_sample, Y0, T, method="rk4", options={"step_size": 0.1, "check_finite": False})
    assert y[-1, 0].isfinite().all()


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "tsit5", "adaptive_heun"])
@pytest.mark.parametrize("direction", [1, -1])
def test_too_many_steps_of_a_stiff_problem_ask_for_an_implicit_method(method, direction):
    def decay(t, y):
        return -direction * 1e4 * (y - torch.cos(t))

    y0, options = torch.ones(3, dtype=torch.float64), {"max_num_steps": 300}
    with pytest.raises(errors.MaxStepsReached, match=r"stability.*use an implicit one.*kvaerno5"):
        nodekit.odeint(decay, y0, [0.0, direction * 10.0], method=method, options=options, rtol=1e-4, atol=1e-4)


def test_too_many_steps_of_another_problem_ask_for_looser_tolerances():
    def oscillator(t, y):
        return torch.stack([y[1], -y[0]])

    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    with pytest.raises(errors.MaxStepsReached, match="Loosen"):
        nodekit.odeint(oscillator, y0, [0.0, 1000.0], options={"max_num_steps": 300}, rtol=1e-6, atol=1e-6)
    with pytest.raises(errors.MaxStepsReached, match="Loosen"):
        nodekit.odeint(lambda t, y: torch.ones_like(y), y0, [0.0, 1.0], options={"max_num_steps": 30, "max_step": 0.01})


def test_too_many_steps_of_a_derivative_with_dropout_blame_it():
    """Noise looks stiff, since it differs between places that are near; no implicit method helps."""
    field = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))
    for method in ("dopri5", "kvaerno3"):
        with pytest.raises(errors.SolveFailed) as failure:
            nodekit.solve(
                lambda t, y: field(y), torch.ones(3), [0.0, 1.0], method=method, options={"max_num_steps": 50}
            )
        assert "dropout" in str(failure.value)
        assert "implicit" not in str(failure.value)


def test_the_steps_allowed_by_default_are_over_before_one_loses_patience():
    assert nodekit.Options().max_num_steps <= 1e6


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_more_exact_state_is_advised_only_where_there_is_one(batch):
    jumping = lambda t, y: torch.where(t < 0.5, 1.0, 1e30).to(y) + 0 * y  # noqa: E731
    for dtype in (torch.float32, torch.float64):
        y0 = torch.ones(1, 1, dtype=dtype)
        with pytest.raises(errors.SolveFailed) as failure:
            nodekit.solve(jumping, y0, [0.0, 1.0], rtol=1e-13, atol=1e-13, batch=batch)
        assert ("use a float64 state" in str(failure.value)) == (dtype == torch.float32), str(failure.value)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated", "reversible"])
def test_a_solve_that_failed_goes_away_with_its_solution(gradient):
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    given = {"gradient": gradient, "options": {"graph_bytes": 0}, "throw": False}
    solution = nodekit.solve(lambda t, y: y * y, y0, [0.0, 0.5, 2.0], **given)
    outputs = weakref.ref(solution.y)
    del solution
    gc.collect()
    assert outputs() is None
