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


class StepGraph:
    """A step's graph, which begins with the step.

    Attributes:
        y, carry: leaves, what the step is taken from.
        step, outputs: its result, and the solution at the output times within it.
    """

    def __init__(self, y: Tensor, carry: tuple[Tensor, ...] | None):
        self.y = y.detach().requires_grad_()
        self.carry = None if carry is None else tuple(x.detach().requires_grad_() for x in carry)
        self.step, self.outputs = None, []

    def pullback(self, parameters, incoming, adjoint, adjoint_carry):
        """The gradients of y, of the carry and of the parameters from those of the outputs, the result and its carry.

        Args:
            incoming: of the outputs.
            adjoint, adjoint_carry: of the result, and of what it carried on.
        """
        inputs = [self.y, *(self.carry or ()), *parameters]
        incoming = [*incoming, adjoint, *adjoint_carry]
        found = vector_jacobian([*self.outputs, self.step.y1, *self.step.carry], inputs, incoming)
        count = 1 + len(self.carry or ())
        return found[0], found[1:count], found[count:]


class LastStep:
    """A stepper that takes the step onto the end under autograd, and is the wrapped one in everything else.

    Attributes:
        graph: of that step, None until it was taken.
    """

    def __init__(self, stepper, end: float):
        self.stepper, self.end, self.graph = stepper, end, None

    def __getattr__(self, name):
        return getattr(self.stepper, name)

    def step(self, func, interval, y, carry, estimate=True, final=False) -> Step:
        """The wrapped stepper's."""
        if interval.t1 != self.end:
            return self.stepper.step(func, interval, y, carry, estimate, final)
        graph = self.graph = StepGraph(y, carry)
        with torch.enable_grad():
            graph.step = self.stepper.step(func, interval, graph.y, graph.carry, estimate, final)
        return graph.step

    def extend(self, func, interval, y, carry, step) -> None:
        """The wrapped stepper's."""
        last = self._is_last(step)
        if last:
            y, carry = self.graph.y, self.graph.carry
        with torch.set_grad_enabled(last):
            self.stepper.extend(func, interval, y, carry, step)

    def interpolate(self, interval, y, step, thetas):
        """The wrapped stepper's."""
        last = self._is_last(step)
        with torch.set_grad_enabled(last):
            return self.stepper.interpolate(interval, self.graph.y if last else y, step, thetas)

    def _is_last(self, step: Step) -> bool:
        return self.graph is not None and self.graph.step is step


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
            problem.stepper = LastStep(stepper, problem.times[-1])
        try:
            yield
            if problem.stepper is not stepper:
                self.last = problem.stepper.graph
        finally:
            problem.stepper = stepper

    def detached(self, outputs: list[Tensor], steps, restarts) -> list[Tensor]:
        """The outputs without the last step's graph, which is kept unless its own start would be lost with it."""
        if self.problem.failure is not None:  # the step onto the end was rejected
            self.last = None
        if len(steps) > 1 and len(steps) - 1 in restarts:
            self.last = None
        if self.last is not None:
            self.last.outputs = outputs[len(outputs) - len(steps[-1].thetas) - 1 :]
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
