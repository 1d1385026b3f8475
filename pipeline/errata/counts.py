"""Counts that a document gets wrong: parameters, inputs, steps, layers, epochs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from pipeline.compute.physics import springs
from pipeline.errata.finding import Finding
from pipeline.models.image_odenet import ConvDerivative
from pipeline.study import Run, Settings


def weights_of_one_hidden_layer(inputs: int, hidden: int, outputs: int) -> Finding:
    """thind eq. (3): a network with p inputs, M hidden units and K outputs, built and counted."""
    network = nn.Sequential(nn.Linear(inputs, hidden), nn.Linear(hidden, outputs))
    counted = sum(parameter.numel() for parameter in network.parameters())
    product = (inputs + 1) * hidden * (hidden + 1) * outputs
    total = (inputs + 1) * hidden + (hidden + 1) * outputs
    numbers = {"counted": counted, "(p + 1)·M + (M + 1)·K": total, "(p + 1)·M·(M + 1)·K": product}
    return Finding(counted == total != product, numbers)


def flattened_inputs(height: int, width: int, said: int) -> Finding:
    """thind 7.1.2: what layer_flatten makes of an image of the size it is told."""
    counted = nn.Flatten()(torch.zeros(1, height, width)).shape[1]
    return Finding(counted != said, {"flattened": counted, "said": said, "said is the square of": math.sqrt(said)})


def flattening_keeps_every_parameter(channels: int) -> Finding:
    """thind 7.3.1: the ODE's parameters before and after they are flattened into one vector."""
    parameters = list(ConvDerivative(channels).parameters())
    before, after = sum(p.numel() for p in parameters), torch.cat([p.flatten() for p in parameters]).numel()
    return Finding(before == after, {"parameters before": before, "after": after})


def epochs_of_the_listing(said: int, listed: int, images: int, batch_size: int) -> Finding:
    """thind 4.2: the epochs of the text beside those of the listing, and the losses that the listing writes."""
    iterations = math.ceil(images / batch_size)
    numbers = {"epochs said": said, "epochs listed": listed, "losses that the listing writes": listed * iterations}
    return Finding(said != listed, numbers)


def iterations_of_an_epoch(images: int, batch_size: int, over: int) -> Finding:
    """thind 4.2: the batches of an epoch, beside what they are said to exceed, and the images in them."""
    iterations = math.ceil(images / batch_size)
    numbers = {"iterations": iterations, "said to be over": over, "iterations × batch size": iterations * batch_size}
    return Finding(iterations > over and iterations * batch_size == images, numbers)


def evaluations_of_an_epoch(images: int, batch_size: int, counted: dict[str, float]) -> Finding:
    """homework task 5: fewer evaluations than the batches of an epoch cannot be those of an epoch."""
    batches = math.ceil(images / batch_size)
    numbers = {"batches of an epoch": batches} | {f"NFE-F, {name}": value for name, value in counted.items()}
    return Finding(all(value < batches for value in counted.values()), numbers)


def steps_of_a_grid(points: int, said: int, rate: float) -> Finding:
    """slides: `linspace(0, 1, n)` has n points and n − 1 steps; Euler's end value shows it."""
    steps = len(np.diff(np.linspace(0, 1, points)))
    numbers = {"points": points, "steps": steps, "said": said}
    if rate:
        numbers |= {f"Euler's end, {n} steps": (1 - rate / n) ** n for n in (said, steps)}
    return Finding(steps == said - 1, numbers)


def cross_references(pairs: list[list[int]]) -> Finding:
    """thind 7.4: how far each number of an equation that the text refers to is from that equation's own number."""
    gaps = [own - referred for referred, own in pairs]
    numbers = {f"({referred}) for ({own}) is short by": own - referred for referred, own in pairs}
    return Finding(len(set(gaps)) == 1 and gaps[0] > 0, numbers)


def masses_matter(positions: list, velocities: list, heavier: float, end: float) -> Finding:
    """slides: two springs systems alike in all 18 numbers of the count; only one body's mass is another."""
    given = {"positions": positions, "velocities": velocities, "strengths": [1.0] * 3, "lengths": [1.0] * 3}
    given |= {"end": end, "points": 2, "energy": {"end": end, "windows": 1, "methods": {}}}
    ends = []
    for masses in ([1.0, 1.0, 1.0], [heavier, 1.0, 1.0]):
        settings = Settings(arguments={**given, "masses": masses})
        run = Run(experiment="P5", variant="main", seed=1, kind="compute", settings=settings)
        ends.append(springs(run)["history"].groupby("series").last()[["x", "y"]].to_numpy())
    apart = float(np.linalg.norm(ends[0] - ends[1], axis=1).max())
    plane, space = (3 * (d + d) for d in (2, 3))
    numbers = {"bodies end apart by": apart, "initial values in the plane, 3·(2 + 2)": plane, "3·2·2": 3 * 2 * 2}
    numbers |= {"in space, 3·(3 + 3)": space, "3·3·3": 3**3, "with three masses": plane + 3 + 3 + 3}
    return Finding(apart > 1e-3, numbers)


def published_network_sizes(said: dict[str, float], images: int, filters: int, blocks: int) -> Finding:
    """Chen et al., Table 1: the parameters of the public example's parts, put together in each way it has."""

    def conv(inputs: int, outputs: int, size: int, bias: bool) -> int:
        return size * size * inputs * outputs + bias * outputs

    def residual(shortcut: bool) -> int:
        return 2 * norm + 2 * conv(filters, filters, 3, False) + shortcut * conv(filters, filters, 1, False)

    norm, head = 2 * filters, 2 * filters + (filters + 1) * 10
    first = conv(1, filters, 3, True)
    down = {
        "conv": first + 2 * (norm + conv(filters, filters, 4, True)),
        "res": first + 2 * residual(shortcut=True),
    }
    middle = {
        "ODE-Net": 3 * norm + 2 * conv(filters + 1, filters, 3, True),
        "ResNet": blocks * residual(shortcut=False),
    }
    mlp = sum((a + 1) * b for a, b in pairwise([images, 300, 10]))
    numbers: dict[str, float] = {"MLP of 300 units": mlp, "MLP said, millions": said["MLP"]}
    matches = []
    for way, below in down.items():
        sizes = {name: below + part + head for name, part in middle.items()}
        numbers |= {f"{name}, {way} downsampling": size for name, size in sizes.items()}
        matches.append(all(round(size / 1e6, 2) == said[name] for name, size in sizes.items()))
    return Finding(round(mlp / 1e6, 2) == said["MLP"] and not any(matches), numbers)
