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


def test_bad_forcings_are_named():
    with pytest.raises(errors.InvalidTimes, match="increasing"):
        Forcing([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(errors.InvalidTimes, match="value for each"):
        Forcing([0.0, 1.0], [1.0])
    with pytest.raises(errors.UnknownOption, match="linear"):
        Forcing([0.0, 1.0], [1.0, 2.0], "quadratic")
