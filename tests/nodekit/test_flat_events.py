"""Events whose functions are zero on a whole region, or have no gradient: masks, relu, detached numbers."""

import math

import pytest
import torch
from torch import nn

import nodekit
from nodekit import Event, errors

#: numbers that are zero once x has fallen to nothing
FLAT = {
    "bool": lambda x: x > 0,
    "mask": lambda x: (x > 0).double(),
    "negative mask": lambda x: -(x > 0).double(),
    "relu": torch.relu,
    "negative relu": lambda x: -torch.relu(x),
    "hinge of either sign": lambda x: torch.where(x.abs() < 0.05, 0.0, x) * torch.where(x > 0, 1.0, -1.0),
    "jump": lambda x: torch.where(x > 0, 1.0, -1.0),
    "smooth": lambda x: x,
}
METHODS = [("dopri5", {}), ("rk4", {"step_size": 0.3}), ("kvaerno5", {})]


def decay(t, y):
    return -y


@pytest.mark.parametrize("kind", FLAT)
@pytest.mark.parametrize(("method", "options"), METHODS)
def test_a_function_that_stays_zero_has_its_event_where_it_first_is_zero(method, options, kind):
    """y = e⁻ᵗ falls to 0.1 at ln 10: for the hinge, which is zero within 0.05, to 0.15."""
    level = 0.15 if kind.startswith("hinge") else 0.1
    found, smooth = (
        nodekit.odeint_event(
            decay, torch.ones(2, dtype=torch.float64), 0.0, event_fn=event, method=method, options=options,
            rtol=1e-8, atol=1e-8,
        )[0].item()
        for event in (lambda t, y: FLAT[kind](y[0] - 0.1), lambda t, y: y[0] - level)
    )  # fmt: skip
    assert found == pytest.approx(smooth, rel=1e-13)
    assert found == pytest.approx(-math.log(level), rel=1e-6 if not options else 1e-3)


@pytest.mark.parametrize("kind", ["bool", "relu", "negative relu", "smooth"])
@pytest.mark.parametrize("far", [0.3, 1.0, 7.0])
def test_backwards_in_time_too_and_whatever_the_size_of_the_steps(kind, far):
    """A function of time alone, along a solution that takes steps as long as it likes."""
    y0 = torch.ones(1, dtype=torch.float64)
    time, _ = nodekit.odeint_event(
        lambda t, y: 0 * y, y0, 0.0, event_fn=lambda t, y: FLAT[kind](far + t), reverse_time=True
    )
    assert time.item() == pytest.approx(-far, rel=1e-14)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("kind", FLAT)
def test_every_sample_has_its_event_where_its_function_first_is_zero(kind, sign):
    level = 0.15 if kind.startswith("hinge") else 0.1
    y0 = torch.tensor([[1.0], [0.7], [30.0]], dtype=torch.float64)
    t = torch.tensor([[0.5, sign * math.inf]], dtype=torch.float64).expand(3, 2)
    solution = nodekit.solve(
        lambda t, y: -sign * y, y0, t, events=[lambda t, y: FLAT[kind](y[:, 0] - 0.1)], batch="independent",
        rtol=1e-8, atol=1e-8,
    )  # fmt: skip
    expected = 0.5 + sign * torch.log(y0[:, 0] / level)
    torch.testing.assert_close(solution.events.t, expected, rtol=0, atol=1e-6)
    assert solution.events.index.tolist() == [0, 0, 0]


def test_after_a_change_a_mask_is_looked_for_anew():
    """A counter that is set back when it is full, as a mask tells: once a second."""
    full = Event(lambda t, y: y < 1, change=lambda t, y: y * 0, max_count=3)
    solution = nodekit.solve(
        lambda t, y: torch.ones_like(y), torch.zeros((), dtype=torch.float64), [0.0, math.inf], events=[full]
    )
    assert solution.events.t.tolist() == pytest.approx([1.0, 2.0, 3.0], rel=1e-12)


def test_an_isolated_zero_costs_one_more_look():
    calls = []

    def event(t, y):
        calls.append(t.item())
        return 0.5 - t

    nodekit.odeint_event(decay, torch.ones(1, dtype=torch.float64), 0.0, event_fn=event, options={"first_step": 1.0})
    assert len(calls) < 30  # bisection would take fifty


@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.parametrize(
    "event",
    [
        lambda t, y: y[:, 0] > 0.1,
        lambda t, y: torch.relu(y[:, 0] - 0.1),
        lambda t, y: (y[:, 0] - 0.1).detach(),
        lambda t, y: torch.where(t.reshape(-1) > 2, 0.0, y[:, 0].detach() + 1),
    ],
)
def test_a_time_without_a_gradient_is_found_and_refused_only_when_it_is_differentiated(event, batch):
    y0 = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    solution = nodekit.solve(decay, y0, [0.0, 0.5, math.inf], events=[event], batch=batch)
    torch.autograd.grad(solution.y.sum(), y0, retain_graph=True)
    with pytest.raises(errors.GradientUnavailable, match="no derivative"):
        torch.autograd.grad(solution.events.t.sum(), y0, retain_graph=True)
    with pytest.raises(errors.GradientUnavailable, match="no derivative"):
        torch.autograd.grad(solution.events.y.sum(), y0)


def test_a_sample_that_ends_by_a_mask_costs_its_neighbours_no_gradient():
    y0 = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    mask = lambda t, y: (t[:, 0] < 2.0).double()  # noqa: E731
    solution = nodekit.solve(
        decay, y0, [0.0, math.inf], events=[lambda t, y: y[:, 0] - 0.5, lambda t, y: mask(t, y)], batch="independent"
    )
    when = solution.events.t
    assert when.tolist() == pytest.approx([math.log(1.0 / 0.5), math.log(3.0 / 0.5)], abs=1e-6)
    solution = nodekit.solve(
        decay, y0, [0.0, math.inf], events=[lambda t, y: y[:, 0] - 0.3, lambda t, y: mask(t, y)], batch="independent"
    )
    when = solution.events.t
    assert when.tolist() == pytest.approx([math.log(1.0 / 0.3), 2.0], abs=1e-6)
    (found,) = torch.autograd.grad(when[0], y0, retain_graph=True)
    assert found.tolist() == [[pytest.approx(1.0, abs=1e-6)], [0.0]]
    with pytest.raises(errors.GradientUnavailable):
        torch.autograd.grad(when.sum(), y0)


class Ball(nn.Module):
    """A ball whose radius, gravity and restitution are learnt."""

    def __init__(self):
        super().__init__()
        self.gravity = nn.Parameter(torch.tensor([-9.0], dtype=torch.float64))
        self.floor = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
        self.bounce = nn.Parameter(torch.tensor([0.8], dtype=torch.float64))

    def forward(self, t, state):
        speed = state[1]
        return speed, self.gravity.expand_as(speed)


def test_learning_to_bounce_with_a_terminal_time_in_the_event_function():
    """As torchdiffeq's learn_physics: the event function returns zeros behind the last time."""
    ball, last, heights = Ball(), 2.2, []
    state = torch.tensor([10.0], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)

    def event(t, state):
        return torch.zeros_like(t) if t > last + 1e-7 else state[0] - ball.floor

    t, times = torch.tensor([0.0], dtype=torch.float64), []
    while t < last:
        end, solution = nodekit.odeint_event(ball, state, t, event_fn=event)
        stop = end if end < last else torch.tensor(last, dtype=torch.float64)
        heights.append(nodekit.odeint(ball, state, torch.stack([t.reshape(()), stop.detach()]))[0][-1])
        times.append(end)
        speed = -ball.bounce * solution[1][-1]
        state = solution[0][-1] + 1e-7 * speed, speed  # off the floor
        t = end
    fall = math.sqrt(2 * 9.5 / 9.0)
    assert [x.item() for x in times] == pytest.approx([fall, last + 1e-7], abs=1e-6)
    rise = last - fall
    assert heights[-1].item() == pytest.approx(0.5 + 0.8 * 9 * fall * rise - 4.5 * rise**2, abs=1e-5)
    heights[-1].sum().backward()
    speed, drop = 9 * fall, 9.5
    by_bounce = speed * rise
    by_floor = 1 + (-0.8 * 9 / speed) * rise - (0.8 * speed - 9 * rise) * (-1 / speed)
    by_gravity = (0.8 * drop / speed) * rise - rise**2 / 2 - (0.8 * speed - 9 * rise) * (-fall / 18)
    found = [ball.bounce.grad.item(), ball.floor.grad.item(), -ball.gravity.grad.item()]
    assert found == pytest.approx([by_bounce, by_floor, by_gravity], rel=1e-5)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("create_graph", [False, True])
def test_an_event_function_may_differentiate_by_the_state(create_graph, requires_grad):
    """The momentum of a Hamiltonian: dH/dp."""

    def event(t, y):
        (slope,) = torch.autograd.grad(y.square().sum() / 2, y, create_graph=create_graph)
        return slope[0] - 0.1

    y0 = torch.ones(2, dtype=torch.float64, requires_grad=requires_grad)
    time, _ = nodekit.odeint_event(decay, y0, 0.0, event_fn=event)
    assert time.item() == pytest.approx(math.log(10), rel=1e-6)
    if requires_grad and create_graph:
        assert torch.autograd.grad(time, y0)[0].tolist() == pytest.approx([1.0, 0.0], rel=1e-6)
    elif requires_grad:
        with pytest.raises(errors.GradientUnavailable):
            torch.autograd.grad(time, y0)
    else:
        assert not time.requires_grad


def test_an_event_function_that_is_not_a_number_is_named_with_its_sample():
    y0 = torch.tensor([[3.0], [1.0]], dtype=torch.float64)
    event = lambda t, y: torch.log(y[:, 0] - 0.5)  # noqa: E731
    with pytest.raises(errors.InvalidEvent, match="sample = 1"):
        nodekit.solve(
            lambda t, y: -torch.ones_like(y), y0, [0.0, 1.0], events=[event], batch="independent",
            options={"first_step": 0.9},
        )  # fmt: skip
