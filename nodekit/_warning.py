"""Warnings at the line of the user's program that led to them, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings


def warn(message: str) -> None:
    """Warn, as of the innermost line that lies neither in this package nor in what it may have been called through."""
    between = (__package__, "torch", "contextlib", "functools")
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in between:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
