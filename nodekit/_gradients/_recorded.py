"""What the forward pass keeps as graphs, so that "checkpoint" evaluates it no second time: its start and its last step.

Between the passes that takes as much memory as the backward pass takes anyway to go through one step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from .._problem import Problem
from .._stepper import Step
from .._vjp import vector_jacobian


def leaf(x: Tensor) -> Tensor:
    """The tensor where a graph begins."""
    return x.detach().requires_grad_()


class LastStep:
    """A stepper that takes the step onto the end under autograd, and is the wrapped one in everything else.

    Attributes:
        y, carry: leaves, what that step was taken from.
        result: the step, None until it was taken.
        outputs: the solution at the output times within it.
    """

    def __init__(self, stepper, end: float):
        self.stepper, self.end, self.result, self.outputs = stepper, end, None, []

    def __getattr__(self, name):
        return getattr(self.stepper, name)

    def step(self, func, interval, y, carry, estimate=True, final=False) -> Step:
        """The wrapped stepper's."""
        if interval.t1 != self.end:
            return self.stepper.step(func, interval, y, carry, estimate, final)
        self.y, self.carry = leaf(y), tuple(leaf(x) for x in carry)
        with torch.enable_grad():
            self.result = self.stepper.step(func, interval, self.y, self.carry, estimate, final)
        return self.result

    def extend(self, func, interval, y, carry, step) -> None:
        """The wrapped stepper's."""
        if step is self.result:
            y, carry = self.y, self.carry
        with torch.set_grad_enabled(step is self.result):
            self.stepper.extend(func, interval, y, carry, step)

    def interpolate(self, interval, y, step, thetas):
        """The wrapped stepper's."""
        with torch.set_grad_enabled(step is self.result):
            return self.stepper.interpolate(interval, self.y if step is self.result else y, step, thetas)


class Recorded:
    """The graphs of a solve's start and of its last step, to be let go unless the backward pass may come again.

    Args:
        problem: the solve; nothing is recorded where its end is not known beforehand or differs between samples.
    """

    def __init__(self, problem: Problem):
        self.problem, self.last, self.start_carry = problem, None, None
        self.start = problem.start if problem.watch is None and isinstance(problem.times[-1], float) else None
        problem.start = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Around the forward pass."""
        problem, stepper = self.problem, self.problem.stepper
        if self.start is not None:
            problem.stepper = self.last = LastStep(stepper, problem.times[-1])
        try:
            yield
        finally:
            problem.stepper = stepper

    def detached(self, outputs: list[Tensor], steps, restarts) -> list[Tensor]:
        """The outputs without the last step's graph, which is kept unless its own start would be lost with it."""
        last = self.last
        if last is None or last.result is None or (len(steps) > 1 and len(steps) - 1 in restarts):
            self.last = None
        else:
            last.outputs = outputs[len(outputs) - len(steps[-1].thetas) - 1 :]
        return [y.detach() for y in outputs]

    def begin(self) -> tuple[Tensor, ...] | None:
        """The first step's carry, from the recorded slope."""
        if self.start is None:
            return None
        state, slope = self.start
        with torch.enable_grad():
            self.start_carry = self.problem.stepper.begin(state, slope)
        return tuple(x.detach() for x in self.start_carry)

    def through_start(self, adjoint: Tensor | None, adjoint_carry) -> tuple[Tensor | None, tuple]:
        """From the first step's adjoint to the initial state's, and the parameters' part of it."""
        if self.start_carry is None:
            return adjoint, ()
        found = vector_jacobian(self.start_carry, [self.start[0], *self.problem.parameters], adjoint_carry)
        adjoint = found[0] if adjoint is None else adjoint if found[0] is None else adjoint + found[0]
        return adjoint, found[1:]
