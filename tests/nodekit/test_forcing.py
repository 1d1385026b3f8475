"""Data in time as an input of a derivative."""

import pytest
import torch

import nodekit
from nodekit import Forcing, errors

T = torch.linspace(0.0, 2.0, 5, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["constant", "linear", "cubic"])
def test_values_are_met_at_their_times_and_held_beyond(kind):
    values = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 5.0], [3.0, 3.0], [1.0, 1.0]], dtype=torch.float64)
    forcing = Forcing(T, values, kind)
    for t, value in zip(T, values, strict=True):
        torch.testing.assert_close(forcing(t), value)
    torch.testing.assert_close(forcing(T), values)
    torch.testing.assert_close(forcing(-1.0), values[0])
    torch.testing.assert_close(forcing(9.0), values[-1])


def test_each_kind_reproduces_what_it_should():
    t = torch.linspace(0.0, 2.0, 33, dtype=torch.float64)
    torch.testing.assert_close(Forcing(T, 2 * T - 1, "linear")(t), 2 * t - 1)
    torch.testing.assert_close(Forcing(T, T**2, "cubic")(t), t**2)
    assert Forcing(T, T, "constant")(0.99).item() == 0.5


def test_values_that_are_whole_numbers_have_fractions_between():
    at = torch.tensor([0.0, 0.5, 0.9, 1.5], dtype=torch.float64)
    torch.testing.assert_close(Forcing([0, 1, 2], [0, 10, 40], "cubic")(at), torch.tensor([0.0, 2.5, 8.1, 22.5]))
    torch.testing.assert_close(Forcing([0, 1, 2], [0, 10, 40], "linear")(at), torch.tensor([0.0, 5.0, 9.0, 25.0]))
    torch.testing.assert_close(Forcing([0, 1, 2], [0, 10, 40], "constant")(at), torch.tensor([0.0, 0.0, 0.0, 10.0]))


def test_a_forced_solve_steps_onto_the_jumps():
    forcing = Forcing([0.0, 0.3, 1.1], torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), "constant")
    y0 = torch.zeros((), dtype=torch.float64)
    y = nodekit.odeint(lambda t, y: forcing(t), y0, [0.0, 2.0], options={"jump_t": forcing.breaks})
    assert y[-1].item() == pytest.approx(0.3 - 2 * 0.8 + 0.5 * 0.9, abs=1e-12)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint"])
def test_the_values_are_differentiated(gradient):
    values = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    forcing = Forcing([0.0, 1.0, 2.0], values)
    y0 = torch.zeros((), dtype=torch.float64)
    y = nodekit.odeint(
        lambda t, y: forcing(t), y0, [0.0, 2.0], gradient=gradient, method="rk4", options={"step_size": 0.5}
    )
    (found,) = torch.autograd.grad(y[-1], values)
    torch.testing.assert_close(found, torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64))


NAN = float("nan")
OWN = torch.tensor([[0.0, 0.4, 1.0, 2.0], [0.1, 0.7, 0.9, NAN], [-1.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
VALUES = torch.tensor([[1.0, 2.0, 0.5, 1.0], [3.0, 0.0, 1.0, NAN], [2.0, 1.0, NAN, NAN]], dtype=torch.float64)
COUNTS = [4, 3, 2]


@pytest.mark.parametrize("kind", ["constant", "linear", "cubic"])
@pytest.mark.parametrize("further", [(), (2,)])
def test_of_samples_with_own_times_each_is_a_forcing_of_its_own(kind, further):
    """Values, their gradients and those by the time, and no padding is read."""
    values = VALUES.view(3, 4, *[1] * len(further)) * torch.ones(further).double()
    values.requires_grad_()
    forcing = Forcing(OWN, values, kind)
    t = torch.linspace(-2.0, 4.0, 49, dtype=torch.float64).repeat(3, 1).requires_grad_()
    found = forcing(t)
    assert found.shape == (3, 49, *further)
    alone = [Forcing(OWN[i, :n], values[i, :n], kind) for i, n in enumerate(COUNTS)]
    expected = torch.stack([forcing(t[i]) for i, forcing in enumerate(alone)])
    torch.testing.assert_close(found, expected)
    inputs = [values] if kind == "constant" else [values, t]
    gradients = (torch.autograd.grad(x.square().sum(), inputs, retain_graph=True) for x in (found, expected))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(forcing(0.5), torch.stack([forcing(0.5) for forcing in alone]))
    for row, one in zip(forcing.breaks, alone, strict=True):
        assert row[~row.isnan()].tolist() == one.breaks


@pytest.mark.parametrize("own", [True, False])
def test_values_broadcast_to_the_states_of_independent_samples(own):
    """Numbers to (batch, 1), vectors to (batch, d), images to images: as the times do that the derivative is given."""
    t, lead = (OWN, (3, 4)) if own else (OWN[0], (4,))

    def shape(value, at):
        return tuple(Forcing(t, torch.ones(*lead, *value))(torch.zeros(at)).shape)

    assert shape((), (3,)) == (3,)
    assert shape((), (3, 1)) == (3, 1)
    assert shape((5,), (3, 1)) == (3, 5)
    assert shape((5,), (3, 1, 1, 1)) == (3, 1, 1, 5)
    assert shape((2, 4, 4), (3, 1, 1, 1)) == (3, 2, 4, 4)
    assert shape((2, 4), (3, 1)) == (3, 2, 4)
    assert shape((5,), (3, 7)) == (3, 7, 5)
    assert shape((5,), (3, 0)) == (3, 0, 5)


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_solve_forced_by_own_times_steps_onto_the_breaks_of_each(batch):
    """The integral of what is piecewise linear is that of the trapezoid rule, and of what is constant of rectangles."""
    values = VALUES.clone().requires_grad_()
    y0 = torch.zeros(3, 1, dtype=torch.float64)
    for kind, option in (("linear", "step_t"), ("constant", "jump_t")):
        forcing = Forcing(OWN, values[..., None], kind)

        def func(t, y, forcing=forcing):
            return forcing(t) + 0 * y

        solution = nodekit.solve(func, y0, [-1.0, 3.0], batch=batch, options={option: forcing.breaks})
        exact = []
        for i, n in enumerate(COUNTS):
            t, v = OWN[i, :n], values[i, :n]
            pieces = (v[1:] + v[:-1]) / 2 if kind == "linear" else v[:-1]
            exact.append((pieces * t.diff()).sum() + (t[0] + 1) * v[0] + (3 - t[-1]) * v[-1])
        exact = torch.stack(exact)
        torch.testing.assert_close(solution.y[-1, :, 0], exact, rtol=1e-12, atol=1e-12)
        assert torch.as_tensor(solution.stats.rejected == 0).all()
        found, expected = (torch.autograd.grad(y.square().sum(), values)[0] for y in (solution.y[-1, :, 0], exact))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_own_values_are_differentiated_again_and_again():
    values = VALUES.clone().requires_grad_()
    forcing = Forcing(OWN, values)
    for _ in range(2):
        (found,) = torch.autograd.grad(forcing(torch.tensor([[0.4], [0.7], [0.0]])).sum(), values)
        assert found[0].tolist() == pytest.approx([0.0, 1.0, 0.0, 0.0], abs=1e-6)


def test_bad_forcings_are_named():
    for times in ([[0.0, 1.0], [1.0, NAN]], [[0.0, 1.0], [1.0, 0.5]], [[0.0, NAN, 1.0]], [[0.0, 1.0, 1.0, 2.0]]):
        with pytest.raises(errors.InvalidTimes, match="sample = "):
            Forcing(times, torch.zeros(len(times), len(times[0])))
    with pytest.raises(errors.InvalidTimes, match="3 samples"):
        Forcing(OWN, VALUES)(torch.zeros(2, 1))
    with pytest.raises(errors.InvalidTimes, match="value for each"):
        Forcing(OWN, VALUES[:, :3])
    with pytest.raises(errors.InvalidTimes, match="increasing"):
        Forcing([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(errors.InvalidTimes, match="value for each"):
        Forcing([0.0, 1.0], [1.0])
    with pytest.raises(errors.UnknownOption, match="linear"):
        Forcing([0.0, 1.0], [1.0, 2.0], "quadratic")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_another_precision_of_the_values_leaves_the_times(dtype):
    start = 1.7e9  # seconds since 1970
    forcing = nodekit.Forcing(start + torch.arange(4, dtype=torch.float64), torch.tensor([0.0, 1.0, 4.0, 9.0])).to(
        dtype
    )
    assert forcing.values.dtype == dtype
    assert forcing.breaks == [start, start + 1, start + 2, start + 3]
    assert forcing(torch.tensor(start + 1.5, dtype=torch.float64)).item() == 2.5


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop", "adjoint"])
@pytest.mark.parametrize(
    ("kind", "method"), [("linear", "dopri5"), ("linear", "dopri8"), ("linear", "radauIIA5"), ("cubic", "dopri5")]
)
def test_the_times_of_a_continuous_forcing_are_differentiated(kind, gradient, method):
    # A stage at a kink has another derivative by the kink's time before it than behind it.
    tight = {"rtol": 1e-10, "atol": 1e-10, "method": method, "gradient": gradient}

    def end(middle, batch):
        times = torch.stack([0 * middle, middle, 0 * middle + 2])
        values = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
        forcing = Forcing(*(x.expand(2, 3) if batch == "independent" else x for x in (times, values)), kind)
        y0, options = torch.ones(2, 1, dtype=torch.float64), {"step_t": forcing.breaks}

        def func(t, y):
            return forcing(t).reshape(-1, 1) - y

        return nodekit.solve(func, y0, [0.0, 2.0], options=options, batch=batch, **tight).y[-1].mean()

    middle, h = torch.tensor(0.8, dtype=torch.float64, requires_grad=True), 1e-3
    with torch.no_grad():
        difference = (end(middle + h, "shared") - end(middle - h, "shared")) / (2 * h)
    for batch in ("shared", "independent"):
        (found,) = torch.autograd.grad(end(middle, batch), middle)
        assert found.item() == pytest.approx(difference.item(), rel=1e-5), batch


def test_a_forcing_has_its_derivative_at_the_given_times_too():
    times = torch.arange(5, dtype=torch.float64)
    t = times.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Forcing(times, times**2, "cubic")(t).sum(), t)
    torch.testing.assert_close(slope, 2 * times)  # a parabola is met exactly


def test_a_kink_is_differentiated_where_its_time_is_reached_by_rounding():
    # Just before 0.1, the part of the way from -1 to there is 1 to rounding.
    def end(kink):
        times = torch.stack([0 * kink - 1, kink, 0 * kink + 2])
        forcing = Forcing(times, torch.tensor([1.0, 3.0, -1.0], dtype=torch.float64))
        y0 = torch.zeros((), dtype=torch.float64)
        return nodekit.odeint(lambda t, y: forcing(t), y0, [-1.0, 2.0], options={"step_t": forcing.breaks})[-1]

    kink = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    # Two trapezoids: 2 (kink + 1) + (2 - kink)
    assert torch.autograd.grad(end(kink), kink)[0].item() == pytest.approx(1.0, rel=1e-9)


def test_the_place_of_a_kink_is_differentiated():
    kink = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    y0 = torch.zeros(1, dtype=torch.float64)
    y = nodekit.odeint(lambda t, y: torch.relu(t - kink), y0, [0.0, 2.0], options={"step_t": kink})[-1]
    assert torch.autograd.grad(y.sum(), kink)[0].item() == pytest.approx(-1.3, rel=1e-9)  # y = (2 − kink)² / 2


def test_the_gradient_by_jumps_of_a_forcing_is_refused():
    times = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    with pytest.raises(errors.InvalidTimes, match="constant forcing require a gradient"):
        nodekit.Forcing(times, torch.arange(3.0), "constant")
