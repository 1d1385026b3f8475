"""A program written for torchdiffeq runs after changing its import line, and gets the same answers."""

import pytest
import torch
import torchdiffeq
from fields import Field

import nodekit

T = torch.linspace(0.0, 2.0, 7, dtype=torch.float64)
Y0 = torch.tensor([[2.0, 0.0], [0.5, -1.0]], dtype=torch.float64)
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)
BOTH = pytest.mark.parametrize("library", [nodekit, torchdiffeq], ids=lambda library: library.__name__)


def spiral(t, y):
    return torch.sin(y) @ A * torch.cos(t)


class Growing(Field):
    def forward(self, t, y):
        return self.net(y) * (1 + t)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(name, name) for name in ("euler", "midpoint", "heun2", "heun3")] + [("rk4", "rk4_38")],
)
@pytest.mark.parametrize("options", [None, {"step_size": 0.1}, {"step_size": 0.15, "interp": "cubic"}])
def test_fixed_steps_agree_to_rounding(theirs, ours, options):
    a = torchdiffeq.odeint(spiral, Y0, T, method=theirs, options=options)
    linear = {**(options or {}), "interp": (options or {}).get("interp", "linear")}
    b = nodekit.odeint(spiral, Y0, T, method=ours, options=linear)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun"])
@pytest.mark.parametrize("flip", [False, True])
def test_adaptive_steps_agree_to_the_tolerance(method, flip):
    t = T.flip(0) if flip else T
    a = torchdiffeq.odeint(spiral, Y0, t, rtol=1e-10, atol=1e-12, method="dopri8")
    b = nodekit.odeint(spiral, Y0, t, rtol=1e-5, atol=1e-6, method=method)
    torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


def test_the_adaptive_solve_needs_no_more_evaluations_and_is_no_less_accurate():
    reference = torchdiffeq.odeint(spiral, Y0, T, rtol=1e-11, atol=1e-13)
    counts, errors = {}, {}
    for library in (nodekit, torchdiffeq):
        calls = 0

        def counted(t, y):
            nonlocal calls
            calls += 1
            return spiral(t, y)

        y = library.odeint(counted, Y0, T, rtol=1e-6, atol=1e-8)
        counts[library], errors[library] = calls, (y - reference).abs().max()
    assert counts[nodekit] <= counts[torchdiffeq]
    assert errors[nodekit] <= 1.1 * errors[torchdiffeq]


@pytest.mark.parametrize(
    "adjoint",
    [
        {},
        {"adjoint_options": {"norm": "seminorm"}},
        {"adjoint_rtol": 1e-8, "adjoint_atol": 1e-9},
        {"adjoint_method": "bosh3", "adjoint_rtol": 1e-7, "adjoint_atol": 1e-7},
        {"adjoint_options": {"norm": lambda parts: max(part.abs().max() for part in parts if part.numel())}},
    ],
)
def test_odeint_adjoint_takes_the_same_arguments(adjoint):
    field, y0 = Growing(size=2), Y0.clone().requires_grad_()
    gradients = []
    for library in (nodekit, torchdiffeq):
        y = library.odeint_adjoint(field, y0, T, **adjoint)
        gradients.append(torch.autograd.grad(y.square().sum(), [y0, *field.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@BOTH
def test_adjoint_parameters_must_be_named_unless_func_is_a_module(library):
    with pytest.raises((ValueError, nodekit.errors.GradientUnavailable)):
        library.odeint_adjoint(spiral, Y0, T)
    y0 = Y0.clone().requires_grad_()
    rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = library.odeint_adjoint(lambda t, y: rate * y, y0, T, adjoint_params=(rate,))
    (found,) = torch.autograd.grad(y.sum(), rate)
    torch.testing.assert_close(found, (Y0.sum() * T * torch.exp(0.5 * T)).sum(), rtol=1e-6, atol=1e-6)


@BOTH
def test_callbacks_see_every_step(library):
    class Watched(Growing):
        def __init__(self):
            super().__init__(size=2)
            self.seen = []

        def callback_step(self, t0, y0, dt):
            self.seen.append(("step", t0.item(), tuple(y0.shape)))

        def callback_accept_step(self, t0, y0, dt):
            self.seen.append(("accept", t0.item(), dt.item()))

        def callback_reject_step(self, t0, y0, dt):
            self.seen.append(("reject", t0.item(), dt.item()))

        def callback_step_adjoint(self, t0, y0, dt):
            self.seen.append(("adjoint", len(y0)))

    field = Watched()
    y0 = Y0.clone().requires_grad_()
    y = library.odeint_adjoint(field, y0, T, options={"first_step": 1.0})
    kinds = [entry[0] for entry in field.seen]
    assert kinds.count("step") == kinds.count("accept") + kinds.count("reject")
    assert kinds.count("reject") >= 1
    assert field.seen[0] == ("step", 0.0, (2, 2))
    y.sum().backward()
    assert [entry[0] for entry in field.seen].count("adjoint") > 0


def test_step_t_and_jump_t_are_landed_on():
    times = []

    def func(t, y):
        times.append(t.item())
        return torch.where(t < 0.7, y, -y)

    y0 = torch.ones(1, dtype=torch.float64)
    jump = {"step_t": torch.tensor([0.3]), "jump_t": torch.tensor([0.7], dtype=torch.float64)}
    y = nodekit.odeint(func, y0, T[:4], rtol=1e-9, atol=1e-11, options=jump)
    exact = torch.exp(torch.where(T[:4] < 0.7, T[:4], 1.4 - T[:4]))
    torch.testing.assert_close(y[:, 0], exact, rtol=1e-8, atol=0)
    assert torch.tensor(0.3).item() in times
    assert 0.7 not in times  # evaluated on either side, never on the jump
    assert min(t for t in times if t > 0.7) - 0.7 < 1e-15
    assert 0.7 - max(t for t in times if t < 0.7) < 1e-15


def test_perturb_moves_the_ends_of_fixed_steps_inside():
    times = []

    def func(t, y):
        times.append(t.item())
        return y

    options = {"perturb": True, "step_size": 0.5}
    nodekit.odeint(func, torch.ones(1), torch.tensor([0.0, 1.0]), method="heun", options=options)
    assert 0.5 not in times
    assert 1.0 not in times
    assert max(times) > 1 - 1e-6


def test_grid_constructor_and_min_and_max_step():
    def grid(func, y0, t):
        return torch.cat([t[:1], torch.tensor([0.1, 0.5, 1.7], dtype=t.dtype), t[-1:]])

    for t in (T[[0, -1]],):
        a = torchdiffeq.odeint(spiral, Y0, t, method="midpoint", options={"grid_constructor": grid})
        b = nodekit.odeint(spiral, Y0, t, method="midpoint", options={"grid_constructor": grid})
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    steps = nodekit.solve(spiral, Y0, T[[0, -1]], options={"max_step": 0.01}).stats
    assert steps.accepted >= 200
    steps = nodekit.solve(spiral, Y0, T[[0, -1]], options={"min_step": 0.5}).stats
    assert steps.accepted <= 5


def test_options_of_the_other_kind_of_steps_warn():
    with pytest.warns(UserWarning, match="first_step"):
        nodekit.odeint(spiral, Y0, T, method="euler", options={"first_step": 0.1})


@BOTH
def test_tuples_with_a_norm_of_their_own(library):
    seen = []

    def norm(parts):
        seen.append(len(parts))
        return max(part.abs().max() for part in parts)

    a, b = library.odeint(
        lambda t, y: (-y[0], y[1] * 0.5), (torch.ones(2), torch.ones(3)), torch.tensor([0.0, 1.0]),
        rtol=(1e-5, 1e-6), atol=1e-7, method="dopri5", options={"norm": norm},
    )  # fmt: skip
    torch.testing.assert_close(a[-1], torch.full((2,), 0.36788), rtol=1e-4, atol=0)
    torch.testing.assert_close(b[-1], torch.full((3,), 1.64872), rtol=1e-4, atol=0)
    assert set(seen) == {2}


@BOTH
def test_the_dense_solution_is_a_function_of_time(library):
    y0 = Y0.clone().requires_grad_()
    solution = library.odeint_dense(spiral, y0, T[0], T[-1], rtol=1e-9, atol=1e-10)
    reference = torchdiffeq.odeint(spiral, y0, T, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(solution(T[3]), reference[3], rtol=1e-5, atol=1e-6)
    (found,) = torch.autograd.grad(solution(T[3]).sum(), y0)
    (expected,) = torch.autograd.grad(reference[3].sum(), y0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_dense_solution_takes_many_times_any_state_and_differentiates_by_time():
    solution = nodekit.odeint_dense(lambda t, y: (y[1], -y[0]), (torch.zeros(1).double(), torch.ones(1).double()), 0, 2)
    t = torch.tensor([0.1, 1.3], dtype=torch.float64, requires_grad=True)
    sine, _ = solution(t)
    torch.testing.assert_close(sine[:, 0], torch.sin(t), rtol=1e-6, atol=1e-6)
    (found,) = torch.autograd.grad(sine.sum(), t)
    torch.testing.assert_close(found, torch.cos(t).detach(), rtol=1e-6, atol=1e-6)
    with pytest.raises(nodekit.errors.InvalidTimes, match="outside"):
        solution(3.0)
