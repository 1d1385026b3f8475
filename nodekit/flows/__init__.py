"""Normalizing flows: densities as invertible maps to a simple base, discrete (planar) and continuous (an ODE)."""

from ._base import Flow, StandardNormal
from ._continuous import ContinuousFlow
from ._fields import HyperPlanarField, MLPField
from ._planar import PlanarFlow
from ._trace import TRACES

__all__ = [
    "TRACES",
    "ContinuousFlow",
    "Flow",
    "HyperPlanarField",
    "MLPField",
    "PlanarFlow",
    "StandardNormal",
]
