"""A meter that shows how far a solve has come."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Writes the time reached and the steps taken to a terminal, at most ten times a second.

    Args:
        start, end: of the solve.
        stream: where to write; by default the standard error.
    """

    def __init__(self, start: float, end: float, stream: TextIO | None = None):
        self.start, self.end, self.stream = start, end, stream or sys.stderr
        self.began = time.monotonic()
        self.steps, self.shown = 0, float("-inf")

    def update(self, t: float) -> None:
        """The solve has come to t."""
        self.steps += 1
        now = time.monotonic()
        if now - self.shown >= 0.1 or t == self.end:
            self.shown = now
            share = (t - self.start) / (self.end - self.start)
            self.stream.write(f"\r{share:4.0%}  t = {t:<10.4g} {self.steps} steps  {now - self.began:.1f} s ")
            self.stream.flush()

    def close(self) -> None:
        """End the line."""
        self.stream.write("\n")
        self.stream.flush()
