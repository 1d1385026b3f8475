"""nodekit: ordinary differential equations and their gradients in PyTorch.

Four independent choices: the method (`METHODS`), how its steps are chosen (`options`), what is kept (times t), and how
the solve is differentiated (`gradient`).
"""

from importlib.metadata import PackageNotFoundError, version

from . import _impl as _impl
from . import errors
from ._choices.options import Options
from ._derivative.mass import consistent_state
from ._events.events import Event, Occurrences
from ._forcing import Forcing
from ._methods import METHODS, Method
from ._methods.tableau import ButcherTableau
from ._neural_ode import NeuralODE
from ._odeint import odeint, odeint_adjoint, odeint_dense, odeint_event
from ._solve import Solution, solve
from ._steps.dense import DenseSolution
from ._steps.loops import Stats
from .errors import NodekitError

try:
    __version__: str = version("nodekit-ode")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "unknown"

__all__ = [
    "METHODS",
    "ButcherTableau",
    "DenseSolution",
    "Event",
    "Forcing",
    "Method",
    "NeuralODE",
    "NodekitError",
    "Occurrences",
    "Options",
    "Solution",
    "Stats",
    "consistent_state",
    "errors",
    "odeint",
    "odeint_adjoint",
    "odeint_dense",
    "odeint_event",
    "solve",
]
