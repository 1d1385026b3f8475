"""gradient="checkpoint" keeps the graphs of the steps that fit, and takes the others again."""

import gc

import pytest
import torch

import nodekit
from nodekit._gradients._graphs import saved_bytes

TIMES = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)


def solved(layer, y0, method, step_size, **more):
    options = {"step_size": step_size} if step_size else {}
    options |= more.pop("options", {})
    return nodekit.solve(layer, y0, TIMES, method=method, options=options, rtol=1e-3, atol=1e-3, **more)


class Layer(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.linear = torch.nn.Linear(width, width, dtype=torch.float64)

    def forward(self, t, y):
        return torch.tanh(self.linear(y)) * (1 + t)


@pytest.mark.parametrize(("method", "step_size"), [("euler", 1.0), ("euler", 0.25), ("rk4", 0.25), ("dopri5", None)])
def test_what_fits_is_evaluated_once(method, step_size):
    layer, y0 = Layer(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    solution = solved(layer, y0, method, step_size)
    forward = solution.stats.nfe_forward
    solution.y.sum().backward()
    assert solution.stats.nfe_backward == 0
    assert solution.stats.nfe_forward == forward


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5", "explicit_adams", "implicit_midpoint", "kvaerno5"])
@pytest.mark.parametrize("graph_bytes", [0, 2000, 4000])
def test_kept_and_retaken_steps_have_the_gradient_of_backprop(method, graph_bytes):
    torch.manual_seed(0)
    layer, found = Layer(), {}
    adaptive = method in ("dopri5", "kvaerno5")
    for gradient in ("backprop", "checkpoint"):
        y0 = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
        options = {"graph_bytes": graph_bytes} if gradient == "checkpoint" else {}
        solution = solved(layer, y0, method, None if adaptive else 0.1, gradient=gradient, options=options)
        loss = (solution.y.square() * torch.arange(5.0, dtype=torch.float64).view(-1, 1, 1)).sum()
        first = torch.autograd.grad(loss, [y0, *layer.parameters()], create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), [y0, *layer.parameters()])
        found[gradient] = [*first, *second]
    for one, two in zip(found["checkpoint"], found["backprop"], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_the_graphs_kept_take_no_more_memory_than_allowed():
    """What autograd saves, as its own hooks count it: not much more than the limit, and not much less."""
    layer, y0 = Layer(64), torch.ones(32, 64, dtype=torch.float64, requires_grad=True)
    limit, alive = 2**20, {}

    def pack(x):
        if not isinstance(x, torch.nn.Parameter):
            alive[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        y = nodekit.odeint(
            layer, y0, [0.0, 1.0], method="rk4", options={"step_size": 0.01, "graph_bytes": limit, "checkpoints": 4}
        )
    step = 4 * 4 * 32 * 64 * 8  # four stages, each with about four tensors of the state's size
    assert 0.5 * limit < sum(alive.values()) < limit + 2 * step + 5 * y0.nbytes
    y.sum().backward()


def test_memory_does_not_grow_with_the_steps_once_no_more_graphs_fit():
    layer, y0 = Layer(64), torch.ones(32, 64, dtype=torch.float64, requires_grad=True)

    def tensors_held(steps):
        gc.collect()
        before = sum(isinstance(x, torch.Tensor) and x.numel() >= 2048 for x in gc.get_objects())
        y = nodekit.odeint(
            layer, y0, [0.0, 1.0], method="rk4",
            options={"step_size": 1 / steps, "graph_bytes": 0, "checkpoints": 4},
        )  # fmt: skip
        held = sum(isinstance(x, torch.Tensor) and x.numel() >= 2048 for x in gc.get_objects()) - before
        y.sum().backward()
        return held

    tensors_held(10)
    assert tensors_held(100) < tensors_held(50) + 10


def test_the_bytes_of_a_graph_are_those_its_hooks_see():
    layer, y = Layer(16), torch.ones(4, 16, dtype=torch.float64, requires_grad=True)
    seen = {}

    def pack(x):
        seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        result = layer(torch.ones((), dtype=torch.float64), y) * torch.sin(y)
    parameters = {p.untyped_storage().data_ptr() for p in [*layer.parameters(), y]}
    expected = sum(size for address, size in seen.items() if address not in parameters)
    assert saved_bytes([result], [y], set()) == expected > 0


def test_a_saved_tensor_that_is_changed_in_place_is_noticed():
    scale = torch.ones(2, 3, dtype=torch.float64)
    layer, y0 = Layer(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    y = solved(lambda t, y: layer(t, y) * scale, y0, "rk4", 0.25).y
    scale.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}])
@pytest.mark.parametrize("step_size", [1.0, 0.25])
def test_a_second_backward_pass_gives_the_same_gradient(step_size, options):
    layer, y0 = Layer(), torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    loss = solved(layer, y0, "midpoint", step_size, options=options).y.square().sum()
    first = torch.autograd.grad(loss, [y0, *layer.parameters()], retain_graph=True)
    second = torch.autograd.grad(loss, [y0, *layer.parameters()])
    exact = solved(layer, y0, "midpoint", step_size, gradient="backprop").y.square().sum()
    third = torch.autograd.grad(exact, [y0, *layer.parameters()])
    for one, two, three in zip(first, second, third, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, three, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}])
def test_a_rejected_step_onto_the_end_is_not_the_last_step(options):
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    found = []
    for gradient in ("backprop", "checkpoint"):
        solution = nodekit.solve(
            lambda t, y: -(y**3) + 10 * torch.sin(20 * t), y0, [0.0, 0.02, 5.0], gradient=gradient, throw=False,
            options={"first_step": 5.0, "max_num_steps": 5, **options},
        )  # fmt: skip
        assert isinstance(solution.status, nodekit.errors.MaxStepsReached)
        found.append(torch.autograd.grad(solution.y[1].sum(), y0)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint", "adjoint", "interpolated", "reversible"])
def test_a_solve_without_a_step_has_a_status_and_the_gradient_of_its_start(gradient):
    y0 = torch.ones(1, dtype=torch.float64, requires_grad=True)
    solution = nodekit.solve(
        lambda t, y: -(y**3) + 10 * torch.sin(20 * t), y0, [0.0, 5.0], gradient=gradient, throw=False,
        options={"first_step": 5.0, "max_num_steps": 1},
    )  # fmt: skip
    assert isinstance(solution.status, nodekit.errors.MaxStepsReached)
    assert solution.stats.accepted == 0
    assert solution.y[1].isnan().all()
    (found,) = torch.autograd.grad(solution.y.nan_to_num().sum(), y0)
    assert found.item() == 1
