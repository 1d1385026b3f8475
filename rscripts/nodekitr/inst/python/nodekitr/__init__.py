"""The Python half of the R package nodekitr: what must not be done call by call from R."""

from .calls import attempt
from .ode import solve
from .tensors import TensorDerivative, apply, gradient, operate, parameter, values

__all__ = ["TensorDerivative", "apply", "attempt", "gradient", "operate", "parameter", "solve", "values"]
