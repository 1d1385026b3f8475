"""States of every kind: nested, complex, of any dtype, NumPy, and numbers as they arrive from R."""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

import nodekit

T = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)


def close(a, b, tolerance=1e-6):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible", "backprop"])
def test_a_nested_state_keeps_its_structure_and_its_gradient(gradient):
    y0 = {
        "a": torch.ones(2, 3, dtype=torch.float64, requires_grad=True),
        "b": (torch.full((), 2.0, dtype=torch.float64), [torch.tensor([3.0], dtype=torch.float64)]),
    }

    def func(t, y):
        return {"a": -y["a"], "b": (y["b"][0] * 0.5, [torch.cos(t).reshape(1)])}

    y = nodekit.odeint(func, y0, T, gradient=gradient)
    decay = torch.exp(-T)
    close(y["a"], decay[:, None, None].expand(3, 2, 3))
    close(y["b"][0], 2 * torch.exp(T / 2))
    close(y["b"][1][0][:, 0], 3 + torch.sin(T))
    (found,) = torch.autograd.grad(y["a"].sum(), y0["a"])
    close(found, torch.full((2, 3), decay.sum().item(), dtype=torch.float64))


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "backprop"])
def test_a_complex_state_rotates(gradient):
    y0 = torch.tensor([1.0 + 0.5j], dtype=torch.complex128, requires_grad=True)
    y = nodekit.odeint(lambda t, y: 2j * y, y0, T, gradient=gradient)
    assert y.dtype == torch.complex128
    close(y[:, 0], y0.detach()[0] * torch.exp(2j * T))
    (found,) = torch.autograd.grad(y[-1].real.sum(), y0)
    close(found, torch.exp(torch.tensor([-2j], dtype=torch.complex128)))


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible", "backprop"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_complex_and_real_tensors_share_a_state_in_any_order(gradient, order):
    real = torch.ones(1, dtype=torch.float64, requires_grad=True)
    turning = torch.ones(2, dtype=torch.complex128, requires_grad=True)

    def func(t, state):
        slopes = [(-1, 1j)[kind] * part for kind, part in zip(order, state, strict=True)]
        return tuple(slopes)

    y = nodekit.odeint(func, tuple((real, turning)[kind] for kind in order), T, gradient=gradient)
    by_kind = dict(zip(order, y, strict=True))
    close(by_kind[0][:, 0], torch.exp(-T))
    close(by_kind[1][:, 0], torch.exp(1j * T))
    found = torch.autograd.grad(by_kind[0][-1].sum() + by_kind[1][-1].real.sum(), [real, turning])
    close(found[0], torch.full((1,), math.exp(-1), dtype=torch.float64))
    close(found[1], torch.exp(torch.tensor([-1j, -1j], dtype=torch.complex128)))


def test_slopes_answer_by_key_not_by_position():
    y0 = {"x": torch.zeros(2, dtype=torch.float64), "v": torch.ones(2, dtype=torch.float64)}
    y = nodekit.odeint(lambda t, y: {"v": -y["x"], "x": y["v"]}, y0, T)
    close(y["x"], torch.sin(T)[:, None].expand(3, 2))
    (y,) = nodekit.odeint(lambda t, y: [{"v": -y[0]["x"], "x": y[0]["v"]}], (y0,), T)
    close(y["v"], torch.cos(T)[:, None].expand(3, 2))
    for wrong in ({"x": y0["x"]}, {"x": y0["x"], "w": y0["v"]}, (y0["x"], y0["v"])):
        with pytest.raises(nodekit.errors.InvalidDerivative, match="structure"):
            nodekit.odeint(lambda t, y, wrong=wrong: wrong, y0, T)
    nested = ((y0["x"], y0["x"]), y0["v"])
    with pytest.raises(nodekit.errors.InvalidDerivative, match="structure"):
        nodekit.odeint(lambda t, y: (y[1], y[0]), nested, T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_states_are_accumulated_in_float32(dtype):
    """A thousand steps, each smaller than half precision can add to the state."""
    seen = set()

    def func(t, y):
        seen.add((t.dtype, y.dtype))
        return torch.ones_like(y)

    y = nodekit.odeint(func, torch.tensor([1.0], dtype=dtype), [0.0, 1.0], method="euler", options={"step_size": 1e-3})
    assert y.dtype == dtype
    assert y[-1].item() == 2.0
    assert seen == {(torch.float32, dtype)}


def test_time_stays_accurate_where_float32_could_not_step():
    """At t = 10⁶ the spacing of float32 numbers is 0.06: steps of 0.01 need float64 time."""
    start = 1e6
    t = torch.tensor([start, start + 1], dtype=torch.float64)
    y = nodekit.odeint(lambda t, y: y, torch.ones(1), t, method="rk4", options={"step_size": 0.01})
    close(y[-1], torch.tensor([math.e]), 1e-5)


def test_memory_format_and_identity_of_a_tensor_state_are_kept():
    y0 = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    formats = []

    def func(t, y):
        formats.append(y.is_contiguous(memory_format=torch.channels_last))
        return -y

    nodekit.odeint(func, y0, [0.0, 1.0], method="rk4")
    assert all(formats)
    assert len(formats) == 4


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
def test_numpy_in_numpy_out(gradient):
    y0 = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    y0.setflags(write=False)

    def func(t, y):
        assert isinstance(y, np.ndarray)
        assert isinstance(t, float)
        return -y

    y = nodekit.odeint(func, y0, np.linspace(0, 1, 5), gradient=gradient)
    assert isinstance(y, np.ndarray)
    assert y.shape == (5, 2, 3)
    np.testing.assert_allclose(y[-1], y0 * np.exp(-1), rtol=1e-6)


def test_lists_and_scalars_as_they_come_from_r():
    y = nodekit.odeint(lambda t, y: [y[1], -y[0]], [1, 0], [0.0, math.pi])
    np.testing.assert_allclose(y, [[1, 0], [-1, 0]], atol=1e-5)
    y = nodekit.odeint(lambda t, y: -y, 2.0, [0.0, 1.0])
    np.testing.assert_allclose(y, [2, 2 * math.exp(-1)], rtol=1e-6)
    y = nodekit.odeint(lambda t, y: float(-y[0]), np.array([2.0]), [0.0, 1.0])
    assert y.shape == (2, 1)


def test_one_time_gives_the_initial_state():
    y = nodekit.odeint(lambda t, y: y / 0, torch.ones(3), torch.tensor([2.0]))
    torch.testing.assert_close(y, torch.ones(1, 3))
    assert nodekit.odeint(lambda t, y: y, 1.0, 0.0).shape == (1,)


def test_backwards_in_time_is_the_inverse():
    y0 = torch.tensor([0.3, -1.2], dtype=torch.float64)

    def func(t, y):
        return torch.sin(y) * (1 + t)

    there = nodekit.odeint(func, y0, T)
    back = nodekit.odeint(func, there[-1], T.flip(0))
    close(back.flip(0), there, 1e-6)


def test_tolerances_of_complex_components_hold_for_both_of_their_parts():
    """A component that stands still may ask for any accuracy: the one that turns decides the steps."""
    turning = torch.tensor([0j, 30j], dtype=torch.complex128)
    y0 = torch.ones(2, dtype=torch.complex128)

    def accepted(y0, tolerance):
        func = partial(tree_map, lambda part: turning * part)
        return nodekit.solve(lambda t, y: func(y), y0, T, rtol=tolerance, atol=tolerance).stats.accepted

    loose, tight = (torch.tensor([a, b], dtype=torch.float64) for a, b in ((1e-12, 1e-2), (1e-2, 1e-12)))
    assert 20 * accepted(y0, loose) < accepted(y0, tight)
    assert accepted((y0,), (loose,)) == accepted(y0, loose) == accepted(y0, lambda t: loose)
    with pytest.raises(nodekit.errors.InvalidTolerance, match=r"shape \(3,\), the state \(2,\)"):
        accepted(y0, torch.ones(3))
    y0 = torch.ones(2, 3, dtype=torch.complex128, requires_grad=True)
    tolerance = torch.full((3,), 1e-8, dtype=torch.float64)
    y = nodekit.odeint_adjoint(
        lambda t, y: 1j * y, y0, T, rtol=tolerance, atol=tolerance, adjoint_atol=1e-9, adjoint_params=()
    )
    (found,) = torch.autograd.grad(y[-1].real.sum(), y0)
    close(found, torch.exp(torch.full((2, 3), -1j, dtype=torch.complex128)))


def test_the_layer_takes_and_gives_named_tuples():
    class State(NamedTuple):
        a: torch.Tensor
        b: torch.Tensor

    layer = nodekit.NeuralODE(lambda t, y: State(-y.a, y.b), rtol=1e-7, atol=1e-9)
    y = layer(State(torch.ones(2), torch.ones(3)))
    assert type(y) is State
    close(y.a, torch.full((2,), math.exp(-1)), 1e-5)
    close(y.b, torch.full((3,), math.e), 1e-5)


def test_the_layer_takes_and_gives_tuples():
    class Two(nn.Module):
        def forward(self, t, y):
            return -y[0], y[1]

    a, b = nodekit.NeuralODE(Two(), rtol=1e-7, atol=1e-9)((torch.ones(2), torch.ones(3)))
    close(a, torch.full((2,), math.exp(-1)), 1e-5)
    close(b, torch.full((3,), math.e), 1e-5)


@pytest.mark.parametrize(
    ("y0", "what"),
    [
        (lambda: torch.ones(2, device="meta"), "meta"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8"),
        (lambda: torch.ones(2, dtype=torch.complex32), "complex32"),
    ],
)
@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_the_arithmetic_of_a_solve_are_refused(y0, what, batch):
    with pytest.raises(nodekit.errors.InvalidState, match=what):
        nodekit.odeint(lambda t, y: -y, y0(), [0.0, 1.0], batch=batch)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "backprop"])
@pytest.mark.parametrize("pair", [False, True])
def test_a_state_with_a_gradient_that_is_changed_in_place_is_refused_by_name(gradient, pair):
    y0 = torch.ones(2, dtype=torch.float64, requires_grad=True)

    def func(t, state):
        state[0].mul_(0.5)
        return (-state[0], -state[1]) if pair else -state

    with pytest.raises(nodekit.errors.InvalidDerivative, match="in place"):
        nodekit.odeint(func, (y0, y0) if pair else y0, [0.0, 1.0], gradient=gradient)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "kvaerno5"])
def test_a_numpy_function_may_change_the_array_it_is_given(method):
    """Nobody notices; so it is a copy, as SciPy's functions may have it."""

    def clipped(t, y):
        y[0] = max(y[0], 0.2)
        return -y

    options = {"step_size": 0.25} if method == "rk4" else None
    y = nodekit.odeint(clipped, np.ones(1), [0.0, 3.0], method=method, options=options)[-1, 0]
    # Down to 0.2 at t = ln 5, and then at a speed of 0.2.
    assert y == pytest.approx(0.2 - 0.2 * (3 - math.log(5)), abs=1e-3 if method == "rk4" else 1e-5)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible", "backprop"])
def test_a_state_without_entries_has_a_gradient_of_zero(gradient):
    rate = torch.ones(1, dtype=torch.float64, requires_grad=True)
    y = nodekit.odeint(lambda t, y: -rate * y, torch.ones(0, 3, dtype=torch.float64), T, gradient=gradient)
    y.sum().backward()
    assert rate.grad is None or rate.grad.item() == 0.0
