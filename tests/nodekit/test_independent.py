"""batch="independent": against solving every sample alone, analytic solutions and finite differences."""

import math

import numpy as np
import pytest
import torch
from fields import Field

import nodekit
from nodekit import errors

ADAPTIVE = ["dopri5", "tsit5", "dopri8", "bosh3", "adaptive_heun"]
TIMES = torch.linspace(0.0, 3.0, 7, dtype=torch.float64)


def pendulums(t, y):
    """Elementwise in the samples: nothing of one reaches another."""
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) * (1 + 0.1 * t[:, 0])], 1)


def pendulum_states():
    scale = torch.tensor([[0.1], [1.0], [2.0], [3.0], [30.0]], dtype=torch.float64)
    return torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * scale


def independently(func, y0, t=TIMES, **arguments):
    return nodekit.solve(func, y0, t, batch="independent", **{"rtol": 1e-6, "atol": 1e-8, **arguments})


def gradients(solution, field, y0):
    loss = (solution.y**2 * torch.arange(1.0, 1.0 + len(solution.y)).view(-1, 1, 1)).sum()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [y0, *field.parameters()])])


@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3"])
def test_a_sample_is_solved_as_if_it_were_alone(method):
    y0 = pendulum_states()
    together = independently(pendulums, y0, method=method)
    for i in range(len(y0)):
        alone = independently(pendulums, y0[i : i + 1], method=method)
        torch.testing.assert_close(together.y[:, i], alone.y[:, 0], rtol=1e-12, atol=1e-12)
        assert together.stats.accepted[i] == alone.stats.accepted[0]
        assert together.stats.rejected[i] == alone.stats.rejected[0]
        shared = nodekit.solve(
            lambda t, y: pendulums(t.view(1, 1), y[None])[0], y0[i], TIMES, method=method, rtol=1e-6, atol=1e-8
        )
        torch.testing.assert_close(together.y[:, i], shared.y, rtol=1e-9, atol=1e-9)
        assert together.stats.accepted[i] == shared.stats.accepted


@pytest.mark.parametrize("neighbour", [[0.0, 0.0], [1e4, 1e4], [math.nan, 0.0], [math.inf, 1.0]])
def test_neighbours_change_no_bit(neighbour):
    y0 = pendulum_states()
    before = independently(pendulums, y0).y
    y0[2] = torch.tensor(neighbour)
    after = independently(pendulums, y0, throw=False).y
    others = [0, 1, 3, 4]
    assert torch.equal(before[:, others], after[:, others])


def test_a_stiff_sample_costs_its_neighbours_no_steps():
    rates = torch.tensor([[1.0], [300.0], [2.0]], dtype=torch.float64)
    y0 = torch.ones(3, 1, dtype=torch.float64)
    solution = independently(lambda t, y: -rates * (y - torch.cos(t)), y0)
    alone = independently(lambda t, y: -rates[::2] * (y - torch.cos(t)), y0[::2])
    assert solution.stats.accepted[1] > 10 * solution.stats.accepted[0]
    assert torch.equal(solution.stats.accepted[::2], alone.stats.accepted)
    assert torch.equal(solution.y[:, ::2], alone.y)
    assert (solution.stats.nfe < solution.stats.nfe_forward).tolist() == [True, False, True]
    per_step = (solution.stats.nfe - 2) / (solution.stats.accepted + solution.stats.rejected)
    assert per_step.tolist() == pytest.approx([6, 6, 6], abs=0.5)


def test_every_sample_has_its_own_span_in_its_own_direction():
    ends = torch.tensor([1.0, 5.0, -2.0, 0.3], dtype=torch.float64)
    t = torch.stack([torch.linspace(0, float(end), 6, dtype=torch.float64) for end in ends]) + 0.5
    y0 = torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)
    for method, options in (("dopri5", {}), ("rk4", {"step_size": 0.03}), ("rk4", {})):
        y = independently(lambda t, y: y * torch.cos(t), y0, t, rtol=1e-9, atol=1e-10, method=method, options=options).y
        exact = y0.T * torch.exp(torch.sin(t) - math.sin(0.5)).T
        torch.testing.assert_close(y[..., 0], exact, rtol=0, atol=1e-7 if options or method == "dopri5" else 0.05)


@pytest.mark.parametrize(
    ("method", "options"), [("euler", {"step_size": 0.07}), ("rk4", {}), ("dopri8", {"step_size": 0.4})]
)
def test_fixed_steps_are_those_of_a_shared_solve(method, options):
    field, y0 = Field(), torch.randn(4, 3, dtype=torch.float64)
    found = [
        nodekit.solve(field, y0, TIMES, method=method, options=options, batch=batch).y
        for batch in ("shared", "independent")
    ]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-13)


def blows_up(t, y):
    """y' = y², infinite at t = 1/y₀."""
    return y * y


def test_the_samples_that_fail_are_named_after_the_others_have_arrived():
    y0 = torch.tensor([[0.1], [1 / 1.2], [-1.0], [1 / 2.2]], dtype=torch.float64)
    with pytest.raises(errors.SamplesFailed, match="2 of 4 samples failed") as caught:
        independently(blows_up, y0)
    assert sorted(caught.value.failures) == [1, 3]
    solution = independently(blows_up, y0, throw=False)
    assert not solution.success
    for sample, pole in ((1, 1.2), (3, 2.2)):
        failure = solution.status.failures[sample]
        assert isinstance(failure, errors.StepSizeUnderflow | errors.NonFiniteDerivative)
        assert failure.sample == sample
        assert failure.t == pytest.approx(pole, abs=1e-3)
        reached = pole > TIMES
        exact = 1 / (1 / y0[sample] - TIMES)
        torch.testing.assert_close(solution.y[reached, sample, 0], exact[reached], rtol=1e-3, atol=1e-5)
        assert solution.y[~reached, sample].isnan().all()
    exact = 1 / (1 / y0[[0, 2]].T - TIMES[:, None])
    torch.testing.assert_close(solution.y[:, [0, 2], 0], exact, rtol=1e-5, atol=1e-6)


def test_fixed_steps_name_the_samples_that_are_not_finite_at_their_end():
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0 = torch.tensor([[0.1], [-1.0], [1e8]], dtype=torch.float64)
    solution = independently(lambda t, y: weight * y * y, y0, method="rk4", options={"step_size": 0.1}, throw=False)
    assert list(solution.status.failures) == [2]
    assert solution.y[-1, 2].isnan()
    good = independently(lambda t, y: weight * y * y, y0[:2], method="rk4", options={"step_size": 0.1})
    assert torch.equal(solution.y[:, :2], good.y)
    found = [torch.autograd.grad(y[:, :2].sum(), weight)[0] for y in (solution.y, good.y)]
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_too_many_steps_are_a_status_too():
    rates = torch.tensor([[1.0], [3000.0]], dtype=torch.float64)
    y0 = torch.ones(2, 1, dtype=torch.float64)
    solution = independently(lambda t, y: -rates * y, y0, options={"max_num_steps": 100}, throw=False)
    assert isinstance(solution.status.failures[1], errors.MaxStepsReached)
    assert list(solution.status.failures) == [1]
    assert solution.stats.accepted[1] + solution.stats.rejected[1] == 100
    assert solution.y[-1, 0].item() == pytest.approx(math.exp(-3), abs=1e-5)


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", "heun"])
def test_exact_gradients_agree_with_each_other_and_with_single_solves(method):
    options = {} if nodekit.METHODS[method].adaptive else {"step_size": 0.1}
    field = Field()
    y0 = (torch.randn(4, 3, dtype=torch.float64) * torch.tensor([[0.1], [1], [5], [20]])).requires_grad_()
    arguments = {"method": method, "options": options, "rtol": 1e-5, "atol": 1e-6}
    checkpoint, backprop = (
        gradients(independently(field, y0, gradient=gradient, **arguments), field, y0)
        for gradient in ("checkpoint", "backprop")
    )
    torch.testing.assert_close(checkpoint, backprop, rtol=1e-12, atol=1e-12)
    alone = sum(gradients(nodekit.solve(field, y0[i : i + 1], TIMES, **arguments), field, y0) for i in range(len(y0)))
    torch.testing.assert_close(checkpoint, alone, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("checkpoints", [None, 3])
def test_a_failing_sample_spoils_no_gradient(checkpoints):
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return torch.sqrt(weight - y) - 1  # not a number above the weight

    good = torch.tensor([[0.1], [0.5]], dtype=torch.float64, requires_grad=True)
    bad = torch.tensor([[0.2], [0.9]], dtype=torch.float64)
    found = []
    for y0 in (good, torch.cat([bad[1:], good, bad[1:]])):
        y = independently(func, y0, throw=False, options={"checkpoints": checkpoints} if checkpoints else {}).y
        kept = y if len(y0) == 2 else y[:, 1:3]
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(kept.square().sum(), [good, weight])]))
    assert found[0].isfinite().all()
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"graph_bytes": 0}])
@pytest.mark.parametrize("way", [{}, {"method": "euler", "options": {"step_size": 0.1}}], ids=["adaptive", "fixed"])
def test_gradients_are_refused_where_one_samples_own_data_are_no_numbers(way, options):
    """Whatever state stands in for it, its slope is not a number, and zero times that would be the shared gradient."""
    data = torch.tensor([[1.0], [math.nan], [2.0]], dtype=torch.float64)
    rate, y0 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True), torch.ones(3, 1, dtype=torch.float64)
    way = {**way, "options": {**way.get("options", {}), **options}}
    y = independently(lambda t, y: -rate * data * y, y0, [0.0, 1.0], throw=False, **way).y
    assert y[-1].isfinite().flatten().tolist() == [True, False, True]
    with pytest.raises(errors.GradientUnavailable, match=r"sample = 1"):
        y[-1, [0, 2]].sum().backward()


def test_a_sample_without_a_slope_fails_at_once_as_alone():
    def func(t, y):
        return torch.where(y > 2, math.nan, -y)

    y0 = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    stats = independently(func, y0, throw=False).stats
    assert stats.rejected[1] == nodekit.solve(func, y0[1], TIMES, throw=False).stats.rejected == 1


@pytest.mark.parametrize("gradient", ["checkpoint", "backprop"])
def test_the_graph_of_fixed_steps_is_recorded_as_they_are_taken(gradient):
    way = {"method": "rk4", "options": {"step_size": 0.1}, "gradient": gradient}
    y0 = pendulum_states().requires_grad_()
    solution = independently(pendulums, y0, **way)
    with torch.no_grad():
        assert solution.stats.nfe_forward == independently(pendulums, y0, **way).stats.nfe_forward
    solution.y.sum().backward()
    assert solution.stats.nfe_backward == 0


def test_outputs_before_a_failure_keep_their_gradient():
    y0 = torch.tensor([[0.1], [1.0]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    y = independently(blows_up, y0, t, throw=False, rtol=1e-10, atol=1e-10).y
    assert y[2, 1].isnan()
    (gradient,) = torch.autograd.grad(y[1].sum() + y[2, 0].sum(), y0)
    exact = [1 / (1 - 0.05) ** 2 + 1 / (1 - 0.2) ** 2, 1 / (1 - 0.5) ** 2]
    assert gradient.flatten().tolist() == pytest.approx(exact, abs=1e-7)


def test_gradients_by_state_times_and_parameters_agree_with_finite_differences():
    def outputs(y0, t, weight):
        return independently(lambda t, y: torch.sin(weight * y) + 0.1 * t, y0, t, rtol=1e-10, atol=1e-11).y

    y0 = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    t = torch.tensor([[0.0, 0.4, 1.0], [0.3, -0.2, -1.5]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (y0, t, weight), rtol=1e-5, atol=1e-7, fast_mode=True)
    assert torch.autograd.gradgradcheck(outputs, (y0, t, weight), rtol=1e-4, atol=1e-6, fast_mode=True)


def test_dropout_draws_the_same_in_both_passes():
    field = Field(dropout=0.5)
    y0 = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    found = []
    for gradient in ("checkpoint", "backprop"):
        torch.manual_seed(3)
        solution = independently(field, y0, method="rk4", options={"step_size": 0.5}, gradient=gradient)
        found.append(gradients(solution, field, y0))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_times_broadcast_to_images():
    seen = set()

    def func(t, y):
        seen.add(tuple(t.shape))
        return -t * y

    y0 = torch.randn(3, 2, 4, 4)
    y = nodekit.odeint(func, y0, [0.0, 1.0], batch="independent", rtol=1e-5, atol=1e-6)
    assert seen == {(3, 1, 1, 1)}
    torch.testing.assert_close(y[-1], y0 * math.exp(-0.5), rtol=1e-4, atol=1e-5)


def test_states_of_every_kind_are_solved_independently():
    y0 = {"x": torch.ones(2, 1, dtype=torch.float64), "z": torch.ones(2, 3, dtype=torch.complex128)}
    t = torch.tensor([[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]], dtype=torch.float64)
    y = nodekit.odeint(lambda t, y: {"x": -y["x"], "z": 1j * t * y["z"]}, y0, t, batch="independent")
    assert y["x"].shape == (3, 2, 1)
    torch.testing.assert_close(y["x"][..., 0], torch.exp(-t.T), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(y["z"][..., 2], torch.exp(0.5j * t.T**2), rtol=1e-6, atol=1e-6)
    y = nodekit.odeint(lambda t, y: -y * t, np.ones((2, 1)), [0.0, 1.0], batch="independent")
    assert isinstance(y, np.ndarray)
    assert y[-1] == pytest.approx(math.exp(-0.5), abs=1e-6)
    y = nodekit.odeint(lambda t, y: -y * t, torch.ones(2, dtype=torch.bfloat16), [0.0, 1.0], batch="independent")
    assert y.dtype == torch.bfloat16


def test_tolerances_and_norms_are_each_samples_own():
    y0 = torch.ones(2, 2, dtype=torch.float64)
    rtol = torch.tensor([[1e-3], [1e-9]], dtype=torch.float64)
    stats = independently(lambda t, y: y * torch.cos(t), y0, rtol=rtol, atol=0.0).stats
    assert stats.accepted[1] > 3 * stats.accepted[0]
    shapes = []

    def norm(state):
        shapes.append(state.shape)
        return state.abs().amax()

    independently(lambda t, y: y * torch.cos(t), y0, options={"norm": norm})
    assert set(shapes) == {(2,)}


def test_each_tensor_of_independent_samples_may_have_its_own_tolerance():
    """The second tensor turns, the first decays: the steps follow the tolerance of what turns."""
    y0 = (torch.ones(3, 1, dtype=torch.float64), torch.ones(3, 2, dtype=torch.complex128))

    def accepted(rtol):
        solution = independently(lambda t, y: (-y[0], 20j * y[1]), y0, rtol=rtol, atol=1e-12)
        torch.testing.assert_close(solution.y[0][:, 0, 0], torch.exp(-TIMES), rtol=1e-2, atol=1e-2)
        return solution.stats.accepted

    assert (accepted((1e-3, 1e-9)) > 5 * accepted((1e-3, torch.tensor([1e-3, 1e-4])))).all()


def test_the_layer_solves_samples_independently():
    layer = nodekit.NeuralODE(Field(), batch="independent", rtol=1e-6, atol=1e-6)
    y0 = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(y0)[1:2], layer(y0[1:2]), rtol=1e-12, atol=1e-12)
    assert layer.stats.accepted.shape == (1,)


def test_what_independent_samples_cannot_have_is_said():
    y0 = torch.ones(2, 1, dtype=torch.float64)
    for arguments, error, words in (
        ({"method": "explicit_adams"}, errors.UnsupportedCombination, "explicit or implicit"),
        ({"gradient": "interpolated"}, errors.UnsupportedCombination, "checkpoint"),
        ({"gradient": "adjoint", "adjoint_method": "auto"}, errors.UnsupportedCombination, "backwards"),
        ({"options": {"jump_t": torch.zeros(3, 1)}}, errors.InvalidOption, "jump_t"),
        ({"options": {"jump_t": [[0.5], [0.5, 0.7]]}}, errors.InvalidOption, "NaN"),
        ({"options": {"grid_constructor": max}, "method": "rk4"}, errors.UnsupportedCombination, "grid_constructor"),
        ({"events": [lambda t, y: y], "method": "rk4"}, errors.UnsupportedCombination, "events"),
        ({"dense": True}, errors.UnsupportedCombination, "dense"),
        ({"batch": "apart"}, errors.UnknownOption, "independent"),
        ({"t": torch.zeros(3, 2)}, errors.InvalidTimes, "batch"),
        ({"t": [[0.0, 1.0, 2.0], [1.0, 1.0, 2.0]]}, errors.InvalidTimes, "sample = 1"),
        ({"t": [[0.0, 1.0, 2.0], [0.0, math.nan, 2.0]]}, errors.InvalidTimes, "sample = 1"),
        ({"t": [[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]]}, errors.InvalidTimes, "sample = 1"),
        ({"t": [[0.0, 1.0], [math.nan, math.nan]]}, errors.InvalidTimes, "initial time"),
        ({"t": [[0.0, 1.0], [0.0, math.inf]]}, errors.InvalidTimes, "not finite"),
        ({"t": [[0.0, 1.0], [0.0]]}, errors.InvalidTimes, "NaN"),
        ({"t": [0.0, 1.0, 1.0]}, errors.InvalidTimes, "increasing"),
        ({"t": [0.0, 1.0, math.nan]}, errors.InvalidTimes, "not finite"),
        ({"y0": (y0, torch.ones(3, 1))}, errors.InvalidState, "first dimension"),
        ({"y0": (y0, torch.ones(0, 1))}, errors.InvalidState, "first dimension"),
        ({"y0": torch.ones(())}, errors.InvalidState, "first dimension"),
    ):
        given = {"y0": y0, "t": [0.0, 1.0], "batch": "independent", **arguments}
        with pytest.raises(error, match=words):
            nodekit.solve(lambda t, y: -y, **given)


def balls(t, y):
    return torch.stack([y[:, 1], torch.full_like(y[:, 1], -9.81)], 1)


def test_every_sample_ends_at_its_own_event():
    h = torch.tensor([1.0, 5.0, 20.0, 0.1], dtype=torch.float64, requires_grad=True)
    y0 = torch.stack([h, torch.zeros_like(h)], 1)
    event_t, y = nodekit.odeint_event(balls, y0, 0.0, event_fn=lambda t, y: y[:, 0], batch="independent")
    exact = torch.sqrt(2 * h.detach() / 9.81)
    torch.testing.assert_close(event_t.detach(), exact, rtol=1e-12, atol=1e-12)
    assert y.shape == (2, 4, 2)
    torch.testing.assert_close(y[1, :, 1].detach(), -9.81 * exact, rtol=1e-10, atol=1e-10)
    (gradient,) = torch.autograd.grad(event_t.sum(), h)
    torch.testing.assert_close(gradient, exact / (2 * h.detach()), rtol=1e-9, atol=1e-9)


def test_events_of_independent_samples_are_those_of_single_solves():
    rate = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    level = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def func(t, y):
        return torch.stack([y[..., 1], -rate * torch.sin(y[..., 0]) - 0.1 * y[..., 1]], -1)

    def events(y):
        return [
            nodekit.Event(lambda t, y: y[..., 0] + level, direction=-1),
            nodekit.Event(lambda t, y: y[..., 1] - level, direction=1),
        ]

    y0 = torch.tensor([[1.2, 0.1], [-0.5, 0.0], [0.01, 0.0], [2.5, -0.2]], dtype=torch.float64, requires_grad=True)
    together = independently(func, y0, events=events(y0), rtol=1e-10, atol=1e-11)
    assert together.events.terminated.tolist() == [True, True, False, True]
    losses = []
    for i in range(4):
        alone = nodekit.solve(func, y0[i], TIMES, events=events(y0), rtol=1e-10, atol=1e-11)
        count = len(alone.y)
        torch.testing.assert_close(together.y[:count, i], alone.y, rtol=1e-8, atol=1e-9)
        assert together.y[count:, i].isnan().all()
        if alone.events.terminated:
            assert together.events.index[i] == alone.events.index[0]
            losses.append(alone.events.t.sum() + alone.events.y.square().sum())
    happened = together.events.terminated
    loss = together.events.t[happened].sum() + together.events.y[happened].square().sum()
    inputs = [y0, rate, level]
    for together_gradient, alone_gradient in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(sum(losses), inputs), strict=True
    ):
        torch.testing.assert_close(together_gradient, alone_gradient, rtol=1e-7, atol=1e-8)


def test_gradients_of_independent_events_agree_with_finite_differences():
    def event(y0, t0, level):
        t = torch.stack([t0, torch.full_like(t0, math.inf)], 1)
        solution = nodekit.solve(
            lambda t, y: torch.sin(y) + 0.1 * t, y0, t, events=[lambda t, y: y[:, 0] - level * torch.cos(t[:, 0] / 9)],
            batch="independent", rtol=1e-10, atol=1e-11,
        )  # fmt: skip
        return solution.events.t, solution.events.y

    y0 = torch.tensor([[0.3, 0.1], [0.8, 0.2]], dtype=torch.float64, requires_grad=True)
    t0 = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    level = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(event, (y0, t0, level), rtol=1e-5, atol=1e-7, fast_mode=True)
    assert torch.autograd.gradgradcheck(event, (y0, t0, level), rtol=1e-4, atol=1e-6, fast_mode=True)


def test_samples_without_their_event_are_named():
    y0 = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    arguments = {"event_fn": lambda t, y: y[:, 0] - 2, "batch": "independent"}
    with pytest.raises(errors.SamplesFailed, match="1 of 2") as caught:
        nodekit.odeint_event(lambda t, y: y.abs() * 0 + y.sign(), y0, 0.0, options={"max_num_steps": 40}, **arguments)
    assert isinstance(caught.value.failures[1], errors.EventNotReached)
    with pytest.raises(errors.EventNotReached, match="sample = 1"):
        nodekit.odeint_event(lambda t, y: y.sign(), y0, 0.0, options={"t_max": 4.0}, **arguments)
    event_t, y = nodekit.odeint_event(lambda t, y: y.sign(), y0, 0.0, options={"t_max": 4.0}, throw=False, **arguments)
    assert event_t[0].item() == pytest.approx(1.0)
    assert event_t[1].isnan()
    assert y[1, 1].isnan().all()
    for event in (nodekit.Event(lambda t, y: y[:, 0], False), lambda t, y: y.sum()):
        with pytest.raises((errors.UnsupportedCombination, errors.InvalidEvent), match=r"each sample|ends its sample"):
            independently(blows_up, y0, events=[event])
