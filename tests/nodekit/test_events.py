"""Events against analytic solutions, finite differences, and torchdiffeq."""

import math

import numpy as np
import pytest
import torch
import torchdiffeq
from fields import Field

import nodekit
from nodekit import Event, errors

GRAVITY = 9.81


def number(x, grad=True):
    return torch.tensor(x, dtype=torch.float64, requires_grad=grad)


def fall(t, y):
    return torch.stack([y[1], torch.full_like(y[1], -GRAVITY)])


def height(t, y):
    return y[0]


def bounces(h, e, count):
    """Times of a ball's bounces from height h with restitution e."""
    first = math.sqrt(2 * h / GRAVITY)
    return [first * (1 + 2 * sum(e**j for j in range(1, k + 1))) for k in range(count)]


class Falling(Field):
    def forward(self, t, y):
        return self.net(y) + torch.stack([torch.ones_like(t), -y[0]])


@pytest.mark.parametrize(
    ("method", "options"),
    [("dopri5", {}), ("tsit5", {}), ("dopri8", {}), ("rk4", {"step_size": 0.1}), ("heun", {"step_size": 0.07})],
)
@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint", "interpolated", "reversible"])
def test_a_bouncing_ball_bounces_when_it_should_and_passes_its_gradients(method, options, gradient):
    h, e = number(10.0), number(0.8)
    bounce = Event(height, direction=-1, change=lambda t, y: torch.stack([y[0], -e * y[1]]), max_count=5)
    y0 = torch.stack([h, torch.zeros_like(h)])
    solution = nodekit.solve(
        fall, y0, [0.0, math.inf], events=[bounce], method=method, options=options, gradient=gradient
    )
    expected = bounces(10.0, 0.8, 5)
    assert solution.events.terminated
    assert solution.events.index == [0] * 5
    assert solution.events.t.tolist() == pytest.approx(expected, abs=1e-9)
    speeds = [-math.sqrt(2 * GRAVITY * 10) * 0.8**k for k in range(5)]
    assert solution.events.y[:, 1].tolist() == pytest.approx(speeds, abs=1e-8)
    by_h, by_e = torch.autograd.grad(solution.events.t[-1], [h, e])
    # every time grows with √h; each flight's length with e
    assert by_h.item() == pytest.approx(expected[-1] / (2 * 10), abs=1e-9)
    first = expected[0]
    assert by_e.item() == pytest.approx(2 * first * sum(j * 0.8 ** (j - 1) for j in range(1, 5)), abs=1e-8)


@pytest.mark.parametrize(
    ("method", "end", "step"),
    [("tsit5", 2.0, 1.0), ("bosh3", 14.0, 0.2), ("auto", 18.0, 0.2), ("tsit5", 20.0, 0.1), ("auto", 26.0, 0.1)],
)
def test_an_event_just_before_the_end_happens_once(method, end, step):
    """A thermostat warms by 1 and cools by 1/2 between 18 and 20. Behind its last event only rounding is left."""
    slopes = torch.tensor([-0.5, 1.0], dtype=torch.float64)

    def warming(t, y):
        return torch.stack([slopes[int(y[1])], torch.zeros_like(y[1])])

    def switch(t, y):
        return torch.stack([y[0], 1 - y[1]])

    events = [Event(lambda t, y, at=at: y[0] - at, change=switch) for at in (18.0, 20.0)]
    times = torch.arange(round(end / step) + 1, dtype=torch.float64) * step
    options = {"max_step": float(times.diff().max())}
    y0 = torch.tensor([18.0, 1.0], dtype=torch.float64)
    found = nodekit.solve(warming, y0, times, method=method, rtol=1e-6, atol=1e-6, options=options, events=events)
    expected = [t for start in range(0, 30, 6) for t in (start + 2, start + 6) if t <= end]
    assert found.events.t.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("restitution", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("method", "options"), [("auto", {}), ("dopri5", {}), ("rk4", {"step_size": 0.01})])
def test_a_ball_that_bounces_without_end_does_not_fall_through_the_floor(method, options, restitution):
    bounce = Event(height, change=lambda t, y: torch.stack([y[0] * 0, -restitution * y[1]]))
    y0, end = torch.tensor([1.0, 0.0], dtype=torch.float64), bounces(1.0, restitution, 2000)[-1]
    with pytest.raises(errors.InvalidEvent, match="faster and faster") as caught:
        nodekit.solve(fall, y0, torch.tensor([0.0, 2 * end]), method=method, options=options, events=[bounce])
    assert caught.value.t == pytest.approx(end, rel=1e-4)


def test_events_may_be_near_one_another_where_they_do_not_accumulate():
    """A relay whose band is a millionth wide: switched every 2e-6."""
    below = Event(lambda t, y: y[0] + 1e-6, change=lambda t, y: torch.stack([y[0], -y[1]]), direction=-1)
    above = Event(lambda t, y: y[0] - 1e-6, change=lambda t, y: torch.stack([y[0], -y[1]]), direction=1)
    y0 = torch.tensor([0.0, 1.0], dtype=torch.float64)
    solution = nodekit.solve(
        lambda t, y: torch.stack([y[1], y[1] * 0]), y0, torch.tensor([0.0, 1e-4]), events=[below, above]
    )
    assert solution.events.t.tolist() == pytest.approx([1e-6 * (1 + 2 * i) for i in range(50)], rel=1e-6)


def test_outputs_between_bounces_lie_on_the_parabolas():
    t = torch.linspace(0.0, 6.0, 13, dtype=torch.float64)
    bounce = Event(height, direction=-1, change=lambda t, y: torch.stack([y[0], -0.8 * y[1]]))
    y = nodekit.solve(fall, number([10.0, 0.0], False), t, events=[bounce]).y
    times = [0.0, *bounces(10.0, 0.8, 6)]
    for i, now in enumerate(t.tolist()):
        k = max(j for j, start in enumerate(times) if start <= now)
        speed = math.sqrt(2 * GRAVITY * 10) * 0.8**k
        since = now - times[k]
        exact = 10 - GRAVITY * now**2 / 2 if k == 0 else speed * since - GRAVITY * since**2 / 2
        assert y[i, 0].item() == pytest.approx(exact, abs=1e-9)


def test_dense_output_follows_the_solution_through_bounces():
    bounce = Event(height, direction=-1, change=lambda t, y: torch.stack([y[0], -0.8 * y[1]]), max_count=3)
    solution = nodekit.solve(fall, number([10.0, 0.0], False), [0.0, math.inf], events=[bounce], dense=True)
    first, second, third = bounces(10.0, 0.8, 3)
    for start, end, speed in ((first, second, 0.8), (second, third, 0.64)):
        t = start + 0.3 * (end - start)
        speed = speed * math.sqrt(2 * GRAVITY * 10)
        assert solution.dense(t)[0].item() == pytest.approx(
            speed * (t - start) - GRAVITY * (t - start) ** 2 / 2, abs=1e-9
        )
    with pytest.raises(errors.InvalidTimes, match="outside"):
        solution.dense(third + 0.1)


def test_a_neuron_that_is_reset_fires_at_its_analytic_period():
    current = number(1.5)
    fire = Event(lambda t, v: v - 1, direction=1, change=lambda t, v: torch.zeros_like(v), max_count=4)
    solution = nodekit.solve(
        lambda t, v: current - v, number(0.0, False), [0.0, math.inf], events=[fire], rtol=1e-10, atol=1e-12
    )
    period = math.log(1.5 / 0.5)
    assert solution.events.t.tolist() == pytest.approx([period * k for k in range(1, 5)], abs=1e-9)
    (by_current,) = torch.autograd.grad(solution.events.t[-1], current)
    assert by_current.item() == pytest.approx(4 * (1 / 1.5 - 1 / 0.5), abs=1e-8)


@pytest.mark.parametrize("method", [name for name, method in nodekit.METHODS.items() if method.adaptive])
def test_events_are_as_accurate_as_the_steps(method):
    tolerance = 1e-7
    event_t, y = nodekit.odeint_event(
        lambda t, y: -y, number(1.0, False), 0.0, event_fn=lambda t, y: y - 0.5, method=method,
        rtol=tolerance, atol=tolerance,
    )  # fmt: skip
    assert event_t.item() == pytest.approx(math.log(2), abs=200 * tolerance)
    assert y[-1].item() == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("interface", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_program_for_torchdiffeq_gets_the_same_event_and_gradients(interface, reverse):
    found = []
    for library in (nodekit, torchdiffeq):
        field, y0, t0 = Falling(size=2, hidden=6), number([0.3, -0.2]), number(0.1)
        event_t, y = library.odeint_event(
            field, y0, t0, event_fn=lambda t, y: torch.stack([y[0] - 1.5, y[0] + 1.2 + 0.1 * t]), reverse_time=reverse,
            odeint_interface=getattr(library, interface), rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        loss = event_t * 2 + y[-1, 1] ** 2
        gradients = torch.autograd.grad(loss, [y0, t0, *field.parameters()])
        found.append(torch.cat([event_t.reshape(1), y.flatten(), *(g.flatten() for g in gradients)]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-8)


def test_gradients_of_time_and_state_agree_with_finite_differences_once_and_twice():
    def event(y0, rate, level, t0):
        t, y = nodekit.odeint_event(
            lambda t, y: torch.stack([y[1], -rate * torch.sin(y[0]) + 0.1 * t]), y0, t0,
            event_fn=lambda t, y: y[0] - level * torch.cos(t), rtol=1e-12, atol=1e-12,
        )  # fmt: skip
        return t, y[-1]

    inputs = number([1.2, 0.0]), number(1.7), number(0.4), number(0.2)
    assert torch.autograd.gradcheck(event, inputs, rtol=1e-5, atol=1e-7)
    assert torch.autograd.gradgradcheck(event, inputs, rtol=1e-4, atol=1e-6)


def test_gradients_pass_through_output_times_after_a_restart():
    def outputs(y0, t, e):
        bounce = Event(height, direction=-1, change=lambda t, y: torch.stack([y[0], -e * y[1] + t / 10]))
        solution = nodekit.solve(fall, y0, t, events=[bounce], rtol=1e-11, atol=1e-12)
        return solution.y, solution.events.t, solution.events.y

    inputs = number([5.0, 1.0]), number([0.1, 0.5, 2.0, 3.5]), number(0.7)
    assert torch.autograd.gradcheck(outputs, inputs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["heun", "rk4", "dopri5", "dopri8", "trapezoid"])
def test_checkpoint_equals_backprop_with_events(method):
    options = {} if nodekit.METHODS[method].adaptive else {"step_size": 0.05}
    found = []
    for gradient in ("checkpoint", "backprop"):
        field, y0 = Falling(size=2, hidden=6), number([0.3, -0.2])
        solution = nodekit.solve(
            field, y0, torch.linspace(0, 2, 5, dtype=torch.float64), method=method, options=options, gradient=gradient,
            events=[Event(lambda t, y: y[0] - 0.7, change=lambda t, y: y - 0.4), Event(lambda t, y: y[1], False)],
        )  # fmt: skip
        assert solution.events.index.count(0) > 1
        loss = solution.y.square().sum() + solution.events.t.sum() + solution.events.y.square().sum()
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, [y0, *field.parameters()])]))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)


def test_directions_and_non_terminal_events_are_recorded_in_order():
    def oscillate(t, y):
        return torch.stack([y[1], -y[0]])

    t, y0 = torch.tensor([0.0, 7.0], dtype=torch.float64), number([1.0, 0.0], False)
    events = [Event(height, False), Event(height, False, 1), Event(height, False, -1), Event(lambda t, y: t - 4, False)]
    solution = nodekit.solve(oscillate, y0, t, events=events, rtol=1e-10, atol=1e-10)
    expected = [(math.pi / 2, 0), (math.pi / 2, 2), (4.0, 3), (3 * math.pi / 2, 0), (3 * math.pi / 2, 1)]
    assert solution.events.index == [i for _, i in expected]
    assert solution.events.t.tolist() == pytest.approx([time for time, _ in expected], abs=1e-8)
    assert not solution.events.terminated
    assert solution.y[-1].tolist() == pytest.approx([math.cos(7), -math.sin(7)], abs=1e-8)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_several_sign_changes_within_one_step_are_seen(method):
    options = {"first_step": 1.0} if method == "dopri5" else {"step_size": 1.0}
    twice = Event(lambda t, y: (y - 0.3) * (y - 0.6), terminal=False)
    solution = nodekit.solve(
        lambda t, y: torch.ones_like(y), number(0.0, False), [0.0, 1.0], method=method, options=options, events=[twice]
    )
    assert solution.stats.accepted == 1
    assert solution.events.t.tolist() == pytest.approx([0.3, 0.6], abs=1e-14)


def test_a_terminal_event_ends_the_outputs():
    t = torch.linspace(0, 2, 9, dtype=torch.float64)
    solution = nodekit.solve(fall, number([1.0, 0.0], False), t, events=[height])
    assert solution.events.terminated
    assert solution.t.tolist() == [0.0, 0.25]
    assert solution.y.shape == (2, 2)


def test_an_event_that_ends_the_solve_later_than_its_end_does_not_happen():
    solution = nodekit.solve(fall, number([1.0, 0.0], False), [0.0, 0.2], events=[height])
    assert solution.success
    assert solution.events.t.shape == (0,)
    assert solution.events.y.shape == (0, 2)
    assert solution.y.shape == (2, 2)


@pytest.mark.parametrize("options", [{"max_num_steps": 50}, {"t_max": 3.0}, {"step_size": 0.1, "max_num_steps": 50}])
def test_an_event_that_never_happens_is_an_error_with_a_remedy(options):
    method = "rk4" if "step_size" in options else "dopri5"
    arguments = {"event_fn": lambda t, y: y + 1, "options": options, "method": method}
    with pytest.raises(errors.EventNotReached, match=r"t_max|max_num_steps"):
        nodekit.odeint_event(lambda t, y: -y * torch.cos(t), number(1.0, False), 0.0, **arguments)
    event_t, y = nodekit.odeint_event(lambda t, y: -y * torch.cos(t), number(1.0, False), 0.0, throw=False, **arguments)
    assert math.isnan(event_t)
    assert math.isnan(y[-1])


def test_states_of_every_kind_meet_events():
    for dtype in (torch.float32, torch.bfloat16):
        event_t, y = nodekit.odeint_event(
            lambda t, y: -y, torch.ones(2, dtype=dtype), 0.0, event_fn=lambda t, y: y[0] - 0.5, rtol=1e-5, atol=1e-5
        )
        assert y.dtype == dtype
        assert event_t.item() == pytest.approx(math.log(2), abs=1e-4 if dtype == torch.float32 else 1e-2)
    y0 = {"x": number([2.0], False), "v": torch.zeros(1, dtype=torch.complex128)}
    event_t, y = nodekit.odeint_event(
        lambda t, y: {"x": -y["x"], "v": 1j * torch.ones_like(y["v"])}, y0, 0.0, event_fn=lambda t, y: y["x"] - 1
    )
    assert y["v"][-1].imag.item() == pytest.approx(math.log(2), abs=1e-7)
    event_t, y = nodekit.odeint_event(lambda t, y: -y, np.array([1.0]), 0.0, event_fn=lambda t, y: y[0] - 0.5)
    assert isinstance(y, np.ndarray)
    assert float(event_t) == pytest.approx(math.log(2), abs=1e-7)


@pytest.mark.parametrize("t", [torch.tensor([0, 1]), torch.tensor([0, -1]), torch.tensor(0)])
def test_a_search_may_start_at_a_whole_number(t):
    direction = -1 if t.ndim and t[1] < 0 else 1
    event_t, _ = nodekit.odeint(lambda t, y: -y, number(1.0, False), t, event_fn=lambda t, y: y - 0.5**direction)
    assert event_t.item() == pytest.approx(direction * math.log(2), abs=1e-7)


def test_torch_func_differentiates_event_times():
    def flight(h):
        y0 = torch.stack([h, torch.zeros_like(h)])
        return nodekit.odeint_event(fall, y0, 0.0, event_fn=height)[0]

    h = number(10.0, False)
    expected = math.sqrt(2 * 10 / GRAVITY) / 20
    assert torch.func.grad(flight)(h).item() == pytest.approx(expected, abs=1e-12)
    assert torch.func.jvp(flight, (h,), (torch.ones_like(h),))[1].item() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(errors.UnsupportedCombination, match="vmap"):
        torch.func.vmap(flight)(torch.stack([h, h]))


def test_wrong_events_are_named():
    y0 = number(1.0)
    with pytest.raises(errors.InvalidEvent, match="direction"):
        Event(height, direction=2)
    with pytest.raises(errors.InvalidEvent, match="not a number"):
        nodekit.odeint_event(lambda t, y: -y, y0, 0.0, event_fn=lambda t, y: torch.log(y - 0.5))
    with pytest.raises(errors.InvalidTimes, match="direction"):
        nodekit.odeint(lambda t, y: -y, y0, [0.0, 1.0, 2.0], event_fn=lambda t, y: y - 0.5)
    time, _ = nodekit.odeint_event(lambda t, y: -y, y0, 0.0, event_fn=lambda t, y: y.item() - 0.5)
    with pytest.raises(errors.GradientUnavailable, match="no derivative"):
        time.backward()
    with pytest.raises(errors.UnsupportedCombination, match="step_size"):
        nodekit.odeint_event(lambda t, y: -y, y0, 0.0, event_fn=lambda t, y: y - 0.5, method="rk4")
    again = Event(lambda t, y: (t - 0.5).sign(), change=lambda t, y: y)
    solution = nodekit.solve(lambda t, y: -y, y0.detach(), [0.0, 1.0], events=[again])
    assert solution.events.t.tolist() == [0.5]


@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.parametrize(
    ("event", "what"),
    [
        (lambda t, y: y.sub_(0.5), "in place"),
        (lambda t, y: None, "NoneType"),
        (lambda t, y: "no number", "str"),
        (lambda t, y: y - 0.5 - 1j, "complex"),
    ],
)
def test_functions_of_events_that_are_none_are_refused_by_name(batch, event, what):
    y0 = torch.ones(1, 1, dtype=torch.float64)
    with torch.no_grad(), pytest.raises(errors.InvalidEvent, match=what):
        nodekit.solve(lambda t, y: -y, y0, [0.0, 1.0], events=[event], batch=batch)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_a_change_may_be_made_in_place(gradient):
    """What was there before it is recorded all the same."""
    rate = number([1.0])

    def ends(change):
        event = Event(lambda t, y: y - 0.5, direction=-1, change=change)
        y0 = torch.ones(1, dtype=torch.float64)
        solution = nodekit.solve(lambda t, y: -rate * y, y0, [0.0, 2.0], events=[event], gradient=gradient)
        total = solution.y[-1].sum() + solution.events.y.sum() + solution.events.t.sum()
        return torch.cat([total.reshape(1), torch.autograd.grad(total, rate)[0]])

    torch.testing.assert_close(ends(lambda t, y: y.add_(0.25)), ends(lambda t, y: y + 0.25))


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("span", "halves"), [([1.0, 20.0], [1.0, 2.0]), ([20.0, 1.0], [6.0, 5.0])])
def test_an_event_without_a_change_happens_as_often_as_it_may(terminal, span, halves):
    zero = nodekit.Event(lambda t, y: torch.sin(t), terminal=terminal, max_count=2)
    solution = nodekit.solve(lambda t, y: -0.1 * y, torch.ones(1, dtype=torch.float64), span, events=[zero])
    torch.testing.assert_close(solution.events.t, math.pi * torch.tensor(halves, dtype=torch.float64))
    assert solution.events.terminated


class Threshold(torch.nn.Module):
    """y falls below w₀ + w₁ t, which is computed once for each time."""

    def __init__(self, kept):
        super().__init__()
        self.w, self.kept, self.found = torch.nn.Parameter(torch.tensor([0.5, 0.1], dtype=torch.float64)), kept, {}

    def forward(self, t, y):
        times = tuple(t.reshape(-1).tolist())
        if not self.kept or times not in self.found:
            self.found[times] = self.w[0] + self.w[1] * torch.tensor(times, dtype=torch.float64)
        return y[..., 0] - self.found[times].view(y.shape[:-1])


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible"])
@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_threshold_that_is_computed_once_for_each_time_keeps_its_gradient(gradient, batch):
    if batch == "independent" and gradient in ("interpolated", "reversible"):
        pytest.skip("no gradient of independent samples")
    y0 = torch.ones(1, dtype=torch.float64) if batch == "shared" else torch.ones(2, 1, dtype=torch.float64)
    found = []
    for kept in (True, False):
        event = Threshold(kept)
        solution = nodekit.solve(
            lambda t, y: -y, y0, [0.0, 5.0], events=[event], batch=batch, gradient=gradient, rtol=1e-8, atol=1e-8
        )
        solution.events.t.sum().backward()
        found.append(event.w.grad)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=0)


def test_third_derivatives_of_an_events_time_and_of_output_times():
    def derivatives(y, x):
        found = []
        for _ in range(3):
            (y,) = torch.autograd.grad(y.reshape(-1)[-1], x, create_graph=True)
            found.append(y[-1].item())
        return found

    y0 = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    tight = {"rtol": 1e-10, "atol": 1e-10}
    when, _ = nodekit.odeint_event(lambda t, y: -y, y0, 0.0, event_fn=lambda t, y: y[0] - 1, **tight)
    assert derivatives(when, y0) == pytest.approx([1 / 2, -1 / 4, 1 / 4], rel=1e-7)  # of ln y0
    t = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    y1 = nodekit.odeint(lambda t, y: -t * y / 2, y0.detach(), t, **tight)[-1]
    exact = 2 * math.exp(-1 / 4)  # of 2 exp(−t²/4)
    assert derivatives(y1, t) == pytest.approx([-exact / 2, -exact / 4, 5 / 8 * exact], rel=1e-7)
