"""Events exactly where the slope jumps, as of relays and pulses: gradients are those of the slope before."""

import pytest
import torch

import nodekit
from nodekit._derivative.flow import slope_on_one_side

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
GRADIENTS = ["checkpoint", "backprop", "interpolated", "reversible", "adjoint"]


def leaf(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def staying(t, y):
    return y


def pulse(rate, end, gradient, change, **more):
    """A rate until a time that is an event, a decay after it."""

    def func(t, y):
        return torch.where(t < end, rate, -y)

    happens = nodekit.Event(lambda t, y: t - end, change=change)
    times = torch.tensor([0.0, 2.0], dtype=torch.float64)
    y0 = torch.zeros(1, dtype=torch.float64)
    return nodekit.solve(func, y0, times, events=[happens], gradient=gradient, **TIGHT, **more)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_state_at_the_end_of_a_pulse_grows_by_the_rate_before_it(gradient):
    rate, end = leaf(0.522), leaf(0.7)
    found = pulse(rate, end, gradient, None).events
    by_rate, by_end = torch.autograd.grad(found.y.sum(), [rate, end], retain_graph=True)
    assert by_rate.item() == pytest.approx(0.7, rel=1e-6)
    assert by_end.item() == pytest.approx(0.522, rel=1e-6)
    assert torch.autograd.grad(found.t.sum(), end)[0].item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_what_follows_a_pulse_depends_on_its_end_by_both_slopes(gradient):
    rate, end = leaf(0.522), leaf(0.7)
    y = pulse(rate, end, gradient, staying).y[-1].sum()
    left = torch.exp(torch.tensor(-1.3)).item()
    by_rate, by_end = torch.autograd.grad(y, [rate, end])
    assert by_rate.item() == pytest.approx(0.7 * left, rel=1e-6)
    assert by_end.item() == pytest.approx(0.522 * left * 1.7, rel=1e-6)


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint"])
def test_backwards_in_time_the_sides_are_the_other_ones(gradient):
    # From y(2) = 1 by y' = −y to the jump, from there by y' = 2 to t = 0: y(0) = exp(2 − end) − 2 end.
    end, two = leaf(0.7), torch.full((1,), 2.0, dtype=torch.float64)
    stop = nodekit.Event(lambda t, y: t - end, change=staying)
    y0 = torch.ones(1, dtype=torch.float64)
    y = nodekit.solve(
        lambda t, y: torch.where(t < end, two, -y), y0, [2.0, 0.0], events=[stop], gradient=gradient, **TIGHT
    ).y[-1]
    (by_end,) = torch.autograd.grad(y.sum(), end)
    assert by_end.item() == pytest.approx(-torch.exp(torch.tensor(1.3, dtype=torch.float64)).item() - 2, rel=1e-6)


@pytest.mark.parametrize("options", [None, {"jump_t": [0.7]}, {"step_t": [0.7]}])
def test_an_event_at_a_jump_that_is_an_output_time(options):
    rate, end = leaf(0.522), leaf(0.7)
    stop = nodekit.Event(lambda t, y: t - end, change=staying)
    y = nodekit.solve(
        lambda t, y: torch.where(t < end, rate, -y), torch.zeros(1, dtype=torch.float64), [0.0, 0.7, 2.0],
        events=[stop], options=options, **TIGHT,
    ).y[-1]  # fmt: skip
    (by_end,) = torch.autograd.grad(y.sum(), end)
    assert by_end.item() == pytest.approx(0.522 * 1.7 * 0.2725317930340126, rel=1e-6)


@pytest.mark.parametrize("method", sorted(set(nodekit.METHODS) - {"scipy_solver", "leapfrog", "yoshida4"}))
def test_every_method_is_as_exact_in_the_gradient_as_in_the_state(method):
    end = leaf(0.7)
    options = None if nodekit.METHODS[method].adaptive else {"step_size": 0.01}
    stop = nodekit.Event(lambda t, y: t - end, change=staying)
    y = nodekit.solve(
        lambda t, y: torch.where(t < end, torch.full_like(y, 2.0), -y), torch.zeros(1, dtype=torch.float64), [0.0, 2.0],
        events=[stop], method=method, options=options, rtol=1e-6, atol=1e-6,
    ).y[-1].sum()  # fmt: skip
    (by_end,) = torch.autograd.grad(y, end)
    of_state = y.item() / (1.4 * 0.2725317930340126) - 1
    assert by_end.item() / (2 * 1.7 * 0.2725317930340126) - 1 == pytest.approx(0.0, abs=10 * abs(of_state) + 1e-9)


def beside(t, end, y):
    return torch.where(t < end, torch.full_like(y, 2.0), -y)


STATES = {
    "dict": ({"x": torch.zeros(1, dtype=torch.float64)}, lambda t, end, y: {"x": beside(t, end, y["x"])}, {}),
    "complex": (torch.zeros(1, dtype=torch.complex128), beside, {}),
    "float32": (torch.zeros(1), beside, {}),
    "with an equation without a derivative": (
        torch.zeros(2, dtype=torch.float64),
        lambda t, end, y: torch.stack([beside(t, end, y[1] / 2), y[1] - 2 * y[0]]),
        {"method": "radauIIA5", "options": {"mass_matrix": torch.tensor([1.0, 0.0], dtype=torch.float64)}},
    ),
}


@pytest.mark.parametrize("kind", STATES)
def test_states_of_every_kind_follow_both_slopes(kind):
    y0, func, given = STATES[kind]
    end = torch.tensor(0.7, dtype=torch.float32 if kind == "float32" else torch.float64, requires_grad=True)
    stop = nodekit.Event(lambda t, y: t - end, change=staying)
    tolerance = 1e-5 if kind == "float32" else 1e-9
    y = nodekit.solve(
        lambda t, y: func(t, end, y), y0, [0.0, 2.0], events=[stop], rtol=tolerance, atol=tolerance, **given
    ).y  # fmt: skip
    first = (y["x"] if kind == "dict" else y)[-1].flatten()[0]
    (by_end,) = torch.autograd.grad(first.real, end)
    assert by_end.item() == pytest.approx(2 * 1.7 * 0.2725317930340126, rel=1e-3 if kind == "float32" else 1e-6)


def test_a_restart_moves_with_its_own_event_whatever_else_happens_then():
    # y' = 1 to the time end, 3 y from there on; y = 0.5 passes at the same time, whatever end is.
    end, half = leaf(0.5), leaf(0.5)
    events = [
        nodekit.Event(lambda t, y: t - end, change=staying),
        nodekit.Event(lambda t, y: y - half, terminal=False, max_count=5),
    ]
    solution = nodekit.solve(
        lambda t, y: torch.where(t < end, torch.ones_like(y), 3 * y), torch.zeros(1, dtype=torch.float64), [0.0, 1.0],
        events=events, **TIGHT,
    )  # fmt: skip
    by_end, by_half = torch.autograd.grad(solution.y[-1].sum(), [end, half], allow_unused=True)
    assert by_end.item() == pytest.approx(-0.5 * torch.e**1.5, rel=1e-6)  # of end · exp(3 (1 − end))
    assert by_half is None or by_half.item() == 0.0


@pytest.mark.parametrize("method", ["explicit_adams", "fixed_adams"])
@pytest.mark.parametrize("end", [0.7, 0.7 + 1e-9])  # the step to 0.7 may look behind it: an error of its size
def test_multistep_methods_go_on_from_an_event_beside_a_point_of_the_grid(method, end):
    stop = nodekit.Event(lambda t, y: t - end, change=staying)
    y = nodekit.solve(
        lambda t, y: torch.where(t < end, 2.0, -y), torch.zeros(1, dtype=torch.float64), [0.0, 2.0], events=[stop],
        method=method, options={"step_size": 0.01},
    ).y[-1]  # fmt: skip
    assert y.item() == pytest.approx(1.4 * 0.2725317930340126, rel=1e-2)


def test_second_derivatives_by_the_end_of_a_pulse():
    rate, end = leaf(0.522), leaf(0.7)
    y = pulse(rate, end, "checkpoint", staying).y[-1].sum()
    (first,) = torch.autograd.grad(y, end, create_graph=True)
    (second,) = torch.autograd.grad(first, end)
    assert second.item() == pytest.approx(0.522 * torch.exp(torch.tensor(-1.3)).item() * 2.7, rel=1e-6)


def test_transforms_see_the_slope_before_a_jump_too():
    def state(end):
        return pulse(torch.tensor(0.522, dtype=torch.float64), end, "checkpoint", staying).y[-1].sum()

    end = torch.tensor(0.7, dtype=torch.float64)
    assert torch.func.grad(state)(end).item() == pytest.approx(0.522 * 1.7 * 0.2725317930340126, rel=1e-6)


@pytest.mark.parametrize("method", ["dopri5", "kvaerno5", "auto"])
@pytest.mark.parametrize("after", [2.0, -1.0, 0.0])
def test_where_the_state_makes_the_slope_jump(method, after):
    # y grows at the rate a to c, and at another from there on: t = c / a, y(T) = c + b (T − c / a).
    a, b, c = leaf(0.5), leaf(after), leaf(1.0)

    def func(t, y):
        return torch.where(y < c, a, b)

    event = nodekit.Event(lambda t, y: y - c, max_count=1)
    found = nodekit.solve(
        func, torch.zeros(1, dtype=torch.float64), [0.0, 5.0], events=[event], method=method, **TIGHT
    ).events
    by_a, by_c = torch.autograd.grad(found.t.sum(), [a, c], retain_graph=True)
    assert by_a.item() == pytest.approx(-4.0, rel=1e-5)
    assert by_c.item() == pytest.approx(2.0, rel=1e-5)
    assert torch.autograd.grad(found.y.sum(), c)[0].item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_solve_goes_on_behind_a_jump_by_the_state(gradient):
    a, b, c = leaf(0.5), leaf(2.0), leaf(1.0)
    event = nodekit.Event(lambda t, y: y - c, change=staying)
    y0, times = torch.zeros(1, dtype=torch.float64), [0.0, 5.0]
    y = nodekit.solve(lambda t, y: torch.where(y < c, a, b), y0, times, events=[event], gradient=gradient, **TIGHT).y[
        -1
    ]
    by_a, by_b, by_c = torch.autograd.grad(y.sum(), [a, b, c])
    assert by_a.item() == pytest.approx(8.0, rel=1e-5)  # b c / a²
    assert by_b.item() == pytest.approx(3.0, rel=1e-5)  # T − c / a
    assert by_c.item() == pytest.approx(-3.0, rel=1e-5)  # 1 − b / a


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_samples_whose_slopes_jump_at_times_of_their_own(gradient, dtype):
    rate = torch.tensor([0.5, 1.0, 2.0], dtype=dtype, requires_grad=True)
    end = torch.tensor([0.3, 0.7, 5.0], dtype=dtype, requires_grad=True)  # the last never comes

    def func(t, y):
        return torch.where(t < end[:, None], rate[:, None], torch.zeros_like(y))

    event = nodekit.Event(lambda t, y: t[:, 0] - end)
    found = nodekit.solve(
        func, torch.zeros(3, 1, dtype=dtype), torch.tensor([0.0, 2.0], dtype=dtype), events=[event],
        batch="independent", gradient=gradient, rtol=1e-6, atol=1e-8,
    ).events  # fmt: skip
    by_rate, by_end = torch.autograd.grad(found.y[:2].sum(), [rate, end], retain_graph=True)
    assert by_rate.tolist() == pytest.approx([0.3, 0.7, 0.0], rel=1e-3)
    assert by_end.tolist() == pytest.approx([0.5, 1.0, 0.0], rel=1e-3)
    assert torch.autograd.grad(found.t[:2].sum(), end)[0].tolist() == pytest.approx([1.0, 1.0, 0.0], rel=1e-3)


@pytest.mark.parametrize("rate", [1.0, 1e3, 1e6])
def test_a_slope_that_only_changes_fast_is_left_as_it_is(rate):
    def func(t, y):
        return -rate * (y - torch.cos(t))

    t, y = torch.tensor(1.0, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    short = 1e-8
    before = [(t - k * short, y - k * short * func(t, y)) for k in (1, 2)]
    assert slope_on_one_side(func, t, y, before) is func


def test_a_derivative_that_draws_keeps_its_draws_and_its_slope():
    def func(t, y):
        return torch.randn_like(y)

    t, y = torch.tensor(1.0), torch.zeros(2)
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    assert slope_on_one_side(func, t, y, [(t - 0.1, y), (t - 0.2, y)]) is func
    assert torch.equal(func(t, y), expected)
