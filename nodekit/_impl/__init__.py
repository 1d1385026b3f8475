"""The private names of torchdiffeq's that programs in wide use import, at the paths where they look for them.

Imports are absolute: a program that has put nodekit into sys.modules as "torchdiffeq" imports these files under that
name, and a relative import would then load the whole library a second time.
"""

from nodekit._impl import adjoint, odeint

__all__ = ["adjoint", "odeint"]
