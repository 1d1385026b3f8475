"""Times of several computations, measured in turn so that whatever else the machine does is shared by all."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch


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
        rounds.append([timed(computation) for computation in computations.values()])
    return pd.DataFrame(rounds, columns=list(computations))


def timed(computation: Callable[[], object]) -> float:
    """Seconds of one computation, to its end on the device."""
    _wait()
    before = time.perf_counter()
    computation()
    _wait()
    return time.perf_counter() - before


def ratio(samples: pd.DataFrame, numerator: str, denominator: str, seed: int = 0) -> tuple[float, float, float]:
    """The ratio of two medians and its 95 % bootstrap interval, rounds drawn whole."""
    pairs = samples[[numerator, denominator]].to_numpy()
    draws = np.random.default_rng(seed).integers(len(pairs), size=(2000, len(pairs)))
    medians = np.median(pairs[draws], axis=1)
    low, high = np.quantile(medians[:, 0] / medians[:, 1], [0.025, 0.975])
    middle = np.median(pairs, axis=0)
    return float(middle[0] / middle[1]), float(low), float(high)


def slope(x, y) -> tuple[float, float, float]:
    """The slope of log y by log x with its 95 % interval from least squares."""
    from scipy import stats

    line = stats.linregress(np.log(x), np.log(y))
    spread = stats.t.ppf(0.975, max(len(x) - 2, 1)) * line.stderr
    return float(line.slope), float(line.slope - spread), float(line.slope + spread)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
