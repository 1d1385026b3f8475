"""Adams methods: the slopes of earlier steps in place of stages. Steps may differ in size."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .._steps.stepper import Step, Stepper, combine
from . import explicit
from .dopri8 import DOPRI8
from .ranges import whole, within
from .runge_kutta import ExplicitRungeKutta


@functools.lru_cache(maxsize=4096)
def adams_weights(nodes: tuple[float, ...], theta: float = 1.0) -> tuple[tuple[int, float], ...]:
    """The weights of ∫₀^θ of the polynomial through slopes at the nodes (Hairer, Nørsett & Wanner I, section III.5).

    Args:
        nodes: where the slopes are, in units of the step, 0 being its start.

    Returns:
        (index, weight) pairs.
    """
    scale = max(1.0, *map(abs, nodes))
    powers = np.arange(1, len(nodes) + 1)
    moments = (theta / scale) ** powers / powers
    return tuple(enumerate(scale * np.linalg.solve(np.vander(np.array(nodes) / scale, increasing=True).T, moments)))


def _are_close(times: Sequence[float]) -> bool:
    """Whether some of these times, the latest first, are so close for their distances that slopes there tell rounding.

    As behind an event beside a point of the grid: weights are as large as the step is over the shortest distance.
    """
    return min(abs(a - b) for a, b in itertools.pairwise(times)) < 0.01 * abs(times[0] - times[1])


class AdamsBashforth(Stepper):
    """Explicit Adams steps of order k: y₁ = y + ∫ of the polynomial through the last k slopes. One evaluation a step.

    The first k − 1 steps are those of a Runge–Kutta method: rk4, or dopri8 for k > 5. The carry is the slope at the
    start, those before, newest first, and their times. A step keeps the nodes of its slopes; one at the start has none.

    Args:
        max_order: k, from 1 to 12. Higher orders are stable for smaller steps only.
    """

    corrections = 0

    def __init__(self, max_order: int = 4):
        words = "a whole number from 1 to 12"
        self.order = max_order = int(within("max_order", max_order, lambda x: x in range(1, 13), words))
        self.start = ExplicitRungeKutta(explicit.RK4 if max_order <= 5 else DOPRI8)
        self.nodes = self.start.nodes

    def begin(self, y, slope):
        """The slope, and no times of earlier ones."""
        return slope, torch.zeros(0, dtype=torch.float64)

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """One step, of the Runge–Kutta method until there are enough slopes."""
        *slopes, times = carry
        times = times.tolist()
        if len(slopes) < self.order or _are_close([interval.t1, interval.t0, *times]):
            step = self.start.step(func, interval, y, (slopes[0],), estimate=False, final=True)
        else:
            step = self._multistep(func, interval, y, slopes, times)
        if not final:
            slope = func(interval.times[-1], step.y1)
            kept = [interval.t0, *times][: self.order - 1]
            step.carry = (slope, *slopes[: self.order - 1], torch.tensor(kept, dtype=torch.float64))
        return step

    def _multistep(self, func, interval, y, slopes, times: Sequence[float]) -> Step:
        # Rounded, so that equal steps find their weights again.
        nodes = (0.0, *(round((t - interval.t0) / interval.dt, 12) for t in times))
        weights = adams_weights(nodes)
        y1 = combine(y, interval.dt, weights, slopes)
        if self.corrections:
            nodes = (1.0, *nodes[: self.order - 1])
            weights, earlier = adams_weights(nodes), slopes[: self.order - 1]
        for _ in range(self.corrections):
            slopes = [func(interval.times[-1], y1), *earlier]
            y1 = combine(y, interval.dt, weights, slopes)
        step = Step(y1, slopes=slopes, weights=weights)
        step.kept = nodes
        return step

    def extend(self, func, interval, y, carry, step):
        """Only a Runge–Kutta step needs more than it has."""
        if step.kept is None:
            kept = step.carry
            self.start.extend(func, interval, y, carry, step)
            step.carry = kept

    def interpolate(self, interval, y, step, thetas) -> list[Tensor]:
        """The same polynomial's integral up to θ: as accurate as the step."""
        if step.kept is None:
            return self.start.interpolate(interval, y, step, thetas)
        return [combine(y, interval.dt, adams_weights(step.kept, theta), step.slopes) for theta in thetas]


class AdamsBashforthMoulton(AdamsBashforth):
    """Adams–Bashforth predicts, Adams–Moulton of the same order corrects, each time after an evaluation.

    Args:
        max_order: k, from 1 to 12.
        max_iters: corrections of each step; one makes the method PECE, many solve the implicit equation.
    """

    def __init__(self, max_order: int = 4, max_iters: int = 2):
        super().__init__(max_order)
        self.corrections = whole("max_iters", max_iters)
