"""What a family of methods must provide to be solved with, differentiated and interpolated: one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .clock import Interval

#: (index of a slope, its coefficient)
Weights = Sequence[tuple[int, float]]


@dataclass(slots=True, eq=False)
class Step:
    """The result of one step.

    Attributes:
        y1: the state at the end of the interval.
        error: an estimate of the step's error, or None.
        error_third: of a second estimate that corrects the first (DOP853), or None.
        carry: tensors the next step needs besides y1: the slope at its start, a multistep method's history, a
            reversible method's second state. Differentiable, like y1.
        slopes: values of the derivative such that y1 = y0 + dt Σ weights·slopes; continuous adjoints integrate the
            parameters' gradient with them. None where a method has no such form.
        weights: these weights; error_weights: those of the estimate of its error, or None.
        unsolved: which of independent samples have no result, since their equations could not be solved; None: none.
        idle: how many evaluations each of these had no part in, while others' equations were solved; None: none.
        kept: what interpolation needs besides, as the method knows it; None: nothing.
    """

    y1: Tensor
    carry: tuple[Tensor, ...] = ()
    error: Tensor | None = None
    error_third: Tensor | None = None
    slopes: list[Tensor] | None = None
    weights: Weights | None = None
    error_weights: Weights | None = None
    unsolved: Tensor | None = None
    idle: Tensor | None = None
    kept: Any = None


class Stepper:
    """A method at work. Subclasses define `nodes` and `step`; a stepper keeps no state between steps.

    Attributes:
        nodes: the times within a step (fractions of it) at which `interval.times[1:-1]` are wanted.
        error_exponent: the error estimate scales as dt to this power, None without one.
        first_part: the first step's limit as a part of |y| / |y'|, the time in which y' = −λy decays.
        implicit: whether steps solve equations.
        reversible: whether `reverse` undoes `step`; its carry is a second state, and no slope.
        differentiable: whether its steps are torch operations.
        one_step: whether a step depends on where it begins alone: nothing is carried but the slope there.
        fixed: whether it takes steps of given sizes; stiff, dense_order: of a method without a tableau, see `Method`.
        pairs: whether it takes steps of pairs (q, p) only, packed into one tensor.
        samples: whether it takes steps over times of every sample, too; compiled: in compiled loops.
        guesses: whether the slope that a step begins with is a first guess only: none of its stages is at its start.
    """

    nodes: tuple[float, ...] = ()
    error_exponent: int | None = None
    first_part = 1.0
    implicit = False
    reversible = False
    differentiable = True
    fixed = True
    stiff = pairs = False
    dense_order: int | None = None
    one_step = samples = compiled = False
    guesses = False

    @property
    def renewable(self) -> bool:
        """Whether what it carries begins with the slope at a step's start, which can be evaluated there anew."""
        return not (self.reversible or self.guesses)

    def begin(self, y: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
        """The carry of a first step, or of one after a jump, from the state and the slope at its start."""
        return (slope,)

    def prepare(self, tolerance, norm) -> None:
        """Told once, before the first step, by what tolerance and norm steps will be chosen, if they are."""

    def step(
        self, func, interval: Interval, y: Tensor, carry: tuple[Tensor, ...], estimate: bool = True, final: bool = False
    ) -> Step:
        """One step over the interval. Only torch operations, so that it can be differentiated and compiled.

        Args:
            func: the derivative, func(t, y) on the solver's tensors.
            interval: the step's times.
            y: the state at its start.
            carry: what the last step, or `begin`, carried over.
            estimate: whether the error estimate is wanted.
            final: whether no step follows, so that nothing need be carried.
        """
        raise NotImplementedError

    def reverse(self, func, interval: Interval, y1: Tensor, carry: tuple[Tensor, ...]):
        """The state and carry at the start of the interval from those at its end, for reversible methods."""
        raise NotImplementedError

    def extend(self, func, interval: Interval, y: Tensor, carry: tuple[Tensor, ...], step: Step) -> None:
        """Evaluate what interpolation needs beyond the step itself. Here: the slopes at both ends."""
        step.slopes = [func(interval.times[0], y), func(interval.times[-1], step.y1)]

    def interpolate(self, interval: Interval, y: Tensor, step: Step, thetas: Sequence[float]) -> Sequence[Tensor]:
        """The state at t0 + θ dt for every θ in (0, 1), after `extend`. Here: cubic Hermite."""
        f0, f1 = step.slopes
        dt = interval.dt
        return [
            torch.lerp(y, step.y1, x * x * (3 - 2 * x))
            .add(f0, alpha=dt * x * (1 - x) ** 2)
            .add(f1, alpha=dt * x * x * (x - 1))
            for x in thetas
        ]


def combine(y: Tensor | None, dt, terms: Sequence[tuple[int, float]], slopes: Sequence[Tensor]) -> Tensor:
    """y + dt Σ coefficient·slope over (index, coefficient) pairs; dt is a float, or a tensor that broadcasts.

    Nothing here keeps its operands for the backward pass: the sum is accumulated in place in every mode.
    """
    if isinstance(dt, float):
        if y is None:
            index, coefficient = terms[0]
            total, terms = slopes[index] * (dt * coefficient), terms[1:]
        else:
            index, coefficient = terms[0]
            total, terms = torch.add(y, slopes[index], alpha=dt * coefficient), terms[1:]
        for index, coefficient in terms:
            total.add_(slopes[index], alpha=dt * coefficient)
        return total
    total = slopes[terms[0][0]] * terms[0][1]
    for index, coefficient in terms[1:]:
        total.add_(slopes[index], alpha=coefficient)
    return total * dt if y is None else torch.addcmul(y, total, dt)
