"""Peak memory is what a computation provably holds, and the same every time."""

import torch

import nodekit
from pipeline.runs.memory import peak_memory

FLOAT = 4


def test_what_is_released_is_not_counted_with_what_comes_after():
    def computation():
        a = torch.zeros(1000)
        b = a + 1
        del a
        return b * 2

    assert peak_memory(computation) == 2 * 1000 * FLOAT


def test_views_and_changes_in_place_take_no_memory():
    x = torch.zeros(1000)
    assert peak_memory(lambda: x.view(10, 100).t().add_(1)) == 0


def test_what_autograd_keeps_is_counted():
    y0 = torch.randn(1000, requires_grad=True)

    def computation(layers):
        y = y0
        for _ in range(layers):
            y = y.tanh()
        torch.autograd.grad(y, y0, torch.ones_like(y))

    grown = peak_memory(lambda: computation(20)) - peak_memory(lambda: computation(10))
    assert grown == 10 * 1000 * FLOAT


def test_a_solve_and_its_gradient_take_the_same_every_time():
    y0 = torch.randn(100, requires_grad=True)

    def computation():
        t = torch.tensor([0.0, 1.0])
        nodekit.odeint(
            lambda t, y: y.sin(), y0, t, method="dopri5", rtol=1e-3, atol=1e-3, gradient="adjoint"
        ).sum().backward()

    assert len({peak_memory(computation) for _ in range(3)}) == 1
