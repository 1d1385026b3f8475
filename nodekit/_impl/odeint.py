"""`SOLVERS`, by which programs list the names of methods."""

from nodekit._methods import METHODS, SCIPY
from nodekit._odeint import odeint, odeint_dense, odeint_event

__all__ = ["SOLVERS", "odeint", "odeint_dense", "odeint_event"]

#: name → method, of those that take states of every kind
SOLVERS = {name: method for name, method in METHODS.items() if not method.pairs} | {SCIPY.name: SCIPY}
