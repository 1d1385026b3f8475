"""State around the derivative: autocast, running statistics and random numbers mean the same in both passes."""

import warnings

import pytest
import torch
from torch import nn

import nodekit


def forward_and_gradient(field, y0, gradient, **more):
    y0 = y0.clone().requires_grad_()
    y = nodekit.odeint(field, y0, torch.tensor([0.0, 1.0]), method="rk4", gradient=gradient, **more)[-1]
    found = torch.autograd.grad(y.square().sum(), [y0, *field.parameters()])
    return y.detach(), torch.cat([g.flatten() for g in found])


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, t, y):
        return torch.tanh(self.norm(self.linear(y)))


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated"])
def test_running_statistics_are_updated_by_the_forward_pass_only(gradient):
    field, y0 = Normalized(), torch.randn(8, 4)
    options = {"step_size": 0.25}
    y = nodekit.odeint(field, y0, torch.tensor([0.0, 1.0]), method="rk4", gradient=gradient, options=options)
    evaluations = field.norm.num_batches_tracked.item()
    assert evaluations == 16 + (gradient == "interpolated")
    before = field.norm.running_mean.clone()
    y.sum().backward()
    assert field.norm.num_batches_tracked.item() == evaluations
    torch.testing.assert_close(field.norm.running_mean, before, rtol=0, atol=0)


class Holding:
    """A plain object with a module, a list of its calls, and a method that calls another."""

    def __init__(self):
        self.net, self.calls = Normalized(), []

    def slope(self, t, y):
        self.calls.append(y)
        return self.inner(t, y)

    def inner(self, t, y):
        return self.net(t, y)


HOLDING = Holding()


@pytest.mark.parametrize("how", ["method", "closure", "global", "script"])
def test_running_statistics_are_updated_once_wherever_the_module_is(how):
    holding = HOLDING if how == "global" else Holding()
    net = torch.jit.script(holding.net) if how == "script" else holding.net
    func = {
        "method": holding.slope,
        "closure": lambda t, y: holding.slope(t, y),
        "global": lambda t, y: HOLDING.slope(t, y),
        "script": net,
    }[how]
    y0 = torch.randn(8, 4, requires_grad=True)
    for solves in (1, 2):
        y = nodekit.odeint(func, y0, [0.0, 1.0], method="rk4", options={"step_size": 0.25})
        before = net.norm.running_mean.clone()
        y.sum().backward()
        assert net.norm.num_batches_tracked.item() == 16 * solves
        torch.testing.assert_close(net.norm.running_mean, before, rtol=0, atol=0)
    assert y0.grad.isfinite().all()


def test_dropout_is_replayed():
    torch.manual_seed(0)
    field = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 4))
    module, y0 = Dropping(field), torch.randn(3, 4)
    results = []
    for gradient in ("backprop", "checkpoint"):
        torch.manual_seed(1)
        results.append(forward_and_gradient(module, y0, gradient, options={"step_size": 0.25}))
        results.append(torch.rand(1))
    torch.testing.assert_close(results[0], results[2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(results[1], results[3])  # and the backward pass left the generator alone


def test_a_continuous_adjoint_warns_of_dropout():
    module = Dropping(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
    with pytest.warns(UserWarning, match="draws"):
        forward_and_gradient(module, torch.randn(3, 4), "adjoint", options={"step_size": 0.25})
    with pytest.raises(nodekit.errors.UnsupportedCombination, match="random"):
        forward_and_gradient(module, torch.randn(3, 4), "reversible", options={"step_size": 0.25})


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_noise_that_is_drawn_once_and_kept_is_no_cause_for_a_warning(gradient):
    """As FFJORD draws its probe, in the first evaluation of a solve; what is drawn in a later one is."""

    class Keeping(Dropping):
        noise, after = None, 0.0

        def forward(self, t, y):
            if self.noise is None and t >= self.after:
                self.noise = torch.randn_like(y)
            return self.net(y) if self.noise is None else self.net(y) * self.noise

    torch.manual_seed(0)
    module = Keeping(nn.Linear(4, 4))
    with warnings.catch_warnings(action="error"):
        kept = forward_and_gradient(module, torch.ones(3, 4), gradient, options={"step_size": 0.05})
    exact = forward_and_gradient(module, torch.ones(3, 4), "backprop", options={"step_size": 0.05})
    torch.testing.assert_close(kept, exact, rtol=1e-4, atol=1e-5)
    late = Keeping(nn.Linear(4, 4))
    late.after = 0.5
    with pytest.warns(UserWarning, match="draws"), pytest.raises(nodekit.errors.DerivativeChanged):
        forward_and_gradient(late, torch.ones(3, 4), gradient, options={"step_size": 0.25})


class Dropping(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, t, y):
        return self.net(y)


class Watching(nn.Module):
    """Records the dtype in which its linear layer works."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.seen = nn.Linear(4, 4), set()

    def forward(self, t, y):
        y = self.linear(y)
        self.seen.add(y.dtype)
        return torch.tanh(y)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible", "backprop"])
def test_autocast_is_honoured_alike_in_both_passes(gradient):
    field = Watching()
    y0 = torch.randn(3, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = nodekit.odeint(field, y0, torch.tensor([0.0, 1.0]), method="rk4", gradient=gradient)
    assert y.dtype == torch.float32
    y.sum().backward()  # outside of autocast
    assert field.seen == {torch.bfloat16}


def test_autocast_does_not_lose_the_gradient_of_later_uses():
    """Weights cast while the solve records no graph must not serve code that does."""
    field = Watching()
    with torch.autocast("cpu", torch.bfloat16):
        y = nodekit.odeint(field, torch.randn(3, 4), torch.tensor([0.0, 1.0]), method="rk4")[-1]
        direct = field.linear(torch.randn(3, 4))
    (found,) = torch.autograd.grad(direct.float().sum(), field.linear.weight)
    assert found.abs().sum() > 0
    (found,) = torch.autograd.grad(y.sum(), field.linear.weight)
    assert found.abs().sum() > 0


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible", "backprop"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_solve_within_torchs_own_checkpoint(gradient, reentrant):
    """What its backward pass saved may be read once there."""
    torch.manual_seed(0)
    field = nn.Linear(3, 3).double()

    def layer(y):
        return nodekit.odeint(lambda t, y: torch.tanh(field(y)), y, [0.0, 0.5, 1.0], method="rk4", gradient=gradient)

    y0 = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    wanted = torch.autograd.grad(layer(y0)[-1].sum(), (y0, *field.parameters()))
    again = torch.utils.checkpoint.checkpoint(layer, y0, use_reentrant=reentrant)[-1].sum()
    again.backward()
    for found, exact in zip((y0.grad, *(x.grad for x in field.parameters())), wanted, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint", "interpolated", "reversible"])
def test_running_statistics_of_a_module_among_the_arguments(gradient):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3)
    y = nodekit.odeint(
        lambda t, y, norm: torch.tanh(norm(y)), torch.randn(5, 3, requires_grad=True), [0.0, 0.5, 1.0], args=(norm,),
        method="rk4", gradient=gradient, options={"graph_bytes": 0},
    )  # fmt: skip
    before = {name: x.clone() for name, x in norm.named_buffers()}
    y[-1].sum().backward()
    for name, x in norm.named_buffers():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0)
