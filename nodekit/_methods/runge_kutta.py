"""Explicit Runge–Kutta steps: one loop over any tableau."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._steps.control import constant
from .._steps.stepper import Step, Stepper, combine
from .tableau import ButcherTableau


def nonzero(row) -> list[tuple[int, float]]:
    """The (index, coefficient) pairs of a row that matter."""
    return [(j, float(a)) for j, a in enumerate(row) if a != 0]


class Sent:
    """Numbers of the host as a tensor on a device. The last ones stay there: each time they are sent the host waits."""

    def __init__(self):
        self._asked, self._tensor = None, None

    def __call__(self, numbers: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
        asked = numbers.shape, numbers.tobytes(), dtype, device
        if asked != self._asked:
            self._asked, self._tensor = asked, torch.tensor(numbers, dtype=dtype, device=device)
        return self._tensor


class ExplicitRungeKutta(Stepper):
    """Steps of an explicit tableau. The carry is the slope at the start of the step, where it is known already.

    Args:
        tableau: the method.
        interp: "dense" (the tableau's own interpolation), "cubic" (Hermite) or "linear".
    """

    one_step = samples = compiled = True

    def __init__(self, tableau: ButcherTableau, interp: str = "dense"):
        self.tableau = tableau
        self.stages, self.fsal = tableau.stages, bool(tableau.fsal)
        self.nodes = tuple(map(float, (*tableau.c, *tableau.extra_c)))
        self.rows = [nonzero(row) for row in tableau.A]
        self.extra_rows = [nonzero(row) for row in tableau.extra_A]
        self.weights = nonzero(tableau.b)
        self.interpolation = tableau.interpolation
        if interp == "linear":
            self.interpolation, self.extra_rows = tableau.b[:, None], []
        elif interp == "cubic" and tableau.interpolation.shape[1] > 3:
            hermite = ButcherTableau(tableau.c, tableau.A, tableau.b, tableau.order)
            self.interpolation, self.extra_rows = hermite.interpolation, [nonzero(row) for row in hermite.extra_A]
            self.nodes = tuple(map(float, (*hermite.c, *hermite.extra_c)))
        # Whether an extra stage is the slope at the end, with which the next step starts.
        self.at_end = [
            row == self.weights and node == 1.0
            for row, node in zip(self.extra_rows, self.nodes[self.stages :], strict=False)
        ]
        self.sent_weights, self.sent_coefficients = Sent(), Sent()
        self.error_weights = self.error_weights_third = None
        if tableau.b_embedded is not None:
            self.error_weights = nonzero(tableau.b - tableau.b_embedded)
            self.error_exponent = min(tableau.order, tableau.embedded_order) + 1
            if tableau.overlooks_decay:  # a step as long as that limit would be accepted whatever its error
                self.first_part = 0.5
        if tableau.b_embedded_third is not None:
            self.error_weights_third = nonzero(tableau.b - np.asarray(tableau.b_embedded_third))
            self.error_exponent = tableau.order

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """One step: every stage, the result, and the error estimate where the tableau has one."""
        dt, times, fsal = interval.dt, interval.times, self.fsal
        slopes = [carry[0] if carry else func(times[1], y)]
        for i in range(1, self.stages - fsal):
            slopes.append(func(times[i + 1], combine(y, dt, self.rows[i], slopes)))
        y1 = combine(y, dt, self.weights, slopes)
        if fsal and (estimate or not final):
            slopes.append(func(times[-1], y1))
        error = error_third = None
        if estimate and self.error_weights is not None:
            with constant():
                error = combine(None, dt, self.error_weights, slopes)
                if self.error_weights_third is not None:
                    error_third = combine(None, dt, self.error_weights_third, slopes)
        carry = (slopes[-1],) if len(slopes) == self.stages and fsal else ()
        return Step(y1, carry, error, error_third, slopes, self.weights, self.error_weights)

    def extend(self, func, interval, y, carry, step):
        """The extra stages of the dense output; a Hermite interpolant's slope at the end starts the next step."""
        first = self.stages
        if len(step.slopes) < first:
            step.slopes.append(func(interval.times[-1], step.y1))
            step.carry = (step.slopes[-1],)
        for i, (row, at_end) in enumerate(zip(self.extra_rows, self.at_end, strict=True), start=first):
            stage = step.y1 if at_end else combine(y, interval.dt, row, step.slopes)
            step.slopes.append(func(interval.times[i + 1], stage))
            if at_end:
                step.carry = (step.slopes[-1],)

    def dense_weights(self, thetas) -> np.ndarray:
        """bᵢ(θ) of the dense output, shape (thetas, slopes)."""
        return np.vander(thetas, self.interpolation.shape[1] + 1, increasing=True)[:, 1:] @ self.interpolation.T

    def interpolate(self, interval, y, step, thetas):
        """The polynomial y + dt Σ bᵢ(θ) kᵢ at all θ in one product."""
        weights = self.dense_weights(thetas)
        if len(thetas) == 1:
            terms = nonzero(weights[0])
            return [combine(y, interval.dt, terms, step.slopes) if terms else y]
        used = np.flatnonzero(self.interpolation.any(1))
        slopes = torch.stack([step.slopes[i].reshape(-1) for i in used])
        weights = self.sent_weights(weights[:, used], y.dtype, y.device)
        values = torch.addmm(y.reshape(1, -1), weights, slopes, alpha=interval.dt)
        return [value.view(y.shape) for value in values.unbind()]

    def at_fractions(self, y: Tensor, step: Step, dt: Tensor, rows: Tensor, thetas: Tensor) -> Tensor:
        """The same polynomial of some samples, each at its own fraction of its own step.

        Only single multiplications and additions: products of matrices, powers and fused operations round differently
        with a sample's place among those wanted, and no sample is to notice its neighbours.

        Args:
            y, step: of all samples; extended.
            dt: their step sizes, shape (batch,) in float64.
            rows: the samples wanted, shape (wanted,).
            thetas: where to have them, shape (wanted,) in float64.
        """
        coefficients = self.interpolation
        used = np.flatnonzero(coefficients.any(1))
        columns = self.sent_coefficients(coefficients[used], thetas.dtype, y.device).unsqueeze(1).unbind(2)
        weights = columns[-1]
        for column in reversed(columns[:-1]):
            weights = weights * thetas + column
        weights = (weights * thetas * dt[rows]).to(y.dtype)
        result, shape = y[rows], (-1, *[1] * (y.ndim - 1))
        for i, weight in zip(used, weights.expand(len(used), len(rows)), strict=True):
            result = result + step.slopes[i][rows] * weight.view(shape)
        return result
