"""Step control: tolerances of every kind, controllers, and where the evaluations go."""

import math

import pytest
import torch

import nodekit

T = torch.tensor([0.0, 10.0], dtype=torch.float64)


def oscillator(t, y):
    return torch.stack([y[1], -y[0]])


Y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
EXACT = torch.tensor([math.cos(10.0), -math.sin(10.0)], dtype=torch.float64)


@pytest.mark.parametrize("controller", ["I", "PI", "PID", {"pcoeff": 0.2, "icoeff": 0.5}])
@pytest.mark.parametrize("method", ["dopri5", "tsit5", "bosh3", "dopri8"])
def test_every_controller_meets_the_tolerance(controller, method):
    options = controller if isinstance(controller, dict) else {"controller": controller}
    y = nodekit.odeint(oscillator, Y0, T, rtol=1e-6, atol=1e-6, method=method, options=options)
    assert (y[-1] - EXACT).abs().max() < 1e-4


def test_a_proportional_part_rejects_fewer_steps_where_accuracy_changes_fast():
    def func(t, y):
        return y * torch.cos(5 * t) * 5

    y0 = torch.ones(1, dtype=torch.float64)
    rejected = [
        nodekit.solve(func, y0, T, rtol=1e-5, atol=1e-7, options={"controller": name}).stats.rejected
        for name in ("I", "PI")
    ]
    assert rejected[1] < rejected[0]


@pytest.mark.parametrize(
    "tolerance",
    [
        1e-6,
        torch.tensor(1e-6),
        torch.tensor([1e-6, 1e-7]),
        lambda t: 1e-6 if t < 5 else 1e-7,
        lambda t: torch.tensor([1e-6, 1e-7]),
    ],
)
def test_tolerances_are_numbers_tensors_or_functions_of_time(tolerance):
    y = nodekit.odeint(oscillator, Y0, T, rtol=0.0, atol=tolerance)
    assert (y[-1] - EXACT).abs().max() < 1e-4


def test_a_looser_component_costs_less():
    def func(t, y):
        return torch.stack([-y[0], 300 * torch.cos(30 * t)])

    counts = [
        nodekit.solve(func, Y0, T, rtol=0.0, atol=torch.tensor([1e-6, loose])).stats.accepted for loose in (1e-6, 10.0)
    ]
    assert counts[1] < counts[0] / 5


def test_a_tuple_of_tolerances_has_one_for_each_tensor():
    y0 = (torch.ones(2, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    loose, tight = (
        nodekit.solve(lambda t, y: (-y[0], y[1] + torch.sin(9 * t)), y0, T[:2] / 5, rtol=0.0, atol=(1e-6, second)).stats
        for second in (1e-1, 1e-9)
    )
    assert tight.accepted > loose.accepted


def test_the_solve_ends_on_the_end_and_never_looks_beyond():
    seen = []

    def func(t, y):
        seen.append(t.item())
        return -y

    for method in ("dopri5", "rk4", "dopri8", "alf", "reversible_tsit5", "trapezoid"):
        for t in ([0.1, 0.7], [0.7, 0.1], [0.0, 0.3, 1.0 / 3.0]):
            seen.clear()
            nodekit.odeint(func, torch.ones(1), t, method=method, rtol=1e-3, atol=1e-3)
            low, high = (torch.tensor(bound).item() for bound in (min(t), max(t)))
            assert low <= min(seen)
            assert max(seen) <= high


def test_more_output_times_cost_nothing():
    """Neither forward, nor backward with the exact gradient."""
    counts = {}
    for outputs in (2, 100):
        y0 = Y0.clone().requires_grad_()
        t = torch.linspace(0, 10, outputs, dtype=torch.float64)
        solution = nodekit.solve(oscillator, y0, t, rtol=1e-6, atol=1e-8)
        solution.y.sum().backward()
        counts[outputs] = (solution.stats.nfe_forward, solution.stats.nfe_backward)
    assert counts[100][0] == counts[2][0]
    assert counts[100][1] <= counts[2][1] + 1


@pytest.mark.parametrize(("gradient", "more"), [("adjoint", 1.1), ("interpolated", 1.15)])
def test_a_continuous_adjoint_carries_its_step_size_across_output_times(gradient, more):
    """Where several steps lie between outputs anyway, a hundred outputs cost hardly more than two.

    Backward steps of the interpolated adjoint end with the forward ones, too, and are cut the more often.
    """
    counts = {}
    for outputs in (2, 100):
        y0 = Y0.clone().requires_grad_()
        t = torch.linspace(0, 100, outputs, dtype=torch.float64)
        solution = nodekit.solve(oscillator, y0, t, rtol=1e-9, atol=1e-11, gradient=gradient)
        solution.y.square().sum().backward()
        counts[outputs] = solution.stats.nfe_backward
    assert counts[100] <= more * counts[2]


def test_an_accepted_step_is_not_evaluated_again():
    """First same as last: six evaluations a step for dopri5, and two to find the first step size."""
    solution = nodekit.solve(oscillator, Y0, T, rtol=1e-6, atol=1e-8)
    stats = solution.stats
    assert stats.nfe_forward == 2 + 6 * (stats.accepted + stats.rejected)
    solution = nodekit.solve(oscillator, Y0, T, method="rk4", options={"step_size": 0.1})
    assert solution.stats.nfe_forward == 400


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
@pytest.mark.parametrize("atol", [0.0, torch.zeros(2, dtype=torch.float64), lambda t: 0.0], ids=["0", "zeros", "f(t)"])
def test_a_component_that_stays_zero_has_no_error_where_none_is_allowed(method, atol):
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    alone = nodekit.solve(lambda t, y: -y, y0[:1], T, atol=0.0, method=method)
    solution = nodekit.solve(lambda t, y: -y, y0, T, atol=atol, method=method)
    assert solution.y[-1, 0].item() == pytest.approx(math.exp(-10.0), rel=1e-5)
    assert solution.y[-1, 1] == 0
    assert solution.stats.rejected == 0
    assert solution.stats.accepted <= alone.stats.accepted + 12  # the first step is as small as when nothing is known


@pytest.mark.parametrize("method", ["kvaerno3", "radauIIA5"])
def test_newtons_iteration_has_no_error_either_where_a_component_stays_zero(method):
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    y = nodekit.odeint(lambda t, y: -y, y0, T, atol=0.0, method=method)
    assert y[-1, 0].item() == pytest.approx(math.exp(-10.0), rel=1e-4)
    assert y[-1, 1] == 0


def test_a_component_that_leaves_zero_is_followed_without_an_absolute_tolerance():
    y = nodekit.odeint(lambda t, y: torch.ones_like(y), torch.zeros(2, dtype=torch.float64), T, atol=0.0)
    torch.testing.assert_close(y[-1], torch.full((2,), 10.0, dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", [name for name, method in nodekit.METHODS.items() if method.adaptive])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_the_first_step_of_a_fast_decay_is_judged(method, tolerance):
    """As long as the decay's own time, it is one of which Bogacki & Shampine's estimate sees no error."""
    if method == "fehlberg2" or "reversible" in method:  # its estimate is one of 512 parts of what it should see
        return
    rate = 1e6

    def func(t, y):
        return -rate * y

    y0 = torch.ones(1, dtype=torch.float64)
    y = nodekit.odeint(func, y0, [0.0, 1 / rate], rtol=tolerance, atol=tolerance, method=method)[-1]
    assert abs(y.item() - math.exp(-1)) < 20 * tolerance
