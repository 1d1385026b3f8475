"""compile=True: a solve in compiled loops, with the exact gradient."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from .._derivative.reachable import reachable
from .._derivative.vjp import GradientSum, vector_jacobian
from .._gradients import Gradient
from .._gradients._replay import differentiable_gradient
from .._gradients._unchanged import Watched
from .._steps.chosen import Chosen
from .._steps.clock import Interval
from .._steps.control import Pace
from .._steps.loops import Accepted
from .._steps.problem import Problem
from .._warning import warn
from ..errors import SolveFailed, UnsupportedCombination
from .field import Field
from .loops import Chunk, Loops, Within, joined

#: the loops of every derivative that was ever solved with, for as long as it lives
_LOOPS: weakref.WeakKeyDictionary[Any, dict] = weakref.WeakKeyDictionary()


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

    def at(self, stepper, t: float) -> Tensor:
        """The solution at a time within them."""
        return self.chunk.outputs_within([t]).outputs(stepper, self.chunk)[0]


class Recorded(Accepted):
    """A step whose result and slopes are outputs, too, of which dense output is made."""

    def states(self, stepper, y, step) -> list[Tensor]:
        """The solution at the output times within it, its result and its slopes."""
        return [*super().states(stepper, y, step), step.y1, torch.stack(step.slopes)]


@dataclass(frozen=True, eq=False)
class CompiledProblem(Problem):
    """A solve in compiled loops, which are compiled once for each derivative, method and shape of state.

    Attributes:
        field: the derivative as the loops call it, as it was before its first evaluation.
    """

    field: Field = None

    def __post_init__(self):
        if self.field is None:
            object.__setattr__(self, "field", Field(self.func.func, self.func.args))
            self.surroundings.modules = self.field.modules

    def look(self):
        """(place, thing) of everything that the derivative and the modules among its arguments may read now."""
        return reachable(*self.field.roots)

    @property
    def seen(self):
        """What they could read when the solve began."""
        return self.field.read

    def anew(self, **changes) -> Problem:
        """The same solve, with these changes, of the derivative as it is now."""
        return replace(self, field=None, **changes)

    def steps(self, y0: Tensor, slope: Tensor) -> Iterator[Piece]:
        """The steps, many at once."""
        self.field.insist_unchanged()
        left = self.times[1:]
        for chunk in (self._chosen if isinstance(self.plan, Chosen) else self._given)(y0, slope):
            within = chunk.outputs_within(left)
            left = left[len(within.states) :]
            yield Piece(chunk, within)

    @functools.cached_property
    def loops(self) -> Loops:
        """The compiled loops of this derivative, method and shape of state."""
        from .kernels import is_tall  # imports the compiler, for which only those wait who use it

        stepper, plan, packing = self.stepper, self.plan, self.func.packing
        adaptive = isinstance(plan, Chosen)
        dense = self.dense or (len(self.times) > 2 if adaptive else not set(self.times) <= set(plan.points))
        controller = plan.controller if adaptive else None
        turned = is_tall(packing.y0)
        structure = None if packing.trivial else str(packing.structure)
        state = (structure, tuple(packing.shapes), tuple(packing.dtypes), packing.device, packing.strict)
        method = (id(stepper.tableau), stepper.interpolation.shape, dense, controller)
        known, key = self.field.loops(_LOOPS), (self.field.code, state, method)
        if key not in known:
            warn(
                f"compiling the solve of {described(self.func.func)}, once in this process: it takes seconds where "
                "the caches of torch.compile know it, up to a minute where they do not"
            )
            known[key] = Loops(stepper, controller, dense, turned, packing)
        return known[key]

    def _chosen(self, y: Tensor, slope: Tensor) -> Iterator[Chunk]:
        """Steps chosen by their errors."""
        plan, stats, loops, exact = self.plan, self.record.stats, self.loops, self.clock.exact
        t, end = self.times[0], self.times[-1]
        size, sign, stops, tolerances = plan.first_step, math.copysign(1.0, end - t), plan.stops(t, end), None
        rtol, atol = plan.tolerance.rtol, plan.tolerance.atol
        if isinstance(rtol, Tensor) or isinstance(atol, Tensor):
            tolerances = [loops.turn(torch.as_tensor(x).to(y).expand(y.shape)).contiguous() for x in (rtol, atol)]
            rtol = atol = 0.0
        if size is None:
            size = plan.first_size(self.func, self.stepper, self.clock, t, end, y, slope)
        pace = Pace(*y.new_tensor([size, 1.0, 1.0], dtype=exact).unbind())
        while t != end:
            while stops[-1] == t:
                stops.pop()
            most = plan.max_num_steps - stats.accepted - stats.rejected
            if most <= 0:
                raise plan.too_many(self.func, self.stepper, self.next(t, pace.size.item(), stops), y)
            limits = y.new_tensor([stops[-1], sign, rtol, atol, plan.min_step, plan.max_step, most], dtype=exact)
            records, within = loops.records(t, y, slope, exact), self.evaluation_span(t, stops[-1])
            pace, *counts = self.run(loops.advance, pace, limits, records, tolerances, within)
            accepted, rejected, failed = torch.stack([x.reshape(()).long() for x in counts]).tolist()
            chunk = Chunk(records, accepted, loops.turn, within)
            stats.accepted, stats.rejected = stats.accepted + accepted, stats.rejected + rejected
            self.func.evaluations += (accepted + rejected) * loops.evaluations
            if stats.first_step is None and accepted:
                stats.first_step = chunk.first_size
            if accepted:
                yield chunk
                t, y, slope = chunk.last()
                if self.renews(t) and t != end:
                    slope = self.func(plan.moment(self.clock, t, end), y)
            if failed:
                raise self._failure(t, y, pace.size.item(), stops)

    def renews(self, t: float) -> bool:
        """Whether the slope of the step that begins here is evaluated anew, behind a jump."""
        return self.loops.carries and isinstance(self.plan, Chosen) and t in self.plan.jump_t and t != self.times[0]

    def evaluation_span(self, t: float, stop: float) -> Tensor | None:
        """Between which times the derivative is evaluated in steps from a time, or a later one, to a stop."""
        if not self.plan.jump_t:
            return None
        return torch.stack([self.plan.moment(self.clock, *ends) for ends in ((t, stop), (stop, t))]).sort().values

    def run(self, loop: Callable, *arguments):
        """What a compiled loop of the derivative returns.

        Raises:
            UnsupportedCombination: it cannot be compiled.
        """
        try:
            return loop(self.field.module, self.field.args, *arguments)
        except Exception as error:
            # Its errors have no common base, and to import one would load the compiler with nodekit.
            if not type(error).__module__.startswith(("torch._dynamo.", "torch._inductor.")):
                raise
            raise not_compiled(self.func.func, error) from error

    def _given(self, y: Tensor, slope: Tensor) -> Iterator[Chunk]:
        """Steps between given points."""
        plan, loops, exact, first = self.plan, self.loops, self.clock.exact, 0
        points = y.new_tensor(plan.points, dtype=exact)
        while first < len(points) - 1:
            records = loops.records(plan.points[first], y, slope, exact)
            count = min(len(records[0]), len(points) - first) - 1
            records[0][: count + 1, 0] = points[first : first + count + 1]
            self.run(loops.advance, torch.tensor([count], device=y.device), records)
            chunk = Chunk(records, count, loops.turn)
            self.record.stats.accepted += count
            self.func.evaluations += count * loops.evaluations
            yield chunk
            first, (_, y, slope) = first + count, chunk.last()
        plan.check(y)

    def next(self, t: float, size: float, stops: list[float]) -> Interval:
        """The interval that an uncompiled solve would step over."""
        jumps, sign = set(self.plan.jump_t), math.copysign(1.0, self.times[-1] - t)
        return self.plan.next(self.clock, t, Pace(size), sign, list(stops), jumps, t in jumps)[0]

    def _failure(self, t: float, y: Tensor, size: float, stops: list[float]) -> SolveFailed:
        """Why no step is small enough: what an uncompiled one of this size meets."""
        plan, interval = self.plan, self.next(t, size, stops)
        step = self.stepper.step(self.func, interval, y, self.stepper.begin(y, self.func(interval.times[0], y)))
        return plan.failure(interval, plan.error_ratio(self.clock, step, interval.t1, y), step)

    def accepted(self, kept) -> Iterator[Accepted]:
        """The steps of the solve one by one, to be taken again without the loops.

        Args:
            kept: the chunks and where the outputs lie in them.
        """
        jumps = getattr(self.plan, "jump_t", ())
        for chunk, within in kept:
            thetas, inside, lands = dict(zip(within.inside, within.thetas, strict=True)), defaultdict(list), set()
            for output, state in enumerate(within.states):
                if output in thetas:
                    inside[state].append(thetas[output])
                else:
                    lands.add(state - 1)
            for i, (t0, t1) in enumerate(itertools.pairwise(chunk.times)):
                interval = self.clock.interval(t0, t1, open_start=t0 in jumps, open_end=t1 in jumps)
                yield (Recorded if self.dense else Accepted)(interval, inside[i], i in lands)


class _CompiledCheckpoint(Function):
    @staticmethod
    def forward(ctx, problem: CompiledProblem, kept: list[Piece], slope: Tensor, y0: Tensor, *parameters: Tensor):
        ctx.set_materialize_grads(False)
        ctx.watched = Watched(problem, y0, slope)
        with problem.surroundings.forward():
            outputs = torch.stack(problem.integrate(y0, slope, kept.append))
        ctx.watched.over(problem, evaluated=False)
        ctx.problem, ctx.kept, ctx.start, problem.record.start = problem, kept, problem.record.start, None
        ctx.save_for_backward(y0, outputs)
        if not (problem.dense and kept):
            return (outputs,)
        states = torch.cat([chunk.records[1][1 : chunk.steps + 1] for chunk, _ in kept])
        return outputs, states, torch.cat([chunk.records[3][: chunk.steps] for chunk, _ in kept])

    @staticmethod
    def backward(ctx, gradients: Tensor | None, *recorded: Tensor | None):
        problem, kept, (y0, outputs) = ctx.problem, ctx.kept, ctx.saved_tensors
        ctx.watched.insist(problem, outputs.unbind())
        gradients = torch.zeros_like(outputs) if gradients is None else gradients
        with problem.differentiation():
            if torch.is_grad_enabled():
                steps = list(problem.accepted(kept))
                incoming = _step_by_step(problem, steps, gradients, recorded)
                found, _ = differentiable_gradient(problem, steps, {0}, y0, (), incoming)
            else:
                found = _pulled_back(problem, kept, ctx.start, gradients, recorded)
        return None, None, None, *found


def _step_by_step(problem: CompiledProblem, steps, gradients: Tensor, recorded) -> list[Tensor | None]:
    """The gradients of the outputs, of the results and of the slopes, in the order of the steps."""
    outputs, turn = iter(gradients.unbind()), problem.loops.turn
    each = zip(*([None] * len(steps) if x is None else turn(x).unbind() for x in recorded), strict=True)
    return [x for step in steps for x in (*itertools.islice(outputs, step.outputs), *next(each, ()))]


def _pulled_back(problem: CompiledProblem, kept, start, gradients: Tensor, recorded):
    """The gradients of the initial state and of the parameters.

    Args:
        kept: the chunks and where the outputs lie in them.
        start: of `Record`.
        gradients: of the outputs; recorded: of the results and of the slopes of all steps, if these were returned.
    """
    loops, stepper = problem.loops, problem.stepper
    parameters = problem.record.parameters
    places = problem.field.places(parameters)
    values = [x.detach() for x in parameters]
    adjoint = adjoint_slope = torch.zeros_like(loops.turn(gradients[0]), memory_format=torch.contiguous_format)
    totals, last = GradientSum(len(parameters)), sum(len(within.states) for _, within in kept)  # of those reached
    done = sum(chunk.steps for chunk, _ in kept)
    for chunk, within in reversed(kept):
        first = last - len(within.states)
        at_states, at_slopes = within.scatter(stepper, chunk, gradients[first:last])
        steps, last, done = chunk.steps, first, done - chunk.steps
        for total, gradient in zip((at_states[1:], at_slopes), recorded, strict=False):
            if gradient is not None:
                total[:steps] += gradient[done : done + steps]
        problem.func.evaluations += steps * loops.evaluations
        adjoint, adjoint_slope, found = problem.run(
            loops.pull, torch.tensor([steps], device=adjoint.device), chunk.records, chunk.within, at_states, at_slopes,
            adjoint, adjoint_slope, dict(places), values,
        )  # fmt: skip
        totals.add(found)
        renewed = start if chunk is kept[0][0] and loops.carries else _renewed(problem, chunk)
        if renewed is not None:
            state, slope = renewed
            at_start, *found = vector_jacobian([slope], [state, *parameters], [loops.turn(adjoint_slope)])
            totals.add(found)
            adjoint = adjoint if at_start is None else adjoint + loops.turn(at_start)
            adjoint_slope = torch.zeros_like(adjoint_slope)
    return loops.turn(adjoint), *totals.values


def _renewed(problem: CompiledProblem, chunk: Chunk) -> tuple[Tensor, Tensor] | None:
    """The state that a chunk begins with and the slope there with its graph, if that was evaluated anew."""
    t = chunk.times[0]
    if not problem.renews(t):
        return None
    with torch.enable_grad():
        state = chunk.first().detach().requires_grad_()
        return state, problem.func(problem.plan.moment(problem.clock, t, problem.times[-1]), state)


def compiled_checkpoint(problem: CompiledProblem, y0: Tensor, slope: Tensor) -> list[Tensor]:
    """The exact gradient of a compiled solve: its steps taken again one at a time, in a compiled loop, too.

    Raises:
        UnsupportedCombination: for a derivative that draws random numbers, or reads tensors that it is differentiated
            by where they cannot be replaced.
    """
    parameters, field = problem.record.parameters, problem.field
    if problem.record.random is not None:
        raise UnsupportedCombination(
            "the derivative draws random numbers (dropout?), which compiled steps do not draw again alike",
            remedy="Leave compile out",
        )
    places = field.places(parameters)
    if not (field.alone and problem.loops.replaceable):
        # Of a module once: it reads in each call the same attributes. What a function closes over differs.
        field.insist_replaceable(places, parameters, problem.start(), problem.func.packing.unpack(y0.detach()))
        problem.loops.replaceable = True
    kept: list[Piece] = []
    # Without what keeps the steps, which would hold the graph that holds the problem.
    outputs, *recorded = _CompiledCheckpoint.apply(replace(problem, keep=None), kept, slope, y0, *parameters)
    if recorded:
        problem.keep(Piece(joined([chunk for chunk, _ in kept], y0, *recorded), Within()))
    return list(outputs.unbind())


COMPILED = Gradient("compiled checkpoint", compiled_checkpoint)


def described(func: Callable) -> str:
    """A derivative in words."""
    return type(func).__name__ if isinstance(func, nn.Module) else getattr(func, "__qualname__", repr(func))


def not_compiled(func: Callable, error: Exception) -> UnsupportedCombination:
    """That the compiler does not take a derivative."""
    if type(error).__name__ == "FailOnRecompileLimitHit":
        return UnsupportedCombination(
            f"compile=True compiled the solve of {described(func)} anew too often, since something it reads that is "
            "no tensor changes from call to call",
            remedy="Pass what changes as a tensor in args, or leave compile out",
        )
    if "InvalidCxxCompiler" in str(error):
        return UnsupportedCombination(
            "compile=True needs a C++ compiler, and torch.compile finds none",
            remedy="Install one (g++), name it in the environment variable CXX, or leave compile out",
        )
    lines = [line.strip() for line in str(error).splitlines()]
    reason = next((line for line in lines if line.startswith("Explanation:")), lines[0])
    return UnsupportedCombination(
        f"torch.compile cannot compile {described(func)}: {reason.removeprefix('Explanation: ')}",
        remedy="Compute the slope from t, y and args by operations on tensors alone, without changing anything else, "
        "or leave compile out",
    )
