"""gradient="checkpoint": the exact gradient, from accepted steps taken again one at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from .._loops import Accepted
from .._problem import Problem
from .._vjp import GradientSum
from ._recorded import Recorded, StepGraph
from ._replay import differentiable_gradient

#: States are thinned out once there are more than this many for each step between two of them …
_STATES_PER_STRIDE = 64
#: … and together they take more than this many bytes; below, thinning would cost time and save nothing.
_BYTES = 2**26


class Trajectory:
    """The accepted steps of a solve, and the states at some of their beginnings.

    Every state is kept until there are too many, then every second one, and so on: of N steps about √N states are
    kept and about √N are recomputed at a time.

    Args:
        problem: the solve.
        states: how many states to keep at most; None: about √N once they take 64 MiB.
    """

    def __init__(self, problem: Problem, states: int | None = None):
        self.problem, self.limit = problem, states
        self.steps: list[Accepted] = []
        self.states: dict[int, tuple[Tensor, ...]] = {}
        self.restarts: set[int] = set()
        self.stride = 1

    def keep(self, accepted: Accepted) -> None:
        """Remember a step; its own tensors are let go."""
        index = len(self.steps)
        if accepted.carry is None:
            self.restarts.add(index)
        if index % self.stride == 0:
            self.states[index] = (accepted.y, *(accepted.carry or ()))
            if self._too_many(accepted.y):
                self.stride *= 2
                self.states = {i: state for i, state in self.states.items() if i % self.stride == 0}
        kept = Accepted(accepted.interval, None, None, None, accepted.thetas, accepted.lands, accepted.random)
        self.steps.append(kept)

    def _too_many(self, y: Tensor) -> bool:
        if self.limit is not None:
            return len(self.states) > self.limit
        size = len(self.states) * y.numel() * y.element_size()
        return len(self.states) > _STATES_PER_STRIDE * self.stride and size > _BYTES

    def repeat(self, index: int, y: Tensor, carry):
        """Take one of the steps again."""
        return self.problem.repeat(self.steps[index], y, carry, final=index == len(self.steps) - 1)

    def graph(self, index: int, y: Tensor, carry) -> StepGraph:
        """Take one of the steps again under autograd."""
        graph = StepGraph(y, carry)
        with torch.enable_grad():
            graph.step, graph.outputs = self.repeat(index, graph.y, graph.carry)
        return graph

    def segment(self, first: int, y: Tensor, carry) -> list[tuple[Tensor, tuple | None]]:
        """The beginnings of all steps from a kept state up to the next one."""
        beginnings = [(y, carry)]
        for index in range(first, min(first + self.stride, len(self.steps)) - 1):
            step, _ = self.repeat(index, *beginnings[-1])
            beginnings.append((step.y1, None if index + 1 in self.restarts else step.carry))
        return beginnings


class _Checkpoint(Function):
    @staticmethod
    def forward(ctx, problem: Problem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        trajectory, recorded = Trajectory(problem, problem.states), Recorded(problem)
        with problem.surroundings.forward(), recorded.recording():
            outputs = problem.integrate(y0, slope, trajectory.keep)
        outputs = recorded.detached(outputs, trajectory.steps, trajectory.restarts)
        ctx.problem, ctx.trajectory, ctx.recorded = problem, trajectory, recorded
        ctx.layout = [(index, len(state)) for index, state in trajectory.states.items()]
        ctx.save_for_backward(y0, *(x for state in trajectory.states.values() for x in state), *parameters)
        trajectory.states = {}
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *gradients):
        problem = ctx.problem
        with problem.differentiation():
            if torch.is_grad_enabled():
                steps, restarts = ctx.trajectory.steps, ctx.trajectory.restarts
                found = differentiable_gradient(problem, steps, restarts, ctx.saved_tensors[0], gradients)
            else:
                found = _stepwise(ctx, gradients)
        return None, None, *found


def _stepwise(ctx, gradients):
    """The vector–Jacobian product of one step after the other, last step first."""
    problem, trajectory, recorded = ctx.problem, ctx.trajectory, ctx.recorded
    parameters = problem.parameters
    last = None if recorded is None else recorded.last
    if last is not None and not torch._C._autograd._get_current_graph_task_keep_graph():
        ctx.recorded = recorded.last = None
    _, *saved = ctx.saved_tensors
    states, position = {}, 0
    for index, length in ctx.layout:
        states[index] = saved[position : position + length]
        position += length
    del saved
    totals = GradientSum(len(parameters))
    output = sum(len(step.thetas) + step.lands for step in trajectory.steps)
    adjoint, adjoint_carry = None, ()
    for first in reversed(list(states)):
        y, *carry = (x.detach() for x in states.pop(first))
        carry = None if first in trajectory.restarts else tuple(carry)
        if first == 0 and recorded is not None:
            carry = recorded.begin()
        beginnings = trajectory.segment(first, y, carry)
        while beginnings:
            index = first + len(beginnings) - 1
            accepted = trajectory.steps[index]
            count = len(accepted.thetas) + accepted.lands
            incoming, output = gradients[output - count : output], output - count
            beginning = beginnings.pop()
            graph = last or trajectory.graph(index, *beginning)
            adjoint, adjoint_carry, found = graph.pullback(parameters, incoming, adjoint, adjoint_carry)
            last = graph = None  # lets go of one graph before the next is made
            totals.add(found)
    if recorded is not None:
        adjoint, found = recorded.through_start(adjoint, adjoint_carry)
        totals.add(found)
    return adjoint, *totals.values


def checkpoint(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """Backprop's gradient to rounding, holding the graph of one step at a time (Gruslys et al. 2016; Chen 2016).

    Between the passes that step is the last one, which is therefore not taken again.
    """
    return list(_Checkpoint.apply(problem, slope, y0, *problem.parameters))
