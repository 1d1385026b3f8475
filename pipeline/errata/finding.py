"""What a check of an erratum hands back."""

from __future__ import annotations

from dataclasses import dataclass

Numbers = dict[str, float | str]


@dataclass(frozen=True)
class Finding:
    """Whether what the erratum says is so was found to be so, and the numbers that show it, by their names."""

    confirmed: bool
    numbers: Numbers
