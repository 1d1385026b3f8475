"""The ways in which known programs use torchdiffeq, in small code of our own: the same numbers from both libraries.

Named for what they are like: FFJORD (Grathwohl et al. 2019), PointFlow (Yang et al. 2019), neural_stpp (Chen et al.
2021), SiT (Ma et al. 2024), GRAND (Chamberlain et al. 2021), augmented-neural-odes (Dupont et al. 2019), neuromancer,
stribor, and torchdiffeq's example learn_physics.
"""

import importlib
import math
import warnings

import pytest
import torch
import torchdiffeq
from torch import nn

import nodekit

LIBRARIES = {"nodekit": nodekit, "torchdiffeq": torchdiffeq}
# torchdiffeq's plain odeint differentiates through its choice of the first step: by finite differences, FFJORD's
# gradients are off by 3 %.
FIRST_STEP = {"first_step": 0.01}
ADJOINT = pytest.mark.parametrize("solver", ["odeint", "odeint_adjoint"])


def both(program, rtol, atol=1e-6):
    """Run a program with either library, from the same random state, and compare all the tensors it returns."""
    found = {}
    for name, library in LIBRARIES.items():
        torch.manual_seed(0)
        found[name] = program(library)
    torch.testing.assert_close(found["nodekit"], found["torchdiffeq"], rtol=rtol, atol=atol)
    return found["nodekit"]


def gradients(module):
    return [parameter.grad for parameter in module.parameters()]


class Concatenating(nn.Module):
    """A network whose every layer sees the time as one more input, and a context where there is one."""

    def __init__(self, size, context=0, hidden=8):
        super().__init__()
        self.first, self.last = nn.Linear(size + 1 + context, hidden), nn.Linear(hidden + 1, size)

    def forward(self, t, y, *context):
        t = torch.ones_like(y[:, :1]) * t
        return self.last(torch.cat([torch.tanh(self.first(torch.cat([y, t, *context], 1))), t], 1))


class HutchinsonDynamics(nn.Module):
    """FFJORD's: counts in a buffer, draws its probe in the first evaluation, makes leaves of what it is given."""

    def __init__(self, network):
        super().__init__()
        self.network, self.probe = network, None
        self.register_buffer("evaluations", torch.tensor(0.0))

    def before_odeint(self):
        self.probe = None
        self.evaluations.fill_(0)

    def forward(self, t, states):
        self.evaluations += 1
        y, _, *rest = states
        if self.probe is None:
            self.probe = torch.randn_like(y)
        t = t.clone().detach().requires_grad_(True)
        with torch.set_grad_enabled(True):
            y.requires_grad_(True)
            t.requires_grad_(True)
            for state in rest:
                state.requires_grad_(True)
            velocity = self.network(t, y, *rest)
            (product,) = torch.autograd.grad(velocity, y, self.probe, create_graph=True)
            divergence = (product * self.probe).sum(1, keepdim=True)
        return (velocity, -divergence, *(torch.zeros_like(state).requires_grad_(True) for state in rest))


@ADJOINT
def test_ffjord(solver):
    def program(library):
        dynamics = HutchinsonDynamics(Concatenating(2)).double()
        x, losses = torch.randn(16, 2).double(), []
        descent = torch.optim.SGD(dynamics.parameters(), lr=0.1)
        tolerance = [1e-8, 1e-8] if solver == "odeint" else 1e-8
        for _ in range(2):
            dynamics.before_odeint()
            z, change = getattr(library, solver)(
                dynamics, (x, torch.zeros(16, 1).double()), torch.tensor([0.0, 1.0]).double(),
                atol=tolerance, rtol=tolerance, method="dopri5", options=FIRST_STEP,
            )  # fmt: skip
            evaluations = dynamics.evaluations.item()
            log_density = -0.5 * (z[-1].square() + math.log(2 * math.pi)).sum(1, keepdim=True) - change[-1]
            loss = -log_density.mean()
            descent.zero_grad()
            loss.backward()
            descent.step()
            losses.append(loss.detach())
            assert evaluations > 10
        return losses, gradients(dynamics)

    with warnings.catch_warnings(action="error"):  # among them that of noise drawn anew
        both(program, rtol=1e-5)


@ADJOINT
def test_pointflow(solver):
    """A context as one more state that stands still, and a learned end of the time."""

    def program(library):
        dynamics, encoder = HutchinsonDynamics(Concatenating(3, context=4)).double(), nn.Linear(2, 4).double()
        root = nn.Parameter(torch.tensor(0.9).double())
        x, context = torch.randn(8, 3).double(), encoder(torch.randn(8, 2).double())
        times = torch.stack([torch.zeros_like(root), root * root])
        dynamics.before_odeint()
        states = getattr(library, solver)(
            dynamics, (x, torch.zeros(8, 1).double(), context), times,
            atol=1e-8, rtol=1e-8, method="dopri5", options=FIRST_STEP,
        )  # fmt: skip
        loss = sum(state[-1].square().sum() for state in states)
        loss.backward()
        return loss.detach(), root.grad, gradients(encoder), gradients(dynamics)

    both(program, rtol=1e-5)


@ADJOINT
def test_neural_stpp(solver):
    """Every sample's own span, mapped to [0, 1]; slopes as flat as it likes; one solve after the other."""

    class Spans(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = Concatenating(2)

        def forward(self, s, state):
            start, end, x, _ = state
            t = s * (end - start) + start
            slope = self.network(0.0, x) * torch.cos(t)[:, None] * (end - start)[:, None]
            rate = nn.functional.softplus(x.sum(1)) * (end - start)
            return torch.zeros_like(start), torch.zeros_like(end).reshape(-1, 1), slope.reshape(-1), rate

    def program(library):
        module = Spans()
        x, intensity = torch.zeros(5, 2), torch.zeros(5, 1)
        for ends in torch.rand(3, 5).cumsum(0).unfold(0, 2, 1):
            state = (ends[:, 0], ends[:, 1], x, intensity)
            _, _, x, intensity = getattr(library, solver)(
                module, state, torch.linspace(0.0, 1.0, 4), rtol=1e-6, atol=1e-6, method="dopri5"
            )
            x, intensity = x[-1] + 0.1, intensity[-1]
        (x.square().sum() + intensity.sum()).backward()
        return x.detach(), intensity.detach(), gradients(module)

    both(program, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["dopri5", "euler", "heun3"])
def test_sit(method):
    """Sampling: lists of one tolerance, times from 1 to 0, a time for each sample."""

    def program(library):
        network, x = Concatenating(2), torch.randn(6, 2)
        velocity = lambda t, x: network(torch.ones(len(x), 1) * t, x)  # noqa: E731
        with torch.no_grad():
            return library.odeint(velocity, x, torch.linspace(1, 0, 20), method=method, atol=[1e-6], rtol=[1e-5])

    both(program, rtol=1e-3, atol=1e-4)


@ADJOINT
@pytest.mark.parametrize("method", ["dopri5", "euler"])
def test_grand(solver, method):
    """Its options whatever the method: a step size that an adaptive one ignores, and a name that is none of them."""

    def program(library):
        module, x = Concatenating(3), torch.randn(6, 3)
        options = {"step_size": 0.25, "max_iters": 100}
        more = {"adjoint_method": method, "adjoint_options": dict(options)} if solver == "odeint_adjoint" else {}
        with pytest.warns(UserWarning, match="max_iters"):
            y = getattr(library, solver)(
                module, x, torch.tensor([0.0, 1.0]), method=method, options=options, atol=1e-6, rtol=1e-6, **more
            )
        with warnings.catch_warnings(action="ignore"):
            y[1].square().sum().backward()
        return y.detach(), gradients(module)

    both(program, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("words", ["underflow in dt", "max_num_steps exceeded"])
def test_augmented_neural_odes(words):
    """A run that fails is told by the words of its AssertionError, and training goes on."""

    def program(library):
        explode = words.startswith("underflow")
        slope = (lambda t, y: y**2) if explode else (lambda t, y: torch.sin(1000 * t) * y)
        augmented = torch.cat([torch.ones(4, 2), torch.zeros(4, 3)], 1)
        try:
            library.odeint(
                slope, augmented, torch.tensor([0.0, 2.0]), rtol=1e-3, atol=1e-3, method="dopri5",
                options={"max_num_steps": 1000 if explode else 20},
            )  # fmt: skip
        except AssertionError as failure:
            return torch.tensor(float(words in failure.args[0]))
        return torch.tensor(0.0)

    assert both(program, rtol=0) == 1


def test_neuromancer():
    """Finds the parameters by torchdiffeq's own function, and passes options of its versions before 0.2."""

    def program(library):
        block = Concatenating(2)
        find_parameters = importlib.import_module(f"{library.__name__}._impl.adjoint").find_parameters
        with pytest.warns(UserWarning, match="grid_points"):
            y = library.odeint_adjoint(
                lambda t, y: block(t, y), torch.randn(5, 2), torch.tensor([0.0, 0.1]), rtol=1e-7, atol=1e-9,
                method="dopri5", options={"grid_points": None, "eps": 0.0}, adjoint_params=find_parameters(block),
            )  # fmt: skip
        with warnings.catch_warnings(action="ignore"):
            y[-1].square().sum().backward()
        return y.detach(), gradients(block)

    both(program, rtol=1e-3, atol=1e-5)


@ADJOINT
def test_stribor(solver):
    """An option of its own, a counter in a buffer, and a latent state that only some parameters reach."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.spare = Concatenating(2), nn.Linear(2, 2)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, t, state):
            self.calls += 1
            return self.network(t, state[0]), torch.zeros_like(state[1])

    def program(library):
        module = Counting()
        with pytest.warns(UserWarning, match="solver_step"):
            y, _ = getattr(library, solver)(
                module, (torch.randn(5, 2), torch.randn(5, 3)), torch.tensor([0.0, 0.5, 1.0]), rtol=1e-6, atol=1e-6,
                method="dopri5", options={"solver_step": 0.01},
            )  # fmt: skip
        with warnings.catch_warnings(action="ignore"):
            y[-1].square().sum().backward()
        assert module.calls > 5
        return y.detach(), gradients(module)

    both(program, rtol=1e-3, atol=1e-4)


def test_learn_physics():
    """A ball whose floor is learned: event after event until the time is up, when the event function is zero."""

    def program(library):
        floor = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        gravity = nn.Parameter(torch.tensor(9.81, dtype=torch.float64))
        end = torch.tensor(1.6, dtype=torch.float64)
        dynamics = lambda t, state: (state[1], -gravity + 0 * state[1], torch.zeros_like(state[2]))  # noqa: E731

        def event(t, state):
            return torch.zeros_like(t) if t > end else state[0] - state[2]

        t = torch.tensor(0.0, dtype=torch.float64)
        state, when = (torch.tensor(2.0).double(), torch.tensor(0.0).double(), floor), []
        while t < end and len(when) < 5:
            t, path = library.odeint_event(dynamics, state, t, event_fn=event, atol=1e-8, rtol=1e-8, method="dopri5")
            if t >= end - 1e-3:
                break
            when.append(t)
            position, velocity, _ = (part[-1] for part in path)
            state = (position + 1e-7, -0.8 * velocity, floor)
        when = torch.stack(when)
        when.sum().backward()
        return when.detach(), floor.grad, gravity.grad

    when, *_ = both(program, rtol=1e-5, atol=1e-6)
    first = math.sqrt(2 * (2.0 - 0.3) / 9.81)
    assert when.tolist() == pytest.approx([first, first * 2.6], rel=1e-5)
