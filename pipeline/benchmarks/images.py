"""The MNIST ODE-Net: where the derivative costs, and only fewer evaluations help."""

from __future__ import annotations

import copy
import itertools

import pandas as pd
import torch
import torchdiffeq
from torch import Tensor, nn

import nodekit
from pipeline.benchmarks.small import relative_error, tidy
from pipeline.benchmarks.table import Measured, speedup
from pipeline.benchmarks.timing import interleaved, ratio, ratio_beyond
from pipeline.data import ImageSplits
from pipeline.models.example_networks import ExampleNet
from pipeline.runs.memory import peak_memory
from pipeline.study import Solver

BATCH, TOLERANCE, WARM_UP = 128, 1e-3, 40
LAYERS = "layers around the ODE alone"


class Block(nn.Module):
    """An ODE block solved by any of the libraries."""

    def __init__(self, derivative: nn.Module):
        super().__init__()
        self.derivative, self.solve, self.arguments = derivative, nodekit.odeint, {}

    def forward(self, y: Tensor) -> Tensor:
        """The state at t = 1."""
        times = torch.tensor([0.0, 1.0], dtype=y.dtype)
        return self.solve(self.derivative, y, times, rtol=TOLERANCE, atol=TOLERANCE, **self.arguments)[-1]


class Training:
    """A network part-way through its training on real images, whose next step is measured."""

    def __init__(self, splits: ImageSplits, device: torch.device):
        torch.manual_seed(0)
        network = ExampleNet(Solver(method="dopri5"))
        network.feature = self.block = Block(network.feature.func)
        self.network = network.to(device)
        images = torch.from_numpy(splits.train_images[: BATCH * (WARM_UP + 1)]).to(device)
        labels = torch.from_numpy(splits.train_labels[: BATCH * (WARM_UP + 1)]).to(device)
        self.batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        self.choose(nodekit.odeint, "dopri5")
        for batch in self.batches[:-1]:
            self.step(*batch)

    def choose(self, solve, method: str, **arguments) -> None:
        """By what the block is solved from now on."""
        self.block.solve, self.block.arguments = solve, {"method": method, **arguments}

    def gradient(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """The loss's gradient by every parameter."""
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(self.network(images), labels).backward()
        return [parameter.grad for parameter in self.network.parameters()]

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One training step."""
        self.gradient(images, labels)
        self.optimizer.step()

    def run(self, solve, method: str, **arguments):
        """A function that takes a training step's gradient and update, at a learning rate of nothing.

        The last two batches take turns, so that what is carried over from one solve comes from another batch.
        """
        turns = itertools.cycle(self.batches[-2:])

        def run():
            self.choose(solve, method, **arguments)
            for group in self.optimizer.param_groups:
                group["lr"] = 0.0
            self.step(*next(turns))

        return run

    def reference(self) -> list[Tensor]:
        """The gradient in float64 at a tolerance of 1e-8: on ReLUs' kinks 1e-10 takes ten times as many minutes."""
        exact = copy.copy(self)
        exact.network = copy.deepcopy(self.network).double()
        exact.block = exact.network.feature
        exact.optimizer = torch.optim.SGD(exact.network.parameters(), lr=0.0)
        tight = lambda *given, **more: nodekit.odeint(*given, **{**more, "rtol": 1e-8, "atol": 1e-8})  # noqa: E731
        exact.choose(tight, "dopri5")
        images, labels = self.batches[-1]
        return [x.clone() for x in exact.gradient(images.double(), labels)]


def carrying_first_step():
    """nodekit's solve as `NeuralODE(carry_first_step=True)` calls it."""
    last = {"options": None}

    def solve(derivative, y, times, **given):
        solution = nodekit.solve(derivative, y, times, **given, **last)
        last["options"] = {"first_step": solution.stats.first_step}
        return solution.y

    return solve


def unsolved(derivative, y, times, **given):
    """No solve: the state as it is, so that a step costs what the layers around the ODE do."""
    return y[None]


def own_part(times: pd.DataFrame, peer: str) -> Measured:
    """How many times as fast the ODE itself is, the layers around it subtracted on both sides."""
    value, low, high = ratio_beyond(times, peer, "nodekit", LAYERS)
    medians = times.median() - times[LAYERS].median()
    return Measured(value=value, ci_low=low, ci_high=high, own=medians["nodekit"], peer=medians[peer])


def measure(splits: ImageSplits, seconds: float, device: torch.device) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of the ODE-Net, and the samples of the times.

    Args:
        splits: MNIST.
        seconds: to spend on each comparison.
    """
    training, found, samples = Training(splits, device), {}, []
    adjoint, backprop = "torchdiffeq adjoint", "torchdiffeq backprop"
    for method in ("dopri5", "euler", "rk4"):
        runs = {
            "nodekit": training.run(nodekit.odeint, method),
            adjoint: training.run(torchdiffeq.odeint_adjoint, method),
        }
        if method != "dopri5":
            runs[LAYERS] = training.run(unsolved, method)
        else:
            runs["nodekit, carried"] = training.run(carrying_first_step(), method)
            runs[backprop] = training.run(torchdiffeq.odeint, method)
            reference, errors = training.reference(), {}
            for name, run in runs.items():
                run()
                run()  # on the batch of the reference, with what the first call left to carry over
                errors[name] = relative_error([p.grad for p in training.network.parameters()], reference)
            peaks = {name: peak_memory(runs[name], device) for name in ("nodekit", "nodekit, carried", backprop)}
        times = interleaved(runs, seconds)
        samples.append(tidy(times, f"ODE-Net training step, {method}"))
        if method == "dopri5":
            found["mnist_step_adjoint"] = speedup(times, "nodekit", adjoint, errors)
            found["mnist_step_backprop"] = speedup(times, "nodekit", backprop, errors)
            found["mnist_step_carried"] = speedup(times, "nodekit, carried", adjoint, errors)
            found["mnist_step_carried_backprop"] = speedup(times, "nodekit, carried", backprop, errors)
        else:
            found[f"mnist_step_{method}"] = speedup(times, "nodekit", adjoint)
            found[f"mnist_own_{method}"] = own_part(times, adjoint)
    for goal, name in {"mnist_memory_backprop": "nodekit", "mnist_memory_carried": "nodekit, carried"}.items():
        found[goal] = Measured(value=peaks[name] / peaks[backprop], own=peaks[name], peer=peaks[backprop])
    found["overhead_odenet"] = overhead(training, seconds)
    return found, pd.concat(samples)


def overhead(training: Training, seconds: float) -> Measured:
    """The block's solve over its evaluations alone, forward."""
    images, _ = training.batches[-1]
    derivative = training.block.derivative
    with torch.no_grad():
        y = training.network.downsampling(images)
        given = {"rtol": TOLERANCE, "atol": TOLERANCE, "method": "dopri5"}
        times, t = torch.tensor([0.0, 1.0]), y.new_tensor(0.5)
        count = nodekit.solve(derivative, y, times, **given).stats.nfe_forward

        def alone():
            for _ in range(count):
                derivative(t, y)

        runs = {"nodekit": lambda: nodekit.odeint(derivative, y, times, **given), "evaluations alone": alone}
        value, low, high = ratio(interleaved(runs, seconds), "nodekit", "evaluations alone")
    return Measured(value=value, ci_low=low, ci_high=high)
