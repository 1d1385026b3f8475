"""Dense output: the solution at any time of a solve, from its accepted steps."""

from __future__ import annotations

import bisect
from typing import Any

import torch
from torch import Tensor

from .._derivative.flow import carried_on
from ..errors import InvalidTimes
from .clock import has_time_gradients
from .loops import Accepted
from .problem import Problem


class DenseOutput:
    """The solver's state between the ends of a solve: its accepted steps, and the place of any time among them."""

    def __init__(self, problem: Problem):
        self.stepper, self.steps, self.ends = problem.stepper, [], []
        self.sign = 1.0 if problem.times[-1] > problem.times[0] else -1.0

    def keep(self, accepted: Accepted) -> None:
        """Remember a step."""
        self.steps.append(accepted)
        self.ends.append(self.sign * accepted.until)

    def __call__(self, t: float) -> Tensor:
        """The solver's state at a time within the solve."""
        index = min(bisect.bisect_left(self.ends, self.sign * t), len(self.ends) - 1)
        return self.steps[index].at(self.stepper, t)


class DenseSolution:
    """The solution as a function of time, as accurate between the steps as at their ends.

    Differentiable with respect to the initial state and the parameters; with respect to t by y' = f.

    Attributes:
        t0, t1: from where to where the solve went: to its end, to the event that ended it, or as far as it came.
    """

    def __init__(self, problem: Problem):
        self.problem, self._dense = problem, DenseOutput(problem)
        self.t0 = self.t1 = problem.times[0]

    def keep(self, accepted: Accepted) -> None:
        """Remember a step."""
        self._dense.keep(accepted)
        self.t1 = accepted.until

    def __call__(self, t: Any) -> Any:
        """The state at time t: like y0; with the times as a first dimension, if t is a vector.

        Raises:
            InvalidTimes: a time outside the solve, or none.
        """
        packing, clock = self.problem.func.packing, self.problem.clock
        if isinstance(t, list | tuple) and any(isinstance(x, Tensor) and x.requires_grad for x in t):
            raise InvalidTimes(
                "t is a list of tensors", remedy="Make one of them, by torch.stack, which keeps gradients"
            )
        try:
            times = torch.as_tensor(t) if hasattr(t, "dtype") else torch.as_tensor(t, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidTimes(f"t must be a number, or numbers, not {t!r}") from error
        numbers = [self._within(number, times.dtype) for number in times.detach().reshape(-1).tolist()]
        states = [self._dense(number) if self._dense.steps else packing.y0 for number in numbers]
        if has_time_gradients(times):
            shifts = (times - times.detach()).reshape(-1)
            states = [
                carried_on(self.problem.func, clock.instant(number), y, shift.to(y))
                for y, shift, number in zip(states, shifts, numbers, strict=True)
            ]
        if not states:
            return packing.unpack(packing.y0.new_zeros(0, *packing.y0.shape))
        return packing.unpack(torch.stack(states) if times.ndim else states[0])

    def _within(self, number: float, dtype: torch.dtype) -> float:
        """A time of the solve; its end, where a time of this dtype lies beyond it by rounding alone."""
        ends = sorted((self.t0, self.t1))
        rounded = torch.tensor(ends, dtype=torch.float64).to(dtype).tolist() if dtype.is_floating_point else ends
        if not min(ends[0], rounded[0]) <= number <= max(ends[1], rounded[1]):
            raise InvalidTimes(f"{number:g} lies outside the solve, which went from {self.t0:g} to {self.t1:g}")
        return min(max(number, ends[0]), ends[1])
