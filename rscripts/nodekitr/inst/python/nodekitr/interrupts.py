"""An interrupt of Python code, within R."""

import contextlib
import ctypes
import signal

_get = ctypes.pythonapi.PyOS_getsig
_get.restype = ctypes.c_void_p
_set = ctypes.pythonapi.PyOS_setsig
_set.argtypes = (ctypes.c_int, ctypes.c_void_p)
_set.restype = ctypes.c_void_p


@contextlib.contextmanager
def as_exceptions():
    """Let SIGINT raise KeyboardInterrupt within, and R know nothing of it.

    Now and then reticulate lets R see to its events while Python runs. An R that met an interrupt there would jump over
    Python's frames, or quit where it has no user. R's own handler is no function of Python, so that what is put back is
    the handler of the process.
    """
    in_process = _get(signal.SIGINT)
    in_python = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if in_python is not None:
            signal.signal(signal.SIGINT, in_python)
        _set(signal.SIGINT, in_process)
