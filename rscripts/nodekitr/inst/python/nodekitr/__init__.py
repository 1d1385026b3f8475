"""The Python half of the R package nodekitr: what must not be done call by call from R."""

from .calls import attempt
from .classifier import ImageODENet, probabilities
from .classifier import fit as fit_images
from .dynamics import ACTIVATIONS, Dynamics, InUnits, perceptron
from .fit import fit as fit_trajectories
from .fit import slopes, trajectory
from .gradient import gradient
from .known import Parameters, Program, called, evaluate
from .ode import solve
from .outside import Outside
from .tensors import TensorDerivative, apply, flat, operate, parameter, pick, put, shape, values
from .training import load_weights, parameter_names, weights

__all__ = [
    "ACTIVATIONS", "Dynamics", "ImageODENet", "InUnits", "Outside", "Parameters", "Program", "TensorDerivative",
    "apply", "attempt", "called", "evaluate", "fit_images", "fit_trajectories", "flat", "gradient", "load_weights",
    "operate", "parameter", "parameter_names", "perceptron", "pick", "probabilities", "put", "shape", "slopes", "solve",
    "trajectory", "values", "weights",
]  # fmt: skip
