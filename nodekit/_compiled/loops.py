"""The compiled loops of compile=True: over the steps of a solve, and over their vector–Jacobian products."""

from __future__ import annotations

import bisect
import copy
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._choices.options import Options
from .._choices.tolerance import Tolerance
from .._derivative.state import Packing
from .._methods.runge_kutta import ExplicitRungeKutta
from .._steps.clock import Interval
from .._steps.control import Controller, Pace, error_norm, norm_of
from .._steps.numbers import Tensors
from .._steps.stepper import Step
from .field import called

#: The loops stop whenever they have recorded steps of about so many bytes …
_BYTES = 2**20
#: … or so many steps.
_STEPS = 256
#: A loop within a step is spread over threads from so many numbers a thread on. A thread that slept takes longer to
#: wake than a small system's step: 1.7 or 3 ms a solve for the same work, depending on what ran before.
_CHUNK = 8192


class Chunk:
    """Steps that a compiled loop took in one go.

    Attributes:
        times: of the states, one more than steps; steps: how many; first_size: proposed after the first of them, if
            sizes are chosen.
        records: as `Loops.records` makes them; turn: its states as those of the solve, and back.
        within: of `_advance`.
    """

    def __init__(self, records: tuple[Tensor | None, ...], steps: int, turn: Callable[[Tensor], Tensor], within=None):
        self.records, self.turn, self.within = records, turn, within
        self.times, sizes = records[0][: steps + 1].T.tolist()
        self.steps, self.first_size = steps, sizes[min(steps, 1)]

    def first(self) -> Tensor:
        """The state that it begins with."""
        return self.turn(self.records[1][0])

    def last(self) -> tuple[float, Tensor, Tensor | None]:
        """The time, the state and the carried slope that it ends with."""
        _, states, carried, _ = self.records
        at = self.steps
        return self.times[-1], self.turn(states[at]), None if carried is None else self.turn(carried[at])

    def outputs_within(self, outputs: Sequence[float]) -> Within:
        """Where the first of these times lie, as far as the chunk goes."""
        sign, found, step = 1 if self.times[-1] > self.times[0] else -1, Within(), 0
        ends = [sign * t for t in self.times[1:]]
        for t in outputs:
            step = bisect.bisect_left(ends, sign * t, step)
            if step == len(ends):
                break
            if t == self.times[step + 1]:
                found.states.append(step + 1)
            else:
                t0, t1 = self.times[step : step + 2]
                found.inside.append(len(found.states))
                found.thetas.append((t - t0) / (t1 - t0))
                found.lengths.append(t1 - t0)
                found.states.append(step)
        return found


def joined(chunks: Sequence[Chunk], y0: Tensor, states: Tensor, slopes: Tensor) -> Chunk:
    """Chunks as one.

    Args:
        y0: the state that they begin with; states, slopes: of every step, as the loops keep them.
    """
    first, turn = chunks[0], chunks[0].turn
    times = torch.cat([first.records[0][:1], *(x.records[0][1 : x.steps + 1] for x in chunks)])
    return Chunk((times, torch.cat([turn(y0)[None], states]), None, slopes), len(states), turn)


@dataclass
class Within:
    """Where output times lie in a chunk.

    Attributes:
        states: for every output, the state that it is or that its step begins with.
        inside: which outputs lie within steps; thetas, lengths: where, and how long these steps are.
    """

    states: list[int] = field(default_factory=list)
    inside: list[int] = field(default_factory=list)
    thetas: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def weights(self, stepper: ExplicitRungeKutta, like: Tensor) -> Tensor:
        """dt bᵢ(θ) of the dense output, shape (inside, slopes)."""
        weights = torch.from_numpy(stepper.dense_weights(self.thetas))
        return (weights * torch.tensor(self.lengths, dtype=weights.dtype)[:, None]).to(like)

    def outputs(self, stepper: ExplicitRungeKutta, chunk: Chunk) -> Tensor:
        """The solution there."""
        _, states, _, slopes = chunk.records
        y = states[self.states]
        if self.inside:
            slopes = slopes[[self.states[i] for i in self.inside]].flatten(2)
            added = torch.bmm(self.weights(stepper, y).unsqueeze(1), slopes)
            y[self.inside] += added.view(-1, *y.shape[1:])
        return chunk.turn(y)

    def scatter(self, stepper: ExplicitRungeKutta, chunk: Chunk, gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradients of the chunk's states and slopes from those of the outputs."""
        _, states, _, slopes = chunk.records
        gradients = chunk.turn(gradients)
        at_states, at_slopes = torch.zeros_like(states), None if slopes is None else torch.zeros_like(slopes)
        at_states.index_add_(0, gradients.new_tensor(self.states, dtype=torch.long), gradients)
        if self.inside:
            steps = gradients.new_tensor([self.states[i] for i in self.inside], dtype=torch.long)
            weights = self.weights(stepper, gradients)
            weights = weights.view(*weights.shape, *[1] * (gradients.ndim - 1))
            at_slopes.index_add_(0, steps, weights * gradients[self.inside].unsqueeze(1))
        return at_states, at_slopes


class Loops:
    """The two loops of a method over one module's slopes.

    Args:
        stepper: the method.
        controller: of the step sizes; None: steps over given points.
        dense: whether slopes are wanted, for output times inside steps.
        turned: whether the loops keep states transposed, their samples side by side.
        packing: of the state.
    """

    def __init__(
        self, stepper: ExplicitRungeKutta, controller: Controller | None, dense: bool, turned: bool, packing: Packing
    ):
        self.stepper, self.controller, self.dense, self.turned = stepper, controller, dense, turned
        self.packing = copy.copy(packing)
        self.packing.y0 = None  # the loops outlive the solve
        self.norm = norm_of(Options(), self.packing)
        #: whether the derivative was seen to read what it is differentiated by in its places only
        self.replaceable = False
        self.carries = stepper.fsal or (dense and any(stepper.at_end))
        self.evaluations = stepper.stages - self.carries + (len(stepper.extra_rows) if dense else 0)
        self.slopes = stepper.stages + len(stepper.extra_rows)
        self.advance = _compiled(_follow if controller is None else _advance, self)
        self.pull = _compiled(_pull, self)

    def step(self, func: Callable, t0: Tensor, t1: Tensor, y: Tensor, slope: Tensor, estimate: bool, within) -> Step:
        """One step between times that are tensors, exact ones: the derivative's own are rounded from them.

        Args:
            func: (t, state) → slope, both as the user has them.
            slope: at the start, if the method carries it on; else of no account.
            within: of `_advance`.
        """
        times = [((1 - c) * t0 + c * t1).to(y.dtype) for c in (0.0, *self.stepper.nodes, 1.0)]
        if within is not None:
            times = [t.clamp(*within.unbind()) for t in times]
        interval = Interval(t0, t1, times)
        interval.dt = interval.dt.to(y.dtype)
        carry = (slope,) if self.carries else ()

        def turned(t, y):
            y = self.turn(y)
            slope = func(t, self.packing.unpack(y))
            alike = isinstance(slope, Tensor) and slope.shape == y.shape and slope.dtype == y.dtype
            return self.turn(slope if alike else self.packing.pack(slope, "the derivative")).contiguous()

        step = self.stepper.step(turned, interval, y, carry, estimate)
        if self.dense:
            self.stepper.extend(turned, interval, y, carry, step)
        return step

    def turn(self, y: Tensor) -> Tensor:
        """States as the loops keep them, and back."""
        return y.mT if self.turned else y

    def records(self, t: float, y: Tensor, slope: Tensor, exact: torch.dtype) -> tuple[Tensor | None, ...]:
        """Room for steps from a state on.

        Returns:
            The states' times, each with the size proposed there, shape (room + 1, 2); the states, (room + 1, …); the
            slopes that are carried on with them, if the method does; and the slopes of every step, (room, slopes, …),
            if they are wanted. The first of all but the last are filled in.
        """
        rows = 1 + self.carries + self.slopes * self.dense
        room = max(1, min(_STEPS, _BYTES // (rows * max(y.numel(), 1) * y.element_size())))
        y = self.turn(y)
        times, states = y.new_empty(room + 1, 2, dtype=exact), y.new_empty(room + 1, *y.shape)
        times[0], states[0] = t, y
        carried = slopes = None
        if self.carries:
            carried = torch.empty_like(states)
            carried[0] = self.turn(slope)
        if self.dense:
            slopes = y.new_empty(room, self.slopes, *y.shape)
        return times, states, carried, slopes


def _compiled(function: Callable, loops: Loops) -> Callable:
    """A function about these loops, compiled with a cache and a count of recompilations of its own."""

    def bound(*arguments):
        return function(loops, *arguments)

    from .kernels import Rewritten  # imports the compiler, for which only those wait who use it

    bound = types.FunctionType(bound.__code__.replace(), bound.__globals__, function.__name__, None, bound.__closure__)
    options = {
        "cpp_wrapper": True,
        "post_grad_custom_pre_pass": Rewritten(loops.turned),
        "cpp.min_chunk_size": _CHUNK,
    }
    if hasattr(torch._inductor.config, "unsafe_marked_cacheable_functions"):
        # Else a loop is compiled anew in every process. The caches tell loops apart by what is in them, too
        # (test_compiled.py: "found again and only for the same derivative").
        options["unsafe_marked_cacheable_functions"] = {"torch.ops.higher_order.while_loop": torch.__version__}
    return torch.compile(bound, fullgraph=True, dynamic=False, options=options)


def _beginning(records) -> tuple[Tensor, Tensor]:
    """The state and the slope that a loop begins with; any tensor like it where no slope is carried on."""
    _, states, carried, _ = records
    return states[0].clone(), (states if carried is None else carried)[0].clone()


def _record(records, count: Tensor, t: Tensor, size: Tensor, y: Tensor, carry, slopes) -> None:
    """Write what a step led to behind what was recorded before."""
    times, states, carried, kept = records
    times.index_copy_(0, count + 1, torch.stack([t, size])[None])
    states.index_copy_(0, count + 1, y[None])
    if carried is not None:
        carried.index_copy_(0, count + 1, carry[None])
    if kept is not None:
        kept.index_copy_(0, count, torch.stack(slopes)[None])


def _advance(loops: Loops, module, args, pace, limits, records, tolerances, within):
    """Steps chosen by their errors, as `Adaptive.steps` chooses them, until the end or until the records are full.

    Args:
        args: further arguments of the module.
        pace: of the first step.
        limits: the end, the direction, rtol, atol, min_step, max_step, and how many steps may be attempted.
        records: of `Loops.records`.
        tolerances: rtol and atol of each number of the state; None: those of the limits.
        within: the first and the last time to evaluate at, beside jumps; None: there are none.

    Returns:
        The pace to go on with, how many steps were accepted and rejected, and whether no step was small enough.
    """
    controller, (times, states, carried, _) = loops.controller, records
    room, dtype = len(times) - 1, states.dtype
    # Each tensor that a loop hands on, and each that it reads, costs its part of every step: only what is needed is.
    remembers = bool(controller.pcoeff or controller.dcoeff)

    def func(t, state):
        return module(t, state, *args)

    def going(t, size, y, slope, count, rejected, failed, *memory):
        return ((t != limits[0]) & ~failed & (count < room) & (count + rejected < limits[-1])).reshape(())

    def attempt(t, size, y, slope, count, rejected, failed, *memory):
        end, sign, rtol, atol, min_step, max_step, _ = limits.unbind()
        t1, cut, pace = controller.propose(Tensors, Pace(size, *memory), t, end, sign, min_step, max_step)
        step = loops.step(func, t, t1, y, slope, True, within)
        tolerance = Tolerance(*(tolerances or (rtol.to(dtype), atol.to(dtype))))
        ratio = error_norm(step, tolerance.of_step(None, y, step.y1), loops.norm).to(t.dtype)
        accepted, failed, pace, free = controller.judge(Tensors, ratio, t, (t1 - t).abs(), cut, pace, min_step)
        t, y = torch.where(accepted, t1, t), torch.where(accepted, step.y1, y)
        if carried is not None:
            slope = torch.where(accepted, step.carry[0], slope)
        _record(records, count, t, free, y, slope, step.slopes)
        done = accepted.long().reshape(1)
        memory = (pace.last.clone(), pace.before.clone()) if remembers else ()  # never what the loop was handed
        return t, pace.size.clone(), y, slope.clone(), count + done, rejected + 1 - done, failed, *memory

    none = torch.zeros(1, dtype=torch.long, device=states.device)
    memory = (pace.last.clone(), pace.before.clone()) if remembers else ()
    began = times[0, 0].clone(), pace.size.clone(), *_beginning(records)
    never = torch.zeros_like(none[0], dtype=torch.bool)
    _, size, _, _, count, rejected, failed, *memory = torch.while_loop(
        going, attempt, (*began, none, none.clone(), never, *memory)
    )
    return Pace(size, *(memory or (pace.last.clone(), pace.before.clone()))), count, rejected, failed


def _follow(loops: Loops, module, args, steps, records):
    """So many steps between the times that the records hold already."""
    times, states, carried, _ = records

    def func(t, state):
        return module(t, state, *args)

    def going(y, slope, count):
        return (count < steps).reshape(())

    def take(y, slope, count):
        (t0, size), (t1, _) = times.index_select(0, count)[0], times.index_select(0, count + 1)[0]
        step = loops.step(func, t0, t1, y, slope, False, None)
        slope = step.carry[0] if carried is not None else slope
        _record(records, count, t1, size, step.y1, slope, step.slopes)
        return step.y1, slope.clone(), count + 1

    none = torch.zeros(1, dtype=torch.long, device=states.device)
    return torch.while_loop(going, take, (*_beginning(records), none))[2]


def _pull(
    loops: Loops, module, args, steps, records, within, at_states, at_slopes, adjoint, adjoint_slope, places, parameters
):
    """The vector–Jacobian products of so many recorded steps, the last first, each taken again.

    Args:
        at_states, at_slopes: gradients of what is recorded, by the outputs.
        adjoint, adjoint_slope: of the last state, and of the slope carried on with it, by the steps behind.
        places: of `Field.places`; parameters: what to differentiate by, each once, as the loop does not take aliases.

    Returns:
        The gradients of the first state, of the slope carried to it, and of the parameters.
    """
    times, states, carried, _ = records

    def going(count, adjoint, adjoint_slope, *totals):
        return (count > 0).reshape(())

    def pull_back(count, adjoint, adjoint_slope, *totals):
        count = count - 1
        t0, t1 = (times.index_select(0, i)[0, 0] for i in (count, count + 1))
        start = [x.index_select(0, count)[0] for x in (states, carried) if x is not None]

        def again(start, values):
            def func(t, state):
                return called(module, args, {place: values[number] for place, number in places.items()}, t, state)

            step = loops.step(func, t0, t1, start[0], start[-1], False, within)
            results = [step.y1]
            if carried is not None:
                results.append(step.carry[0])
            if at_slopes is not None:
                results.append(torch.stack(step.slopes))
            return results

        incoming = [adjoint]
        if carried is not None:
            incoming.append(adjoint_slope)
        if at_slopes is not None:
            incoming.append(at_slopes.index_select(0, count)[0])
        _, vjp = torch.func.vjp(again, start, parameters)
        found, gradients = vjp(incoming)
        # Gradients may come in another order of memory than what they are of, which the loop refuses.
        adjoint = (found[0] + at_states.index_select(0, count)[0]).contiguous()
        adjoint_slope = found[1].contiguous() if carried is not None else adjoint_slope.clone()
        return count, adjoint, adjoint_slope, *(a + b.reshape(-1) for a, b in zip(totals, gradients, strict=True))

    adjoint = adjoint + at_states.index_select(0, steps)[0]
    # Flat: of a parameter (n, 1) the total and the gradient may differ in their strides, which the loop refuses.
    totals = [x.new_zeros(x.numel()) for x in parameters]
    _, adjoint, adjoint_slope, *totals = torch.while_loop(
        going, pull_back, (steps.clone(), adjoint, adjoint_slope.clone(), *totals)
    )
    return adjoint, adjoint_slope, [total.view(x.shape) for total, x in zip(totals, parameters, strict=True)]
