"""compile=True: a solve in compiled loops, with the exact gradient."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from ._chosen import Chosen
from ._clock import Interval
from ._compiled_loops import Chunk, Loops, Within
from ._control import Pace
from ._gradients import Gradient
from ._gradients._replay import differentiable_gradient
from ._gradients._unchanged import Watched
from ._loops import Accepted
from ._problem import Problem
from ._vjp import GradientSum, vector_jacobian
from ._warning import warn
from .errors import SolveFailed, UnsupportedCombination

#: the loops of every module that was ever solved with, for as long as it lives
_LOOPS: weakref.WeakKeyDictionary[nn.Module, dict] = weakref.WeakKeyDictionary()


class Piece(NamedTuple):
    """Steps of a compiled solve, and where the outputs lie in them."""

    chunk: Chunk
    outputs: Within
    y = step = None
    places = ()

    @property
    def until(self) -> float:
        """Where they end."""
        return self.chunk.times[-1]

    def states(self, stepper, y, step) -> Sequence[Tensor]:
        """The solution at the output times within them."""
        return self.outputs.outputs(stepper, self.chunk).unbind() if self.outputs.states else ()


class CompiledProblem(Problem):
    """A solve in compiled loops, which are compiled once for each module, method and shape of state."""

    def steps(self, y0: Tensor, slope: Tensor) -> Iterator[Piece]:
        """The steps, many at once."""
        left = self.times[1:]
        for chunk in (self._chosen if isinstance(self.plan, Chosen) else self._given)(y0, slope):
            within = chunk.within(left)
            left = left[len(within.states) :]
            yield Piece(chunk, within)

    @functools.cached_property
    def loops(self) -> Loops:
        """The compiled loops of this module and method."""
        from ._compiled_kernels import is_tall  # imports the compiler, for which only those wait who use it

        stepper, plan = self.stepper, self.plan
        adaptive = isinstance(plan, Chosen)
        dense = len(self.times) > 2 if adaptive else not set(self.times) <= set(plan.points)
        controller = plan.controller if adaptive else None
        turned = is_tall(self.func.packing.y0)
        known = _LOOPS.setdefault(self.func.func, {})
        key = (id(stepper.tableau), stepper.interpolation.shape, dense, turned, adaptive and astuple(controller))
        if key not in known:
            warn(
                f"compiling the solve of {type(self.func.func).__name__}, once in this process: it takes seconds where "
                "the caches of torch.compile know it, up to a minute where they do not"
            )
            known[key] = Loops(stepper, controller, dense, turned)
        return known[key]

    def _chosen(self, y: Tensor, slope: Tensor) -> Iterator[Chunk]:
        """Steps chosen by their errors."""
        plan, stats, loops, exact = self.plan, self.record.stats, self.loops, self.clock.exact
        t, end = self.times[0], self.times[-1]
        size = plan.first_step
        if size is None:
            size = plan.first_size(self.func, self.stepper, self.clock, t, end, y, slope)
        pace = Pace(*y.new_tensor([size, 1.0, 1.0], dtype=exact).unbind())
        while t != end:
            most = plan.max_num_steps - stats.accepted - stats.rejected
            if most <= 0:
                raise plan.too_many(self.func, self.stepper, self.next(t, pace.size.item()), y)
            rtol, atol, sign = plan.tolerance.rtol, plan.tolerance.atol, math.copysign(1.0, end - t)
            limits = y.new_tensor([end, sign, rtol, atol, plan.min_step, plan.max_step, most], dtype=exact)
            records = loops.records(t, y, slope, exact)
            pace, *counts = loops.advance(self.func.func, pace, limits, records)
            accepted, rejected, failed = torch.stack([x.reshape(()).long() for x in counts]).tolist()
            chunk = Chunk(records, accepted, loops.turn)
            stats.accepted, stats.rejected = stats.accepted + accepted, stats.rejected + rejected
            self.func.evaluations += (accepted + rejected) * loops.evaluations
            if stats.first_step is None and accepted:
                stats.first_step = chunk.first_size
            if accepted:
                yield chunk
                t, y, slope = chunk.last()
            if failed:
                raise self._failure(t, y, pace.size.item())

    def _given(self, y: Tensor, slope: Tensor) -> Iterator[Chunk]:
        """Steps between given points."""
        plan, loops, exact, first = self.plan, self.loops, self.clock.exact, 0
        points = y.new_tensor(plan.points, dtype=exact)
        while first < len(points) - 1:
            records = loops.records(plan.points[first], y, slope, exact)
            count = min(len(records[0]), len(points) - first) - 1
            records[0][: count + 1, 0] = points[first : first + count + 1]
            loops.advance(self.func.func, torch.tensor([count], device=y.device), records)
            chunk = Chunk(records, count, loops.turn)
            self.record.stats.accepted += count
            self.func.evaluations += count * loops.evaluations
            yield chunk
            first, (_, y, slope) = first + count, chunk.last()
        plan.check(y)

    def next(self, t: float, size: float) -> Interval:
        """The interval that an uncompiled solve would step over."""
        end = self.times[-1]
        return self.plan.next(self.clock, t, Pace(size), math.copysign(1.0, end - t), [end])[0]

    def _failure(self, t: float, y: Tensor, size: float) -> SolveFailed:
        """Why no step is small enough: what an uncompiled one of this size meets."""
        plan, interval = self.plan, self.next(t, size)
        step = self.stepper.step(self.func, interval, y, self.stepper.begin(y, self.func(interval.times[0], y)))
        return plan.failure(interval, plan.error_ratio(self.clock, step, interval.t1, y), step)

    def accepted(self, kept) -> Iterator[Accepted]:
        """The steps of the solve one by one, to be taken again without the loops.

        Args:
            kept: the chunks and where the outputs lie in them.
        """
        for chunk, within in kept:
            thetas, inside, lands = dict(zip(within.inside, within.thetas, strict=True)), defaultdict(list), set()
            for output, state in enumerate(within.states):
                if output in thetas:
                    inside[state].append(thetas[output])
                else:
                    lands.add(state - 1)
            for i, (t0, t1) in enumerate(itertools.pairwise(chunk.times)):
                yield Accepted(self.clock.interval(t0, t1), inside[i], i in lands)


class _CompiledCheckpoint(Function):
    @staticmethod
    def forward(ctx, problem: CompiledProblem, slope: Tensor, y0: Tensor, *parameters: Tensor):
        kept = []
        ctx.watched = Watched(problem, y0, slope)
        with problem.surroundings.forward():
            outputs = problem.integrate(y0, slope, kept.append)
        ctx.watched.over(problem)
        ctx.problem, ctx.kept, ctx.start, problem.record.start = problem, kept, problem.record.start, None
        outputs = torch.stack(outputs)
        ctx.save_for_backward(y0, outputs)
        return outputs

    @staticmethod
    def backward(ctx, gradients: Tensor):
        problem, kept = ctx.problem, ctx.kept
        ctx.watched.insist(problem, ctx.saved_tensors[1].unbind())
        with problem.differentiation():
            if torch.is_grad_enabled():
                steps = list(problem.accepted(kept))
                found, _ = differentiable_gradient(problem, steps, {0}, ctx.saved_tensors[0], (), gradients.unbind())
            else:
                found = _pulled_back(problem, kept, ctx.start, gradients)
        return None, None, *found


def _pulled_back(problem: CompiledProblem, kept, start, gradients: Tensor):
    """The gradients of the initial state and of the parameters."""
    loops, stepper = problem.loops, problem.stepper
    named = named_parameters(problem.func.func, problem.record.parameters)
    adjoint = adjoint_slope = torch.zeros_like(loops.turn(gradients[0]), memory_format=torch.contiguous_format)
    totals, last = GradientSum(len(named)), len(gradients)
    for chunk, within in reversed(kept):
        first = last - len(within.states)
        at_states, at_slopes = within.scatter(stepper, chunk, gradients[first:last])
        steps, last = len(chunk.times) - 1, first
        problem.func.evaluations += steps * loops.evaluations
        adjoint, adjoint_slope, found = loops.pull(
            problem.func.func, torch.tensor([steps], device=adjoint.device), chunk.records, at_states, at_slopes,
            adjoint, adjoint_slope, named,
        )  # fmt: skip
        totals.add(found)
    adjoint = loops.turn(adjoint)
    if loops.carries:
        state, slope = start
        at_start, *found = vector_jacobian([slope], [state, *problem.record.parameters], [loops.turn(adjoint_slope)])
        totals.add(found)
        adjoint = adjoint if at_start is None else adjoint + at_start
    return adjoint, *totals.values


def compiled_checkpoint(problem: CompiledProblem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The exact gradient of a compiled solve: its steps taken again one at a time, in a compiled loop, too.

    Raises:
        UnsupportedCombination: for a derivative that draws random numbers.
    """
    if problem.record.random is not None:
        raise UnsupportedCombination(
            "the derivative draws random numbers (dropout?), which compiled steps do not draw again alike",
            remedy="Leave compile out",
        )
    return list(_CompiledCheckpoint.apply(problem, slope, y0, *problem.record.parameters).unbind())


COMPILED = Gradient("compiled checkpoint", compiled_checkpoint)


def named_parameters(module: nn.Module, parameters) -> dict[str, Tensor]:
    """The module's names of the tensors to differentiate by.

    Raises:
        UnsupportedCombination: tensors that are no parameters of the module.
    """
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    if any(id(parameter) not in names for parameter in parameters):
        raise UnsupportedCombination(
            "compile=True differentiates by the module's own parameters only",
            remedy="Make the other tensors parameters of the module, or leave compile out",
        )
    return {names[id(parameter)]: parameter.detach() for parameter in parameters}
