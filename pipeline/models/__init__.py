"""The study's networks, by the names that the experiments use."""

from __future__ import annotations

import difflib
import inspect

from torch import nn

from pipeline.models.cifar_odenet import cifar_odenet
from pipeline.models.example_networks import ExampleNet, example_resnet, one_hidden_layer
from pipeline.models.iceberg_mlp import iceberg_mlp
from pipeline.models.iceberg_resnet import IcebergResNet
from pipeline.models.image_odenet import ImageODENet
from pipeline.models.plain_or_residual import plain_or_residual
from pipeline.study import ConfigurationError, Model, Solver

MODELS = {
    "cifar_odenet": cifar_odenet,
    "example_odenet": ExampleNet,
    "example_resnet": example_resnet,
    "iceberg_mlp": iceberg_mlp,
    "iceberg_resnet": IcebergResNet,
    "mnist_odenet": ImageODENet,
    "one_hidden_layer": one_hidden_layer,
    "plain_or_residual": plain_or_residual,
    "shapes_odenet": ImageODENet,
}

__all__ = ["MODELS", "build"]


def build(model: Model, solver: Solver | None) -> nn.Module:
    """The network that the settings describe, its weights drawn from torch's global generator.

    Raises `ConfigurationError` for an unknown name or argument, and for an ODE network without a solver.
    """
    if model.name not in MODELS:
        near = difflib.get_close_matches(model.name, MODELS, n=1, cutoff=0)
        raise ConfigurationError(f"unknown model '{model.name}'; did you mean '{near[0]}'? Known: {', '.join(MODELS)}")
    factory = MODELS[model.name]
    known = inspect.signature(factory).parameters
    if unknown := set(model.arguments) - (set(known) - {"solver"}):
        names = ", ".join(name for name in known if name != "solver")
        raise ConfigurationError(f"model '{model.name}' has no argument {', '.join(sorted(unknown))}; it takes {names}")
    if "solver" not in known:
        return factory(**model.arguments)
    if solver is None:
        raise ConfigurationError(f"model '{model.name}' holds an ODE: its experiment needs the setting 'solver'")
    return factory(solver=solver, **model.arguments)
