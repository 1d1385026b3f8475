"""Times of several computations, measured in turn so that whatever else the machine does is shared by all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import psutil

from pipeline.runs.stopwatch import seconds_of


def interleaved(computations: dict[str, Callable[[], object]], seconds: float, least: int = 5) -> pd.DataFrame:
    """Seconds of each computation, one after the other, round after round.

    Args:
        computations: by name; each is run once beforehand, untimed.
        seconds: to spend in all.
        least: rounds to measure at least.

    Returns:
        A row a round, a column a computation.
    """
    for computation in computations.values():
        computation()
    rounds, started = [], time.perf_counter()
    while len(rounds) < least or time.perf_counter() - started < seconds:
        rounds.append([seconds_of(computation) for computation in computations.values()])
    return pd.DataFrame(rounds, columns=list(computations))


class Quiet:
    """How quiet the machine was since this was made."""

    def __init__(self):
        self.began = self._seconds()

    def share_of_others(self) -> float:
        """What other programs took of the time of all processors, between 0 and 1."""
        passed, busy, own = (now - then for now, then in zip(self._seconds(), self.began, strict=True))
        return max(0.0, busy - own) / (passed * psutil.cpu_count())

    def _seconds(self) -> tuple[float, float, float]:
        """On the clock; of all processors at work; of them for this process and those it started."""
        total, this = psutil.cpu_times(), psutil.Process()
        ended = this.cpu_times().children_user + this.cpu_times().children_system
        own = sum(sum(process.cpu_times()[:2]) for process in (this, *this.children(recursive=True)))
        return time.perf_counter(), total.user + getattr(total, "nice", 0.0) + total.system, own + ended


def ratio(samples: pd.DataFrame, numerator: str, denominator: str, seed: int = 0) -> tuple[float, float, float]:
    """The ratio of two medians and its 95 % bootstrap interval, rounds drawn whole."""
    return _of_medians(samples, [numerator, denominator], np.divide, seed)


def difference(samples: pd.DataFrame, first: str, second: str, seed: int = 0) -> tuple[float, float, float]:
    """By how much the first median is larger than the second, and the interval of that."""
    return _of_medians(samples, [first, second], np.subtract, seed)


def ratio_beyond(samples: pd.DataFrame, numerator: str, denominator: str, common: str, seed: int = 0):
    """The ratio of what two medians have beyond that of something that both contain, and the interval of that."""
    beyond = lambda first, second, shared: (first - shared) / (second - shared)  # noqa: E731
    return _of_medians(samples, [numerator, denominator, common], beyond, seed)


def _of_medians(samples: pd.DataFrame, series: list[str], compare: Callable, seed: int):
    rounds = samples[series].to_numpy()
    draws = np.random.default_rng(seed).integers(len(rounds), size=(2000, len(rounds)))
    low, high = np.quantile(compare(*np.median(rounds[draws], axis=1).T), [0.025, 0.975])
    return float(compare(*np.median(rounds, axis=0))), float(low), float(high)


def printed_by(arguments: list[str], **environment: str) -> str:
    """What a new Python prints that finds the modules of this one.

    Args:
        arguments: of Python, such as `["-c", program]`.
        environment: further variables of it.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=variables).stdout
