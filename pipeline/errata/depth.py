"""Layers and steps: what depth, a step's factor, shared weights and stored activations do."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import nodekit
from pipeline.compute.layer_gradients import first_over_last, gradient_norms
from pipeline.errata.finding import Finding


def layers_without_end(start: float, layers: list[int]) -> Finding:
    """thind 4.1.1: N layers z + f(z), and N layers z + f(z)/N, for f(z) = tanh(1.3z) − 0.2z, against z(1)."""

    def f(z: float) -> float:
        return np.tanh(1.3 * z) - 0.2 * z

    def stacked(count: int, step: float) -> float:
        z = start
        for _ in range(count):
            z = z + step * f(z)
        return z

    times = np.array([0.0, 1.0])
    end = float(nodekit.odeint(lambda t, z: f(z), np.array(start), times, rtol=1e-10, atol=1e-10)[-1])
    whole, parted = ([abs(stacked(n, step(n)) - end) for n in layers] for step in (lambda n: 1.0, lambda n: 1 / n))
    numbers = {f"distance from z(1), {n} layers": distance for n, distance in zip(layers, whole, strict=True)}
    numbers |= {
        f"distance, {n} layers each divided by {n}": distance for n, distance in zip(layers, parted, strict=True)
    }
    order = -float(np.polyfit(np.log(layers), np.log(parted), 1)[0])
    numbers["order of the latter in 1/N"] = order
    return Finding(whole[-1] >= whole[0] > 0.1 and abs(order - 1) < 0.1, numbers)


def blocks_without_the_step(points: int, width: int, seed: int) -> Finding:
    """slides: a block h + NNetwork(h) for each step of `linspace(0, 1, points)`, beside the listing's Euler steps."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).double()
    start = torch.tensor([1.0, -1.0], dtype=torch.float64)
    t = torch.linspace(0, 1, points, dtype=torch.float64)

    def through(factor: float) -> torch.Tensor:
        h = start
        for _ in range(points - 1):
            h = h + factor * network(h)
        return h

    with torch.no_grad():
        blocks, scaled = through(1.0), through(1 / (points - 1))
        euler = nodekit.odeint(lambda t, h: network(h), start, t, method="euler")[-1]
    numbers = {"blocks": str(points - 1), "end of the blocks": [float(value) for value in blocks]}
    numbers |= {
        "end of Euler's steps": [float(value) for value in euler],
        "blocks with the factor Δt, less Euler": float((scaled - euler).abs().max()),
    }
    return Finding(bool((scaled - euler).abs().max() < 1e-12 and (blocks - euler).norm() > 0.1), numbers)


def where_gradients_vanish(networks: dict[str, dict], batch: int, seed: int) -> Finding:
    """thind Fig. 6: the gradient of the first weights over that of the last hidden ones at the start of training.

    `networks` are those of row Q2; the first is one in which gradients do vanish, the second a plain one of N4.
    """
    ratios = {name: first_over_last(gradient_norms(given, batch, seed)) for name, given in networks.items()}
    vanishing, plain = list(ratios.values())[:2]
    numbers = {f"first over last, {name}": ratio for name, ratio in ratios.items()}
    return Finding(vanishing < 1e-3 and plain > 1, numbers)


def weights_and_activations(width: int, steps: list[int]) -> Finding:
    """ulala 2.4.1: what autograd keeps for one solve of a network, by the number of Euler steps; the weights stay."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(width, width), nn.Tanh())
    own = {parameter.data_ptr() for parameter in network.parameters()}
    start = torch.randn(32, width)
    kept: dict[str, list[int]] = {}
    for gradient in ("backprop", "adjoint"):
        for count in steps:
            seen: dict[int, int] = {}

            def pack(tensor: torch.Tensor, seen: dict[int, int] = seen) -> torch.Tensor:
                if tensor.data_ptr() not in own:
                    seen[tensor.data_ptr()] = tensor.numel()
                return tensor

            t = torch.linspace(0, 1, count + 1)
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                end = nodekit.odeint(
                    lambda t, h: network(h), start, t[[0, -1]], method="euler", gradient=gradient,
                    options={"step_size": 1 / count},
                )  # fmt: skip
            kept.setdefault(gradient, []).append(sum(seen.values()))
            del end
    weights = sum(parameter.numel() for parameter in network.parameters())
    numbers = {f"numbers kept, {name}, {steps} steps": str(values) for name, values in kept.items()}
    numbers["weights, for any number of steps"] = weights
    growth = kept["backprop"][-1] / kept["backprop"][0]
    share = steps[-1] / steps[0]
    return Finding(growth > 0.8 * share and len(set(kept["adjoint"])) == 1, numbers)


def evaluations_back_to(ends: list[float], step: float) -> Finding:
    """thind 4.1.1: evaluations of the adjoint's solve from the end back to the start, by how far that is."""
    counts = []
    for end in ends:
        start = torch.ones(2, requires_grad=True)
        solution = nodekit.solve(
            lambda t, z: torch.cos(t) * torch.tanh(z),
            start,
            torch.tensor([0.0, end]),
            method="euler",
            gradient="adjoint",
            options={"step_size": step},
        )
        solution.y[-1].sum().backward()
        counts.append(solution.stats.nfe_backward)
    numbers = {f"evaluations, {end:g} back": count for end, count in zip(ends, counts, strict=True)}
    exponent = float(np.polyfit(np.log(ends), np.log(counts), 1)[0])
    return Finding(exponent > 0.9, numbers | {"exponent": exponent})


def products_of_backpropagation(tolerance: float) -> Finding:
    """homework task 6: calls of a network forwards, and passes of its gradient backwards, with backpropagation."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    counts = {"forwards": 0, "backwards": 0}

    def called(*_) -> None:
        counts["forwards"] += 1

    def passed(*_) -> None:
        counts["backwards"] += 1

    network.register_forward_hook(called)
    network.register_full_backward_hook(passed)
    start = torch.randn(8, 2, requires_grad=True)
    t = torch.tensor([0.0, 1.0])
    end = nodekit.odeint(lambda t, y: network(y), start, t, rtol=tolerance, atol=tolerance, gradient="backprop")[-1]
    counted = counts["forwards"]
    end.square().sum().backward()
    numbers = {
        "evaluations in the forward pass": counted,
        "calls in the backward pass, which the counter counts": counts["forwards"] - counted,
        "products with the Jacobian in the backward pass": counts["backwards"],
    }
    return Finding(counts["forwards"] == counted and counts["backwards"] > counted / 2, numbers)
