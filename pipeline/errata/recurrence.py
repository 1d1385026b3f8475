"""What makes a network recurrent: one set of weights for all times, and an input at each."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.errata.finding import Finding
from pipeline.models.iceberg_mlp import iceberg_mlp
from pipeline.models.plain_or_residual import plain_or_residual


def weights_by_length(inputs: int, hidden: int, lengths: list[int]) -> Finding:
    """ulala eq. (3): the weights of a recurrent network and of h + f(h, θ_t), by the number of times or layers."""
    recurrent = nn.RNN(inputs, hidden)
    for length in lengths:
        recurrent(torch.zeros(length, 1, inputs))  # one network reads series of every length

    def count(*layers: nn.Module) -> int:
        return sum(parameter.numel() for layer in layers for parameter in layer.parameters())

    stacked = [count(*[nn.Linear(hidden, hidden) for _ in range(length)]) for length in lengths]
    numbers = {"weights of an RNN, any length": count(recurrent)}
    numbers |= {f"weights of eq. (3), {n} layers": weights for n, weights in zip(lengths, stacked, strict=True)}
    return Finding(stacked[0] < stacked[-1], numbers)


def layers_used_once(depth: int, length: int) -> Finding:
    """thind 3.1: how often a pass calls each layer of the document's networks, and a recurrent one's only cell."""
    networks = {
        "perceptron of 2.2": (iceberg_mlp(), torch.zeros(2, 1, 75, 75)),
        f"plain network of {depth} layers": (plain_or_residual(depth, residual=False), torch.zeros(2, 1, 28, 28)),
    }
    numbers: dict[str, float] = {}
    most = []
    for name, (network, images) in networks.items():
        calls = calls_of_layers(network, lambda network=network, images=images: network(images))
        most.append(max(calls))
        numbers[f"{name}: most calls of a layer"] = most[-1]
    cell = nn.RNNCell(3, 8)
    state = torch.zeros(1, 8)

    def through_time() -> None:
        hidden = state
        for _ in range(length):
            hidden = cell(torch.zeros(1, 3), hidden)

    recurrent = calls_of_layers(cell, through_time)
    numbers[f"a recurrent network's cell, {length} times: calls"] = recurrent[0]
    return Finding(max(most) == 1 < recurrent[0], numbers)


def calls_of_layers(network: nn.Module, run) -> list[int]:
    """How often `run` calls each layer with weights of a network."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.RNNCell)]
    calls = [0] * len(layers)

    def counted(index: int):
        def hook(*_) -> None:
            calls[index] += 1

        return hook

    handles = [layer.register_forward_hook(counted(index)) for index, layer in enumerate(layers)]
    run()
    for handle in handles:
        handle.remove()
    return calls
