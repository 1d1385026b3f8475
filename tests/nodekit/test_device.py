"""Solves on a device that the host waits for: a stand-in's, on machines without a GPU.

They come to the CPU's numbers, mix no devices, and wait as often as `docs/gpu.md` says.
"""

import pytest
import torch
from torch import nn

import nodekit
from nodekit import METHODS, Event, Forcing
from nodekit.flows import ContinuousFlow, HyperPlanarField, MLPField, PlanarFlow
from nodekit.latent import LatentODE
from tests.stand_in_device import CUDA, stand_in

SHARED = ["backprop", "checkpoint", "adjoint", "interpolated"]
INDEPENDENT = ["backprop", "checkpoint", "adjoint"]
METHODS_OF_EVERY_KIND = ["rk4", "dopri5", "dopri8", "explicit_adams", "implicit_midpoint", "kvaerno5", "auto"]
OWN_TIMES = [[0.0, 0.3, 1.0], [0.0, 0.5, 0.7], [0.0, 0.4, torch.nan], [0.0, 0.1, 0.9]]


class Field(nn.Module):
    """A small network whose slopes depend on the time."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)).double()

    def forward(self, t, y):
        return self.net(y) * torch.cos(t) - y


class Found:
    """What a computation gives, its gradients, and how often the host waited for the device, forward and backward.

    Args:
        device: the stand-in; None: the CPU.
        compute: the computation, of a solution or of a tensor.
        leaves: to differentiate by.
        also: of the solution, what else there is to compare and to differentiate.
    """

    def __init__(self, device, compute, leaves, also=lambda result: []):
        if device:
            device.forget()
        self.result = compute()
        solution = isinstance(self.result, nodekit.Solution)
        numbers = [self.result.y if solution else self.result, *also(self.result)]
        self.forward = device and device.syncs
        sum(x.square().nansum() for x in numbers).backward()
        self.backward = device and device.syncs - self.forward
        self.numbers = [x.detach().cpu() for x in (*numbers, *(leaf.grad for leaf in leaves))]
        if solution:  # how many steps were tried, in a batch of equal samples by each
            stats = self.result.stats
            self.attempts = int(torch.as_tensor(stats.accepted + stats.rejected).max())


def on(device):
    """The device that a stand-in is; the CPU, if it is None."""
    return CUDA if device else torch.device("cpu")


def solved(device, method, gradient="checkpoint", *, field=None, t=(0.0, 1.0), leaves=(), also=lambda s: [], **more):
    """A solve of four equal samples by a small network; leaves beside the state's and the network's."""
    torch.manual_seed(1)
    module = (field or Field()).to(on(device))
    y0 = torch.randn(1, 3).repeat(4, 1).to(next(module.parameters())).requires_grad_()
    if not METHODS[method].adaptive:
        more = {"options": {"step_size": 0.125}} | more
    arguments = {"rtol": 1e-5, "atol": 1e-5, "method": method, "gradient": gradient} | more
    return Found(device, lambda: nodekit.solve(module, y0, t, **arguments), [y0, *module.parameters(), *leaves], also)


def alike(compute):
    """`compute(device)` on the device, where it comes to what it comes to on the CPU."""
    expected = compute(None)
    with stand_in() as device:
        found = compute(device)
    torch.testing.assert_close(found.numbers, expected.numbers, rtol=1e-9, atol=1e-10, equal_nan=True)
    return found


def on_device(*arguments, **more):
    with stand_in() as device:
        return solved(device, *arguments, **more)


def test_the_stand_in_refuses_what_a_gpu_refuses():
    with stand_in() as device:
        x, number = torch.ones(2, 3, device="cuda"), torch.tensor(2.0)
        assert x.device.type == "cuda"
        assert x.is_cuda
        assert (x * number).device == CUDA
        for meeting in (
            lambda: x + torch.ones(3),
            lambda: torch.stack([x[0, 0], number]),
            lambda: number.add_(x[0, 0]),
            lambda: nn.Linear(3, 1)(x),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                meeting()
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()
        assert device.syncs == 0


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x[0, 0].item(),
        lambda x: x.tolist(),
        lambda x: bool((x > 0).all()),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.cpu(),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.ones(2).to(x),
    ],
    ids=["item", "tolist", "bool", "nonzero", "mask", "cpu", "tensor", "to"],
)
def test_the_stand_in_counts_what_a_gpu_waits_for(waiting):
    with stand_in() as device:
        x = torch.ones(2, 3, device="cuda")
        waiting(x)
        assert device.syncs == 1


@pytest.mark.parametrize("gradient", SHARED)
@pytest.mark.parametrize("method", METHODS_OF_EVERY_KIND)
def test_a_device_finds_what_the_cpu_finds(method, gradient):
    alike(lambda device: solved(device, method, gradient, t=[0.0, 0.3, 0.5, 1.0]))


@pytest.mark.parametrize("method", ["reversible_midpoint", "alf", "rk4"])
def test_a_device_finds_what_the_cpu_finds_backwards_in_constant_memory(method):
    alike(lambda device: solved(device, method, "reversible", t=[0.0, 0.5, 1.0]))


@pytest.mark.parametrize("gradient", INDEPENDENT)
@pytest.mark.parametrize("method", ["rk4", "dopri5", "kvaerno5"])
def test_a_device_finds_what_the_cpu_finds_for_independent_samples(method, gradient):
    alike(lambda device: solved(device, method, gradient, t=torch.tensor(OWN_TIMES), batch="independent"))


def test_each_independent_sample_chooses_between_methods_on_a_device():
    alike(lambda device: solved(device, "auto", t=torch.tensor(OWN_TIMES), batch="independent"))


@pytest.mark.parametrize("gradient", SHARED)
def test_times_may_be_on_the_device_and_have_gradients(gradient):
    def compute(device):
        t = torch.tensor([0.0, 0.4, 1.0], device=on(device), requires_grad=True)
        return solved(device, "dopri5", gradient, t=t, leaves=[t])

    alike(compute)


def fixed(gradient, method):
    """(forward, backward) synchronisations of few steps and of many."""
    return [
        (found.forward, found.backward)
        for size in (0.25, 0.0625)
        for found in [on_device(method, gradient, options={"step_size": size})]
    ]


@pytest.mark.parametrize("method", ["euler", "rk4", "explicit_adams", "alf"])
@pytest.mark.parametrize("gradient", SHARED)
def test_steps_of_a_fixed_grid_wait_for_nothing(method, gradient):
    few, many = fixed(gradient, method)
    assert many == few


def test_steps_of_a_fixed_grid_wait_for_nothing_backwards_in_constant_memory():
    few, many = fixed("reversible", "midpoint")
    assert many == few


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_a_solve_on_a_fixed_grid_waits_three_times_and_its_exact_gradient_never(gradient):
    """For the nodes and the points, which it sends, and to see whether the state at the end is finite."""
    found = on_device("rk4", gradient)
    assert (found.forward, found.backward) == (3, 0)
    unchecked = on_device("rk4", gradient, options={"step_size": 0.125, "check_finite": False})
    assert (unchecked.forward, unchecked.backward) == (2, 0)


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8"])
@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_an_adaptive_step_waits_once_and_its_exact_gradient_never(method, gradient):
    """Besides, a solve sends the nodes, and asks for three numbers to choose its first step."""
    for tolerance in (1e-2, 1e-6):
        found = on_device(method, gradient, rtol=tolerance, atol=tolerance)
        assert (found.forward, found.backward) == (found.attempts + 4, 0)
    assert found.attempts > 1


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_an_adaptive_step_of_a_backward_solve_waits_once_and_once_for_the_parameters(gradient):
    field, attempts = Field(), []
    field.callback_step_adjoint = field.callback_accept_step_adjoint = lambda t, y, dt: attempts.append(t)
    for tolerance in (1e-2, 1e-6, 1e-8):
        attempts.clear()
        found = on_device("dopri5", gradient, rtol=tolerance, atol=tolerance, field=field)
        # Where the parameters' error is looked into, it waits for what comes out.
        assert 0 <= found.backward - len(attempts) <= 10
    assert len(attempts) >= 20


def test_a_step_that_chooses_between_methods_waits_twice():
    found = on_device("auto")
    assert found.forward == 2 * found.attempts + 4


def test_output_times_within_steps_wait_for_nothing_but_their_weights():
    inside = on_device("dopri5", "backprop", t=[0.0, *torch.linspace(0.01, 0.02, 5).tolist(), 1.0])
    assert inside.forward <= inside.attempts + 4 + 2
    assert inside.backward == 0


@pytest.mark.parametrize("gradient", ["backprop", "checkpoint"])
def test_a_round_of_independent_samples_waits_once(gradient):
    extra = set()
    for tolerance in (1e-2, 1e-6):
        found = on_device("dopri5", gradient, rtol=tolerance, atol=tolerance, batch="independent")
        extra.add(found.forward - found.attempts)
        assert found.backward == 0
    assert found.attempts > 1
    assert len(extra) == 1


@pytest.mark.parametrize("gradient", INDEPENDENT)
def test_fixed_steps_of_independent_samples_wait_for_nothing(gradient):
    _, few, many = (  # the first, since a method still has on the device what it sent last, perhaps in another test
        on_device("rk4", gradient, options={"step_size": size}, batch="independent", t=[0.0, 0.3, 1.0])
        for size in (0.0625, 0.25, 0.0625)
    )
    assert many.forward == few.forward
    assert many.backward == few.backward


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_a_step_under_the_eye_of_an_event_waits_once_more(method):
    never = Event(lambda t, y: y[0, 0] + 100)
    watched, alone = (on_device(method, "backprop", t=[0.0, 0.5, 1.0], events=events) for events in ([never], []))
    # Once at the start, and the places at which each step is looked at are sent once.
    assert watched.forward - alone.forward <= watched.attempts + 3
    assert watched.backward == 0


@pytest.mark.parametrize("gradient", INDEPENDENT)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("change", [None, lambda t, y: -0.5 * y], ids=["end", "change"])
def test_events_happen_on_a_device_as_on_the_cpu(method, gradient, change):
    def compute(device):
        level = torch.tensor(0.3, dtype=torch.float64, device=on(device), requires_grad=True)
        event = Event(lambda t, y: y[0, 1].abs() - level, change=change, max_count=1 if change else None)
        found = solved(
            device, method, gradient, t=[0.0, 0.01, 2.0], events=[event], leaves=[level], also=lambda s: [s.events.t]
        )
        assert len(found.result.events.index) == 1
        return found

    alike(compute)


@pytest.mark.parametrize("gradient", INDEPENDENT)
def test_independent_samples_have_events_on_a_device(gradient):
    def compute(device):
        level = torch.tensor([0.1, 0.3, 0.5, 9.0], device=on(device))
        event = Event(lambda t, y: y[:, 1].abs() - level)
        more = {"events": [event], "t": [0.0, 0.01, 2.0], "batch": "independent"}
        found = solved(device, "dopri5", gradient, also=lambda s: [s.events.t], **more)
        assert found.result.events.t.isfinite().any()
        return found

    alike(compute)


@pytest.mark.parametrize("gradient", SHARED)
def test_autocast_surrounds_the_derivative_in_both_passes(gradient):
    seen, options = [], {"step_size": 0.25} | ({"graph_bytes": 0} if gradient == "checkpoint" else {})

    class Watching(Field):
        def forward(self, t, y):
            slope = self.net(y)
            seen.append(slope.dtype)
            return slope - y

    with stand_in() as device:
        exact = solved(device, "rk4", gradient, field=Watching().float(), options=options)
        seen.clear()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            found = solved(device, "rk4", gradient, field=Watching().float(), options=options)
    assert set(seen) == {torch.bfloat16}
    torch.testing.assert_close(found.numbers, exact.numbers, rtol=0.1, atol=0.1)


def test_dropout_is_replayed_from_the_generator_of_the_device():
    results = []
    for kept in (0, 2**30):  # bytes of graphs: no step is taken again where all are kept
        with stand_in() as device:
            found = solved(device, "rk4", field=Field(dropout=0.5), options={"step_size": 0.25, "graph_bytes": kept})
            results.append([*found.numbers, device.random])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


def test_a_slope_on_another_device_is_refused_by_name():
    with stand_in() as device, pytest.raises(nodekit.errors.InvalidDerivative, match="is on cpu, the state is on cuda"):
        solved(device, "rk4", field=type("Elsewhere", (Field,), {"forward": lambda self, t, y: torch.zeros(4, 3)})())


@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_failures_on_a_device_have_their_names(method, batch):
    field = type("Broken", (Field,), {"forward": lambda self, t, y: super(type(self), self).forward(t, y) / (t < 0.5)})
    with stand_in() as device, pytest.raises(nodekit.errors.SolveFailed, match="infinite or not a number"):
        solved(device, method, field=field(), batch=batch)


def modelled(device, module, compute):
    """`compute(module, where)` with a module of its own weights, on the device or the CPU."""
    module = module().double().to(on(device))
    return Found(device, lambda: compute(module, lambda x: x.to(on(device))), list(module.parameters()))


def drawn(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "flow",
    [
        lambda: ContinuousFlow(MLPField(2, (8,))),
        lambda: ContinuousFlow(HyperPlanarField(2, 4, 8), gradient="adjoint"),
        lambda: ContinuousFlow(MLPField(2, (8,)), method="rk4", options={"step_size": 0.25}),
        lambda: PlanarFlow(2, 3),
    ],
    ids=["mlp", "planar field", "fixed", "planar flow"],
)
def test_flows_have_densities_and_samples_on_a_device(flow):
    def made():
        torch.manual_seed(0)
        return flow()

    def compute(module, to):
        density = module.log_prob(to(drawn(5, 2)))
        if isinstance(module, ContinuousFlow):
            assert module.sample(3).device == density.device
        return density

    alike(lambda device: modelled(device, made, compute))


@pytest.mark.parametrize("trace", ["hutchinson", "hutchinson_gaussian"])
def test_the_traces_that_are_estimated_draw_on_the_device(trace):
    with stand_in() as device:
        found = modelled(
            device,
            lambda: ContinuousFlow(MLPField(2, (8,)), trace=trace),
            lambda flow, to: flow.log_prob(to(drawn(5, 2))),
        )
        assert found.result.isfinite().all()
        assert found.backward == 0


@pytest.mark.parametrize("own", [False, True], ids=["shared times", "own times"])
def test_a_latent_ode_trains_and_predicts_on_a_device(own):
    def made():
        torch.manual_seed(0)
        return LatentODE(2)

    def compute(model, to):
        times = torch.linspace(0.0, 1.0, 5)
        times = to(times.expand(3, 5).clone() if own else times)
        mask = torch.ones(3, 5, dtype=torch.bool)
        mask[0, 2] = False
        x, mask = to(drawn(3, 5, 2)), to(mask)
        mean, log_variance = model.encode(x, times, mask)
        assert model.elbo(x, times, mask).isfinite().all()
        later = model.predict(x, times, times[..., 1:] + 0.5, mask)
        return torch.cat([later.flatten(), model.decode(mean, times).flatten(), log_variance.flatten()])

    alike(lambda device: modelled(device, made, compute))


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own times"])
@pytest.mark.parametrize("kind", ["constant", "linear", "cubic"])
def test_a_forcing_drives_a_solve_on_a_device(kind, own):
    def compute(device):
        times = torch.linspace(0.0, 1.0, 5, device=on(device))
        times = times.expand(4, 5).clone() if own else times
        values, y0 = (drawn(*shape).to(on(device)).requires_grad_() for shape in (times.shape, (4, 2)))
        forcing = Forcing(times, values, kind)
        options = {"jump_t" if kind == "constant" else "step_t": forcing.breaks}

        def slope(t, y):
            return forcing(t).reshape(-1, 1) * y

        more = {"options": options, "params": [values], "batch": "independent" if own else "shared"}
        more |= {"rtol": 1e-3, "atol": 1e-3}
        return Found(device, lambda: nodekit.solve(slope, y0, [0.0, 1.0], **more), [y0, values])

    alike(compute)


def test_a_forcing_itself_waits_for_nothing():
    with stand_in() as device:
        forcing = Forcing(torch.linspace(0.0, 1.0, 5, device="cuda"), torch.rand(5, device="cuda"), "cubic")
        t = torch.full((), 0.3, device="cuda")
        device.forget()
        forcing(t)
        assert device.syncs == 0


def test_a_dense_solution_is_evaluated_on_the_device():
    def compute(device):
        return solved(device, "dopri5", dense=True, also=lambda s: [s.dense(torch.tensor([0.2, 0.7]))])

    alike(compute)
