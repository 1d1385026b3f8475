"""gradient="checkpoint": the exact gradient, from the graphs of the steps that fit and from other steps taken again."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from .._derivative.parameters import parameters_of
from .._derivative.vjp import GradientSum, is_nothing
from .._steps.loops import Accepted
from .._steps.problem import Problem
from ._replay import StepGraph, differentiable_gradient
from ._unchanged import Comparison

#: States are thinned out once there are more than this many for each step between two of them …
_STATES_PER_STRIDE = 64
#: … and together they take more than this many bytes; below, thinning would cost time and save nothing.
_BYTES = 2**26


def checkpoint(problem: Problem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """Backprop's gradient to rounding, in bounded memory (Gruslys et al. 2016; Chen 2016).

    While the graphs of the steps fit the option graph_bytes, they are kept: nothing is evaluated a second time, and
    the gradient is that of the forward pass that ran, whatever happens to the derivative afterwards. The steps after
    that are taken again in the backward pass, one at a time.
    """
    graphs, steps, last, over = problem.graphs, problem.steps(y0, slope), None, True

    def has_graph():
        """Whether there is one: of what requires no gradient there is none, so it is recorded in any case."""
        return any(x.requires_grad for x in ((y0, slope) if last is None else (last.step.y1, *last.step.carry)))

    def recorded():
        nonlocal last, over
        while not (graphs.full and has_graph()):
            accepted = next(steps, None)
            if accepted is None:
                return
            yield accepted
            graphs.add(accepted)
            last = accepted
        over = False

    outputs = problem.collected(recorded())
    if not over:
        value, known = (slope, [y0]) if last is None else (last.step.y1, [last.y, *(last.carry or ())])
        read = list(problem.seen)
        problem.func.look_for_results_kept(read)
        problem.record.parameters = parameters_of(read, problem.named, value, known)
        y, carry = (y0, ()) if last is None else (last.step.y1, last.step.carry)
        *more, _ = _Retaken.apply(problem, steps, len(carry), y, *carry, *problem.record.parameters)
        outputs += more
    return problem.completed(outputs, y0)


class Trajectory:
    """Accepted steps, and the states at some of their beginnings.

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
        self.stride, self.end = 1, None

    def keep(self, accepted: Accepted) -> None:
        """Remember a step; its own tensors are let go."""
        index, self.end = len(self.steps), accepted.step.y1
        if accepted.carry is None:
            self.restarts.add(index)
        if index % self.stride == 0:
            self.states[index] = (accepted.y, *(accepted.carry or ()))
            if self._too_many(accepted.y):
                self.stride *= 2
                self.states = {i: state for i, state in self.states.items() if i % self.stride == 0}
        self.steps.append(accepted.without_tensors())

    def _too_many(self, y: Tensor) -> bool:
        if self.limit is not None:
            return len(self.states) > self.limit
        size = len(self.states) * y.numel() * y.element_size()
        return len(self.states) > _STATES_PER_STRIDE * self.stride and size > _BYTES

    def is_last(self, index: int) -> bool:
        """Whether no step follows."""
        return index == len(self.steps) - 1

    def segment(self, first: int, y: Tensor, carry) -> list[tuple[Tensor, tuple | None]]:
        """The beginnings of all steps from a kept state up to the next one."""
        beginnings = [(y, carry)]
        for index in range(first, min(first + self.stride, len(self.steps)) - 1):
            step, _ = self.problem.repeat(self.steps[index], *beginnings[-1], final=False)
            beginnings.append((step.y1, None if index + 1 in self.restarts else step.carry))
        return beginnings


class _Retaken(Function):
    """The rest of a solve, without graphs: from (y, carry) to its outputs, and the state at its end."""

    @staticmethod
    def forward(ctx, problem: Problem, steps, carries: int, y: Tensor, *carry_and_parameters: Tensor):
        ctx.set_materialize_grads(False)
        trajectory = Trajectory(problem, problem.checkpoints)

        def kept():
            for accepted in steps:
                trajectory.keep(accepted)
                yield accepted

        with problem.surroundings.forward():
            outputs = problem.collected(kept())
        end = y.new_empty(0) if trajectory.end is None else trajectory.end.detach()
        ctx.mark_non_differentiable(end)
        ctx.problem, ctx.trajectory, ctx.carries = problem, trajectory, carries
        ctx.layout = [(index, len(state)) for index, state in trajectory.states.items()]
        states = [x for state in trajectory.states.values() for x in state]
        ctx.save_for_backward(end, *states, y, *carry_and_parameters)
        trajectory.states, trajectory.end = {}, None
        return *outputs, end

    @staticmethod
    def backward(ctx, *gradients):
        if not ctx.trajectory.steps or is_nothing(gradients):
            return (None,) * len(ctx.needs_input_grad)
        differentiated = _again if torch.is_grad_enabled() else _stepwise
        with ctx.problem.differentiation():
            return None, None, None, *differentiated(ctx, gradients[:-1])


def _again(ctx, gradients):
    """All of it again under autograd, so that its gradient can be differentiated."""
    trajectory, saved = ctx.trajectory, ctx.saved_tensors
    y, *rest = saved[1 + sum(length for _, length in ctx.layout) :]
    found, end = differentiable_gradient(
        ctx.problem, trajectory.steps, trajectory.restarts, y, rest[: ctx.carries], gradients
    )
    same = Comparison()
    same.add(end, saved[0])
    same.insist()
    return found


def _stepwise(ctx, gradients):
    """The vector–Jacobian product of one step after the other, last step first."""
    trajectory, parameters, same = ctx.trajectory, ctx.problem.record.parameters, Comparison()
    after, *saved = ctx.saved_tensors
    states, position = {}, 0
    for index, length in ctx.layout:
        states[index] = saved[position : position + length]
        position += length
    del saved
    totals = GradientSum(len(parameters))
    output = sum(step.outputs for step in trajectory.steps)
    adjoint, adjoint_carry = None, ()
    for first in reversed(list(states)):
        y, *carry = (x.detach() for x in states.pop(first))
        beginnings = trajectory.segment(first, y, None if first in trajectory.restarts else tuple(carry))
        while beginnings:
            index = first + len(beginnings) - 1
            accepted = trajectory.steps[index]
            incoming, output = gradients[output - accepted.outputs : output], output - accepted.outputs
            graph = StepGraph(ctx.problem, accepted, *beginnings.pop(), final=trajectory.is_last(index))
            if after is not None:
                same.add(graph.step.y1, after)
            after = None
            adjoint, adjoint_carry, found = graph.pullback(parameters, incoming, adjoint, adjoint_carry)
            del graph  # lets go of one graph before the next is made
            totals.add(found)
        after = y
    same.insist()
    missing = (None,) * (ctx.carries - len(adjoint_carry))
    return adjoint, *adjoint_carry, *missing, *totals.values
