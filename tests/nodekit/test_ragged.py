"""batch="independent": samples with fewer times than others, with stops of their own, and no samples at all."""

import math

import numpy as np
import pytest
import torch
from fields import Field

import nodekit

NAN = math.nan
#: of four samples, one with its initial time alone, one backwards in time
SERIES = [[0.1, 0.2, 0.3], [0.0, 1.5], [2.0], [1.0, -0.3, -0.4, -2.0]]
STATES = torch.tensor([[1.0, 0.3], [-0.5, 2.0], [0.2, 0.1], [1.5, -1.0]], dtype=torch.float64)


def padded(series, padding):
    """Rows of the same length, ended by NaN or the last time again."""
    longest = max(map(len, series))
    rows = [row + [row[-1] if padding == "repeated" else NAN] * (longest - len(row)) for row in series]
    return torch.tensor(rows, dtype=torch.float64)


GIVEN = ~padded(SERIES, "NaN").isnan()


def swinging(t, y, rate=1.3):
    return torch.sin(rate * y) + 0.3 * torch.cos(3 * t) * y


def independently(func, y0, t, **arguments):
    return nodekit.solve(func, y0, t, batch="independent", **{"rtol": 1e-7, "atol": 1e-9, **arguments})


def alone(func, y0, t, **arguments):
    return nodekit.solve(func, y0, t, **{"rtol": 1e-7, "atol": 1e-9, **arguments})


WAYS = [
    {"method": "dopri5"},
    {"method": "dopri8"},
    {"method": "rk4", "options": {"step_size": 0.13}},
    {"method": "rk4"},
]


@pytest.mark.filterwarnings("ignore:t holds one time")
@pytest.mark.parametrize("padding", ["NaN", "repeated"])
@pytest.mark.parametrize("way", WAYS)
def test_samples_with_fewer_times_are_those_solved_alone(way, padding):
    y = independently(swinging, STATES, padded(SERIES, padding), **way).y
    assert y.shape == (4, 4, 2)
    for i, times in enumerate(SERIES):
        own = alone(swinging, STATES[i], times, **way).y
        torch.testing.assert_close(y[: len(times), i], own, rtol=1e-10, atol=1e-11)
        last, rest = y[len(times) - 1, i], y[len(times) :, i]
        assert rest.isnan().all() if padding == "NaN" else torch.equal(rest, last.expand_as(rest))


@pytest.mark.filterwarnings("ignore:t holds one time")
@pytest.mark.parametrize("padding", ["NaN", "repeated"])
@pytest.mark.parametrize("way", [*WAYS, {"options": {"checkpoints": 2}}, {"gradient": "backprop"}])
def test_gradients_of_samples_with_fewer_times_are_those_of_each_alone(way, padding):
    """By the states, the times and a parameter that all share."""
    weights = torch.linspace(0.5, 2.0, 4, dtype=torch.float64)

    def inputs():
        rate = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        return rate, STATES.clone().requires_grad_(), padded(SERIES, padding).requires_grad_()

    rate, y0, t = inputs()
    y = independently(lambda t, y: swinging(t, y, rate), y0, t, **way).y
    loss = (torch.where(GIVEN.T[..., None], y, 0.0).square() * weights.view(-1, 1, 1)).sum()
    found = torch.autograd.grad(loss, [rate, y0, t])
    rate, y0, t = inputs()
    loss = 0.0
    for i, times in enumerate(SERIES):
        count = len(times)
        # Gradients by the times are the flow's, as those of a fixed-step solve are with one more step between them.
        own = alone(lambda t, y: swinging(t, y, rate), y0[i], t[i, :count], **way).y
        loss = loss + (own.square() * weights[:count, None]).sum()
    expected = torch.autograd.grad(loss, [rate, y0, t])
    several = way == {"method": "rk4"}  # whose gradients by the times are those of the steps in a shared solve
    for a, b in zip(found[:2] if several else found, expected, strict=not several):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
    assert found[2].isfinite().all()
    assert (found[2][~GIVEN] == 0).all()


@pytest.mark.parametrize("way", [{}, {"method": "rk4", "options": {"step_size": 0.2}}])
def test_gradients_with_fewer_times_agree_with_finite_differences(way):
    count = torch.tensor([3, 2, 1, 4])

    def outputs(y0, t, rate):
        rows = torch.full((4, 4), NAN, dtype=torch.float64)
        rows = torch.where(GIVEN, torch.zeros_like(rows).masked_scatter(GIVEN, t), rows)
        y = independently(lambda t, y: swinging(t, y, rate), y0, rows, rtol=1e-10, atol=1e-11, **way).y
        return y.transpose(0, 1)[GIVEN]

    t = torch.tensor([time for times in SERIES for time in times], dtype=torch.float64, requires_grad=True)
    assert len(t) == count.sum()
    rate = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    inputs = STATES.clone().requires_grad_(), t, rate
    if way:  # fixed steps: the flow's gradient by the times is not to rounding that of the steps
        assert torch.autograd.gradcheck(
            lambda y0, rate: outputs(y0, t.detach(), rate), inputs[::2], rtol=1e-5, atol=1e-7, fast_mode=True
        )
        return
    assert torch.autograd.gradcheck(outputs, inputs, rtol=1e-5, atol=1e-7, fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, inputs, rtol=1e-4, atol=1e-6, fast_mode=True)


def test_what_follows_the_last_time_repeats_its_gradient_too():
    """y = y₀ e^−t: of the sum over the last time, thrice, 3 e^−t₁; by these times −y each, and by the first 3y."""
    y0 = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 0.5, 0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    y = independently(lambda t, y: -y, y0, t, rtol=1e-10, atol=1e-12).y
    by_y0, by_t = torch.autograd.grad(y[1:].sum(), [y0, t])
    assert by_y0.item() == pytest.approx(3 * math.exp(-0.5), rel=1e-8)
    end = 2 * math.exp(-0.5)
    assert by_t.tolist()[0] == pytest.approx([3 * end, -end, -end, -end], rel=1e-8)


@pytest.mark.parametrize("options", [{}, {"jump_t": [0.15, 0.5]}])
def test_times_and_stops_of_neighbours_change_no_bit(options):
    def changed(times, stops):
        given = {} if not options else {"jump_t": stops}
        return independently(swinging, STATES[:3], torch.tensor(times, dtype=torch.float64), options=given).y

    before = changed([[0.1, 0.9, NAN], [0.0, 0.5, 1.0], [0.0, 1.0, NAN]], [[0.15, NAN], [0.2, 0.6], [0.5, NAN]])
    after = changed([[0.1, 0.9, NAN], [5.0, NAN, NAN], [0.0, -9.0, -9.5]], [[0.15, NAN], [5.0, 0.3], [-1.0, -0.5]])
    assert torch.equal(before[:2, 0], after[:2, 0])


def test_a_search_for_events_may_be_open_for_some_samples_and_hold_fewer_times():
    """y = t from each start: y = 2 at t = 2, which the second and the third sample do not come to."""
    t = torch.tensor([[0.0, 1.0, math.inf], [0.0, 1.5, 1.5], [0.0, -1.0, NAN], [0.5, math.inf, NAN]])
    t = t.double().requires_grad_()
    y0 = t.detach()[:, :1].clone().requires_grad_()
    solution = independently(lambda t, y: torch.ones_like(y), y0, t, events=[lambda t, y: y[:, 0] - 2])
    assert solution.success
    assert solution.events.terminated.tolist() == [True, False, False, True]
    torch.testing.assert_close(
        solution.y[..., 0].T.detach(),
        torch.tensor([[0.0, 1.0, NAN], [0.0, 1.5, 1.5], [0.0, -1.0, NAN], [0.5, NAN, NAN]], dtype=torch.float64),
        equal_nan=True,
    )
    # y(t) = y₀ + t − t₀, and the event at 2 − y₀ + t₀
    loss = solution.y[1, :3].sum() + 10 * solution.events.t[[0, 3]].sum()
    by_y0, by_t = torch.autograd.grad(loss, [y0, t])
    torch.testing.assert_close(by_y0[:, 0], torch.tensor([-9.0, 1.0, 1.0, -10.0], dtype=torch.float64))
    expected = [[9.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0], [10.0, 0.0, 0.0]]
    torch.testing.assert_close(by_t, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
@pytest.mark.parametrize("way", [{}, {"method": "rk4", "options": {"step_size": 0.1}}])
def test_an_empty_batch_has_an_empty_result_and_no_gradient(way, gradient):
    field, t = Field(), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    y0 = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    for times in (t, torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)):
        solution = independently(field, y0, times, gradient=gradient, **way)
        assert solution.success
        assert solution.y.shape == (3, 0, 3)
        assert solution.stats.accepted.shape == (0,)
        for found, x in zip(
            torch.autograd.grad(solution.y.sum(), [y0, times, *field.parameters()]),
            [y0, times, *field.parameters()],
            strict=True,
        ):
            assert torch.equal(found, torch.zeros_like(x))


def test_an_empty_batch_may_be_of_any_kind():
    y0 = {"x": torch.zeros(0, 2, 3, dtype=torch.complex128), "z": torch.zeros(0)}
    y = nodekit.odeint(lambda t, y: {"x": 1j * y["x"], "z": -y["z"]}, y0, [0.0, 1.0], batch="independent")
    assert y["x"].shape == (2, 0, 2, 3)
    assert (y["z"].shape, y["z"].dtype) == ((2, 0), torch.float32)
    y = nodekit.odeint(lambda t, y: -y, np.zeros((0, 2)), [0.0, 1.0], batch="independent")
    assert isinstance(y, np.ndarray)
    assert y.shape == (2, 0, 2)
    event_t, y = nodekit.odeint_event(
        lambda t, y: -y, torch.zeros(0, 2), 0.0, event_fn=lambda t, y: y[:, 0], batch="independent"
    )
    assert event_t.shape == (0,)
    assert y.shape == (2, 0, 2)
    assert nodekit.odeint(lambda t, y: -y, y0["x"], torch.zeros(0, 3), batch="independent").shape == (3, 0, 2, 3)


JUMPS = torch.tensor([[0.5, NAN], [1.2, 0.7], [9.0, math.inf], [-0.5, 0.0]], dtype=torch.float64)
SPANS = torch.tensor([[0.0, 0.3, 2.0], [0.0, 0.7, 2.0], [0.0, 1.0, NAN], [1.0, 0.2, -1.5]], dtype=torch.float64)


def dosed(jumps, rate):
    """Decay, and a source that is on between two times of each sample; not to be asked when it is switched."""

    def func(t, y):
        assert not (t == jumps).any()
        low, high = jumps.nan_to_num(nan=9.0).amin(-1, keepdim=True), jumps.nan_to_num(nan=9.0).amax(-1, keepdim=True)
        return torch.where((t > low) & (t < high), rate, 0.0) - torch.sin(y)

    return func


@pytest.mark.parametrize("way", [{}, {"gradient": "backprop"}, {"options": {"checkpoints": 1}}])
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "tsit5"])
def test_jumps_of_each_sample_are_those_of_solving_it_alone(method, way):
    """State, steps, and the gradients by the state, the times and the source."""
    options = way.get("options", {})
    way = {"method": method, **way}
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y0, t = STATES[:, :1].clone().requires_grad_(), SPANS.clone().requires_grad_()
    solution = independently(dosed(JUMPS, rate), y0, t, **{**way, "options": {**options, "jump_t": JUMPS}})
    given = ~SPANS.isnan()
    found = torch.autograd.grad(solution.y.transpose(0, 1)[given].square().sum(), [rate, y0, t])
    loss = 0.0
    for i in range(4):
        own = alone(dosed(JUMPS[i], rate), y0[i], t[i, given[i]], **{**way, "options": {**options, "jump_t": JUMPS[i]}})
        torch.testing.assert_close(solution.y[: len(own.y), i], own.y, rtol=1e-10, atol=1e-11)
        assert solution.stats.accepted[i] == own.stats.accepted
        assert solution.stats.rejected[i] == own.stats.rejected
        loss = loss + own.y.square().sum()
    for a, b in zip(found, torch.autograd.grad(loss, [rate, y0, t]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_gradients_with_jumps_agree_with_finite_differences():
    def outputs(y0, rate):
        options = {"jump_t": JUMPS}
        y = independently(dosed(JUMPS, rate), y0, SPANS, rtol=1e-10, atol=1e-11, options=options).y
        return y.transpose(0, 1)[~SPANS.isnan()]

    inputs = STATES[:, :1].clone().requires_grad_(), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, inputs, rtol=1e-5, atol=1e-7, fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, inputs, rtol=1e-4, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("shared", [True, False])
def test_steps_end_at_kinks_shared_or_of_each_sample(direction, shared):
    """y' = |t − c|, of which a step over the kink is wrong, and one up to it exact."""
    kinks = direction * torch.tensor([[0.5], [0.5], [0.5]] if shared else [[0.3], [0.55], [NAN]], dtype=torch.float64)
    at = kinks.nan_to_num(nan=direction * 3.0)
    step_t = [direction * 0.5] if shared else kinks
    y0 = torch.zeros(3, 1, dtype=torch.float64)
    solution = independently(
        lambda t, y: (t - at).abs() + 0 * y, y0, [0.0, direction * 1.0], options={"step_t": step_t}
    )
    c = at.abs()[:, 0]
    exact = torch.where(c < 1, c.square() / 2 + (1 - c).square() / 2, c - 0.5)
    torch.testing.assert_close(solution.y[-1, :, 0], direction * exact, rtol=1e-13, atol=1e-13)
    assert (solution.stats.rejected == 0).all()


@pytest.mark.parametrize("times", [[0.0, 1.0], [1.0, 0.0]])
def test_jumps_at_the_ends_cost_no_steps(times):
    def jumps_at_the_ends(t, y):
        assert not ((t == 0) | (t == 1)).any()
        return torch.cos(t) * torch.ones_like(y)

    y0, options = torch.zeros(2, 1, dtype=torch.float64), {"jump_t": [0.0, 1.0]}
    t = torch.tensor([times, [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    smooth = independently(lambda t, y: torch.cos(t) * torch.ones_like(y), y0, t)
    solution = independently(jumps_at_the_ends, y0, t, options=options)
    torch.testing.assert_close(solution.y, smooth.y, rtol=1e-9, atol=1e-9)
    assert torch.equal(solution.stats.accepted, smooth.stats.accepted)
    assert torch.equal(solution.stats.rejected, smooth.stats.rejected)
    (by_t,) = torch.autograd.grad(solution.y[-1, 0].sum(), t)
    assert by_t[0].tolist() == pytest.approx([-math.cos(times[0]), math.cos(times[1])], rel=1e-6)


def test_an_event_behind_a_jump_is_that_of_solving_alone():
    """y' = r up to c and 2r from there: y = 2 at c + (2 − rc) / 2r; by r −1/r², and its own limit by y₀."""
    jumps = torch.tensor([[0.5], [0.25], [NAN]], dtype=torch.float64)
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return torch.where(t > jumps.nan_to_num(nan=9.0), 2 * rate, rate) + 0 * y

    solution = independently(func, y0, [0.0, math.inf], options={"jump_t": jumps}, events=[lambda t, y: y[:, 0] - 2])
    torch.testing.assert_close(solution.events.t.detach(), torch.tensor([1.25, 1.125, 2.0], dtype=torch.float64))
    by_rate, by_y0 = torch.autograd.grad(solution.events.t.sum(), [rate, y0])
    assert by_rate.item() == pytest.approx(-1 - 1 - 2, rel=1e-9)
    assert by_y0.flatten().tolist() == pytest.approx([-0.5, -0.5, -1.0], rel=1e-9)


@pytest.mark.parametrize("way", [{}, {"options": {"checkpoints": 1}}, {"gradient": "backprop"}])
def test_a_sample_that_fails_at_its_jump_spoils_no_gradient(way):
    """Behind its jump the second sample's slope is the root of a negative number, by the sign that is its state."""
    rate = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    jumps = torch.tensor([[0.5], [0.4], [0.7]], dtype=torch.float64)

    def func(t, y):
        value, sign = y[:, :1], y[:, 1:]
        return torch.cat([torch.sqrt(rate * torch.where(t > jumps, sign, 1.0)) - value, 0 * sign], dim=1)

    y0 = torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.0, 1.0]], dtype=torch.float64)
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    options = {**way.get("options", {}), "jump_t": jumps}
    solution = independently(func, y0, t, throw=False, **{**way, "options": options})
    assert list(solution.status.failures) == [1]
    assert solution.status.failures[1].t == 0.4
    assert solution.y[2, 1].isnan().all()
    by_rate, by_t = torch.autograd.grad(solution.y[2, ::2, 0].sum() + solution.y[1, :, 0].sum(), [rate, t])
    # y = √r (1 − e^−t)
    by_root = 2 * (1 - math.exp(-1)) + 3 * (1 - math.exp(-0.3))
    assert by_rate.item() == pytest.approx(0.5 / math.sqrt(1.5) * by_root, rel=1e-6)
    slopes = [-(2 * math.exp(-1) + 3 * math.exp(-0.3)), 3 * math.exp(-0.3), 2 * math.exp(-1)]
    assert by_t.tolist() == pytest.approx([math.sqrt(1.5) * slope for slope in slopes], rel=1e-6)


def test_a_failing_sample_spoils_no_gradient_by_times_and_events():
    """Of the first sample the slope is not a number, and the second comes to no event."""
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[1.5], [0.5], [0.0]], dtype=torch.float64)
    t = torch.tensor([0.0, 1.2], dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return torch.sqrt(rate - y)  # not a number above the rate; √(r − y) = √r − t/2 from y₀ = 0

    solution = independently(
        func, y0, t, throw=False, events=[lambda t, y: y[:, 0] - torch.where(y0 < 0.2, 0.75, 7.0)[:, 0]]
    )
    assert list(solution.status.failures) == [0]
    by_rate, by_t = torch.autograd.grad(solution.events.t[2], [rate, t])
    # √(r − 0.75) = √r − τ/2, τ = 1, dτ/dr = 1/√r − 1/√(r − 0.75) = −1
    assert solution.events.t[2].item() == pytest.approx(1.0, rel=1e-6)
    assert by_rate.item() == pytest.approx(-1.0, rel=1e-6)
    assert by_t.tolist() == pytest.approx([1.0, 0.0], rel=1e-6)


def test_noise_is_replayed_behind_jumps():
    """Steps taken again draw what they drew, the slopes behind jumps among them."""
    field = Field(dropout=0.5)
    found = []
    for given in ({"gradient": "backprop"}, {"gradient": "checkpoint"}, {"options": {"checkpoints": 1}}):
        y0 = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
        options = {**given.get("options", {}), "jump_t": JUMPS, "first_step": 0.4, "min_step": 0.4}
        torch.manual_seed(3)
        y = independently(field, y0, [0.0, 2.0], **{**given, "options": options}).y
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(y[-1].sum(), [y0, *field.parameters()])]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(found[2], found[0], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5"])
def test_perturbed_steps_of_each_sample_are_those_of_solving_it_alone(method):
    """Of samples that arrive early, too, the ends of steps are never asked for."""
    t = torch.tensor([[0.0, 1.0], [0.0, 0.5], [1.0, 0.0]], dtype=torch.float64)

    def func(t, y, scale):
        assert not (t * 4 == (t * 4).round()).any()
        return scale * torch.where(t > 0.5, 1.0, -2.0).to(y) * torch.sin(y + t)

    scale = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    y0 = STATES[:3, :1].clone().requires_grad_()
    way = {"method": method, "options": {"step_size": 0.25, "perturb": True}, "args": (scale,)}
    y = independently(func, y0, t, **way).y
    found = torch.autograd.grad(y[-1].square().sum(), [scale, y0])
    own = torch.stack([alone(func, y0[i], t[i], **way).y for i in range(3)], dim=1)
    torch.testing.assert_close(y, own, rtol=1e-12, atol=1e-13)
    for a, b in zip(found, torch.autograd.grad(own[-1].square().sum(), [scale, y0]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
