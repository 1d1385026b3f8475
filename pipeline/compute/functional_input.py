"""A neural ODE whose input is a function of time (row Q6; thind 5), read by `nodekit.Forcing`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nodekit
from pipeline.runs.columns import Tables, tables
from pipeline.study import Run


def random_functions(count: int, waves: int, draw: np.random.Generator) -> tuple:
    """`count` sums of waves on [0, 1] as coefficients, and the number that is asked of each: ∫ x(t)² dt over [0, 1]."""
    size = 1 / np.arange(1, waves + 1)
    sines, cosines = (draw.normal(size=(count, waves)) * size for _ in range(2))
    # sin and cos of whole periods are orthogonal, each of mean square one half.
    return (sines, cosines), (sines**2 + cosines**2).sum(1) / 2


def values_at(functions: tuple, t: np.ndarray) -> np.ndarray:
    """The functions at times t, shape (times, functions, 1)."""
    sines, cosines = functions
    phase = 2 * np.pi * np.outer(t, np.arange(1, sines.shape[1] + 1))
    return (np.sin(phase) @ sines.T + np.cos(phase) @ cosines.T)[:, :, None]


class ReadFunction(nn.Module):
    """z' = f(z, x(t)) from z(0) = 0, and a number read from z(1)."""

    def __init__(self, states: int, width: int) -> None:
        super().__init__()
        self.states = states
        self.field = nn.Sequential(nn.Linear(states + 1, width), nn.Tanh(), nn.Linear(width, states))
        self.read = nn.Linear(states, 1)

    def forward(self, forcing: nodekit.Forcing) -> Tensor:
        """The numbers (functions,) of the functions that `forcing` holds, values of shape (times, functions, 1)."""
        start = forcing.values.new_zeros(forcing.values.shape[1], self.states)
        t = torch.tensor([0.0, 1.0], dtype=start.dtype)
        options = {"step_size": 0.1}
        slope = lambda t, z: self.field(torch.cat([z, forcing(t)], dim=1))  # noqa: E731
        return self.read(nodekit.odeint(slope, start, t, method="rk4", gradient="backprop", options=options)[-1])[:, 0]


def functional_input(run: Run) -> Tables:
    """Q6: learned from functions at irregular times, asked of new functions at other times.

    `input` is "function", or "constant": the same network given the function's mean for all times.
    """
    given = run.settings.arguments
    torch.manual_seed(run.seed)
    draw = np.random.default_rng(run.seed)

    def observed(count: int) -> tuple[nodekit.Forcing, Tensor, tuple]:
        functions, asked = random_functions(count, given["waves"], draw)
        t = np.sort(np.r_[0.0, draw.uniform(size=given["times"] - 2), 1.0])
        values = values_at(functions, t)
        if given["input"] == "constant":
            values = np.broadcast_to(values.mean(0), values.shape).copy()
        return nodekit.Forcing(t, torch.tensor(values)), torch.tensor(asked), functions

    (forcing, asked, _), (new, truth, functions) = observed(given["functions"]), observed(given["new_functions"])
    network = ReadFunction(given["states"], given["width"]).double()
    descent = torch.optim.Adam(network.parameters(), lr=given["lr"])
    for _ in range(given["iterations"]):
        descent.zero_grad()
        (network(forcing) - asked).square().mean().backward()
        descent.step()
    with torch.no_grad():
        answers = network(new)
    error = (answers - truth).square().mean().sqrt() / truth.std()
    fine = np.linspace(0, 1, 101)
    curves = values_at(functions, fine)[:, : given["shown"], 0]
    history = [pd.DataFrame({"series": "answer", "truth": truth, "answer": answers})]
    for k in range(given["shown"]):
        read = pd.DataFrame({"series": "read", "function": k, "t": new.t, "x": new.values[:, k, 0]})
        history += [pd.DataFrame({"series": "function", "function": k, "t": fine, "x": curves[:, k]}), read]
    return tables(run, history, {"error": (error.item(), "of the standard deviation")})
