"""The automatic method of independent samples: each has its own present method."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from .._derivative.samples import rms, spread
from .._steps.clock import Interval
from .._steps.control import host_values
from .._steps.numbers import Tensors
from .._steps.stepper import Step, Stepper
from .switching import Memory, Switching, worthwhile


class SampleSwitching(Switching):
    """`Switching` of every sample. In a round both methods take their samples' steps, where both have any.

    For the others a method's step has no length. The interval keeps which samples' steps were implicit; the carry is
    the slope, the memory (batch, 5) and the direction.
    """

    n, norm, spread = Tensors, staticmethod(rms), staticmethod(spread)

    def begin(self, y, slope):
        """The slope, a memory of nothing and no direction."""
        nothing = torch.tensor(Memory(), dtype=y.dtype, device=y.device)
        return slope, nothing.expand(len(y), -1), torch.zeros_like(y)

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """Every sample's step of the method that took it before, or of the one that its memory names."""
        slope, *remembered = carry
        again = interval.method is not None
        if not again:
            interval.method = remembered[0][:, 0] > 0
        stiff, evaluations = interval.method, [func.evaluations]
        some, every = host_values(torch.stack([stiff.any(), stiff.all()]))
        parts: list[Step | None] = [None, None]
        for i, (method, mine, wanted) in enumerate(self._methods(stiff, some, every)):
            if wanted:
                # Whether a step follows or not: both methods are to carry a slope on.
                parts[i] = method.step(func, self._own(interval, method, mine, y), y, (slope,), estimate)
            evaluations.append(func.evaluations)
        step = self._joined(stiff, *parts)
        if again:
            return step
        with torch.no_grad():
            stiffness, direction = self._seen(func, interval, y, step, remembered[1])
            memory = Memory(*remembered[0].unbind(1)).after(Tensors, stiffness.to(y.dtype), worthwhile(y[0].numel()))
        evaluations.append(func.evaluations)
        explicit, implicit, probing = (b - a for a, b in itertools.pairwise(evaluations))
        idle = torch.where(stiff, explicit, implicit + probing)
        if step.idle is not None:
            idle = idle + torch.where(stiff, step.idle, 0)
        step.idle = idle if step.unsolved is None else torch.where(step.unsolved, idle + probing, idle)
        step.carry = (*step.carry, torch.stack(memory, 1), direction)
        return step

    def extend(self, func, interval, y, carry, step):
        """What the dense output of every sample's own method needs."""
        stiff, *parts = step.kept
        for part, (method, mine, _) in zip(parts, self._methods(stiff, True, True), strict=True):
            if part is not None:
                method.extend(func, self._own(interval, method, mine, y), y, carry[:1], part)

    def at_fractions(self, y: Tensor, step: Step, dt: Tensor, rows: Tensor, thetas: Tensor) -> Tensor:
        """The dense output of every sample's own method."""
        stiff, *parts = step.kept
        methods = self.for_nonstiff, self.for_stiff
        found = [
            None if part is None else method.at_fractions(y, part, dt, rows, thetas)
            for method, part in zip(methods, parts, strict=True)
        ]
        return _chosen(stiff[rows], *found)

    def _methods(self, stiff: Tensor, some: bool, every: bool):
        """(method, whose steps it takes, whether it takes any) of both."""
        return (self.for_nonstiff, ~stiff, not every), (self.for_stiff, stiff, some)

    def _own(self, interval: Interval, method: Stepper, mine: Tensor, y: Tensor) -> Interval:
        """The interval with the nodes of a method, of no length for samples that are the other's."""
        own = self.own(interval, method)
        own.dt = torch.where(spread(mine, y), interval.dt, 0.0)
        return own

    @staticmethod
    def _joined(stiff: Tensor, *parts: Step | None) -> Step:
        """One step of those of both methods, which it keeps."""
        found = [(None, None, None) if step is None else (step.y1, step.carry[0], step.error) for step in parts]
        y1, slope, error = (_chosen(stiff, *both) for both in zip(*found, strict=True))
        step, implicit = Step(y1, (slope,), error), parts[1]
        step.kept = stiff, *parts
        if implicit is not None:
            step.unsolved, step.idle = implicit.unsolved, implicit.idle
        return step

    def _seen(self, func, interval: Interval, y: Tensor, step: Step, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Every step's stiffness, and the direction in which it was seen."""
        stiff, explicit, implicit = step.kept
        scale = self.tolerance.of_step(interval.times[-1], y, step.y1)
        found = more = None, None
        if explicit is not None:
            found = self.after_explicit(interval, explicit, scale)
        if implicit is not None:
            more = self.after_implicit(func, interval, step.y1, implicit.carry[0], scale, direction)
        stiffness, ahead = (_chosen(stiff, *both) for both in zip(found, more, strict=True))
        return stiffness, ahead


def _chosen(stiff: Tensor, explicit: Tensor | None, implicit: Tensor | None) -> Tensor:
    """Of every sample that of its own method."""
    if explicit is None or implicit is None:
        return implicit if explicit is None else explicit
    return torch.where(spread(stiff, explicit), implicit, explicit)
