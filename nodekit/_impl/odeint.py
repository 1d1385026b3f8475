"""`SOLVERS`, by which programs list the names of methods."""

from nodekit._methods import METHODS, SCIPY
from nodekit._odeint import odeint, odeint_dense, odeint_event

__all__ = ["SOLVERS", "odeint", "odeint_dense", "odeint_event"]

#: name → method
SOLVERS = {**METHODS, SCIPY.name: SCIPY}
