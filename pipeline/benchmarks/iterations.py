"""One training iteration of the rows D1, D2 and D3: a loss, its solve and its gradient, by nodekit and by its peer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torchdiffeq
from torch import Tensor, nn

import nodekit
from nodekit.flows import HyperPlanarField
from nodekit.latent import LatentODE, RecurrentEncoder, kl_to_standard_normal
from pipeline.benchmarks.small import relative_error, tidy
from pipeline.benchmarks.table import Measured, speedup
from pipeline.benchmarks.timing import interleaved
from pipeline.fit.planes import draw_points
from pipeline.fit.series import draw_spirals
from pipeline.fit.spiral import SpiralNetwork, truth

ADJOINT, BACKPROP = "torchdiffeq adjoint", "torchdiffeq backprop"
# By what a model is solved: (derivative, y0, times) → the states, in the time-first form of both libraries.
Solve = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass
class Iteration:
    """A model, and its loss when solved by something.

    loss: (model, solve) → a number; the same at every call.
    given: the method and tolerances, in words that both libraries understand alike.
    peer: what the peer calls this method, where that differs.
    as_exact: the tolerance at which the gradient is no less exact than the peer's, where that is another one.
    """

    work: str
    model: nn.Module
    loss: Callable[[nn.Module, Solve], Tensor]
    given: dict
    peer: str
    as_exact: float | None = None

    def gradient(self, solve: Callable, **given) -> list[Tensor]:
        """That of every parameter of the model."""
        return self._gradient(self.model, solve, given)

    def exact_gradient(self) -> list[Tensor]:
        """In float64 with far tighter tolerances."""
        tight = {"method": "dopri5", "rtol": 1e-10, "atol": 1e-10}
        return self._gradient(copy.deepcopy(self.model).double(), nodekit.odeint, tight)

    def _gradient(self, model: nn.Module, solve: Callable, given: dict) -> list[Tensor]:
        loss = self.loss(model, lambda derivative, y, times: solve(derivative, y, times, **given))
        return list(torch.autograd.grad(loss, list(model.parameters())))


def spiral() -> Iteration:
    """D1: sixteen pieces of 20 points, each solved from its first."""
    torch.manual_seed(0)
    times = torch.linspace(0, 25, 1000)
    pieces = truth(torch.tensor([2.0, 0.0]), times).unfold(0, 20, 1).permute(2, 0, 1)
    target = pieces[:, torch.randint(pieces.shape[1], (16,))]

    def loss(model: nn.Module, solve: Solve) -> Tensor:
        like = next(model.parameters())
        return (solve(model, target[0].to(like), times[:20].to(like)) - target.to(like)).square().mean()

    return Iteration("spiral, one iteration", SpiralNetwork(), loss, {"method": "rk4_38"}, "rk4")


class Series(nn.Module):
    """The three networks of a latent ODE."""

    def __init__(self):
        super().__init__()
        whole = LatentODE(2)
        self.encoder, self.derivative, self.decoder = RecurrentEncoder(2, 4), whole.derivative, whole.decoder


def latent() -> Iteration:
    """D2: a latent ODE on 200 spirals of which 50 points were seen."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    drawn = draw_spirals(200, 50, random, end=6 * np.pi, points=500, piece=100, noise=0.3)
    times, noise = drawn.seen_times(), torch.randn(200, 4)

    def loss(model: nn.Module, solve: Solve) -> Tensor:
        like = next(model.parameters())
        x, at = drawn.observed.to(like), times.to(like)
        mean, log_variance = model.encoder(x, at, drawn.mask)
        z = solve(model.derivative, mean + torch.exp(log_variance / 2) * noise.to(like), at)
        error = torch.where(drawn.mask[..., None], x - model.decoder(z).movedim(0, -2), 0.0)
        divergence = kl_to_standard_normal(mean, log_variance)
        return (0.5 * (error / 0.3).square().sum((-2, -1)) + divergence).mean()

    given = {"method": "dopri5", "rtol": 1e-5, "atol": 1e-5}
    return Iteration("latent ODE, one iteration", Series(), loss, given, "dopri5", as_exact=1e-6)


class WithTrace(nn.Module):
    """A planar field with its trace as one more coordinate."""

    def __init__(self):
        super().__init__()
        self.field = HyperPlanarField(2)

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        """The slope (…, 3) at states (…, 3)."""
        velocity, trace = self.field.with_trace(t, state[..., :-1])
        return torch.cat((velocity, trace[..., None]), dim=-1)


def flow() -> Iteration:
    """D3: the likelihood of 512 points of two moons under a continuous flow."""
    torch.manual_seed(0)
    points = draw_points("moons", 512, 0.08, 0)

    def loss(model: nn.Module, solve: Solve) -> Tensor:
        like = next(model.parameters())
        start = torch.cat((points, points.new_zeros(len(points), 1)), dim=-1).to(like)
        end = solve(model, start, torch.tensor([0.0, 1.0]).to(like))[-1]
        return (0.5 * end[:, :-1].square().sum(-1) - end[:, -1]).mean()

    given = {"method": "dopri5", "rtol": 1e-5, "atol": 1e-5}
    return Iteration("continuous flow, one iteration", WithTrace(), loss, given, "dopri5")


ITERATIONS = {"spiral": spiral, "latent": latent, "flow": flow}


def measure(seconds: float) -> tuple[dict[str, Measured], pd.DataFrame]:
    """The goals of the three iterations, by default and compiled, against the faster of the peer's two gradients.

    Args:
        seconds: to spend on each comparison.
    """
    found, samples = {}, []
    for name, make in ITERATIONS.items():
        iteration = make()
        peer = {**iteration.given, "method": iteration.peer}
        runs = {
            "nodekit": lambda i=iteration: i.gradient(nodekit.odeint, **i.given),
            "nodekit, compiled": lambda i=iteration: i.gradient(nodekit.odeint, **i.given, compile=True),
            ADJOINT: lambda i=iteration, peer=peer: i.gradient(torchdiffeq.odeint_adjoint, **peer),
            BACKPROP: lambda i=iteration, peer=peer: i.gradient(torchdiffeq.odeint, **peer),
        }
        equal = f"nodekit, tolerance {iteration.as_exact:g}" if iteration.as_exact else None
        if equal:
            tight = {**iteration.given, "rtol": iteration.as_exact, "atol": iteration.as_exact}
            runs[equal] = lambda i=iteration, given=tight: i.gradient(nodekit.odeint, **given)
        reference = iteration.exact_gradient()
        errors = {series: relative_error(run(), reference) for series, run in runs.items()}
        times = interleaved(runs, seconds)
        faster = times[[ADJOINT, BACKPROP]].median().idxmin()
        found[f"{name}_iteration"] = speedup(times, "nodekit", faster, errors)
        found[f"{name}_iteration_compiled"] = speedup(times, "nodekit, compiled", faster, errors)
        if equal:
            found[f"{name}_iteration_equal_error"] = speedup(times, equal, faster, errors)
        samples.append(tidy(times, iteration.work))
    return found, pd.concat(samples)
