"""Numbers among the options: in their range, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import InvalidOption


def within(name: str, value: Any, holds: Callable[[float], bool], words: str) -> float:
    """The value of an option, a number of any kind, as a Python float.

    Raises:
        InvalidOption: it does not hold; words say what should.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not holds(number):
        raise InvalidOption(f"the option {name} must be {words}, not {value}")
    return number


def whole(name: str, value: Any) -> int:
    """The value of an option that counts."""
    return int(within(name, value, lambda x: x >= 1 and x.is_integer(), "a whole number, one or larger"))
