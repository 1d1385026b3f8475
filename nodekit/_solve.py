"""`solve`: the choices of a solve checked, put together, and carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ._choices.callbacks import callbacks_of
from ._choices.choices import Choices, chosen
from ._choices.requirements import require
from ._choices.times import sample_times
from ._choices.tolerance import tolerance_of
from ._compiled.solve import COMPILED, CompiledProblem
from ._derivative.context import Surroundings
from ._derivative.mass import MassDerivative
from ._derivative.parameters import is_transformed
from ._derivative.samples import SamplePacking, sample_norm
from ._derivative.state import Derivative, Packing
from ._derivative.vjp import refuse
from ._display import as_html, as_text, described
from ._events.events import Event, Occurrences, solve_with_events
from ._events.samples import SampleWatch
from ._gradients import GRADIENTS
from ._gradients._graphs import Graphs
from ._gradients.adjoint_solve import backward_solve
from ._gradients.differentiate import differentiably
from ._independent import solve_samples
from ._methods import SCIPY
from ._steps.clock import Clock, SampleClock, has_time_gradients
from ._steps.control import norm_of, refuse_vmap
from ._steps.dense import DenseSolution
from ._steps.loops import Stats
from ._steps.plan import make_plan, make_sample_plan
from ._steps.problem import Problem, Record
from ._steps.progress import Progress
from ._steps.sample_steps import SampleStats
from ._warning import warn
from .errors import GradientUnavailable, SolveFailed


@dataclass
class Solution:
    """The result of `solve`.

    Attributes:
        t: the output times, as given.
        y: the state at these times: like y0, with the times as a new first dimension.
        stats: evaluations forward and backward, accepted and rejected steps. The backward count is filled in by the
            backward pass.
        status: None on success, else the failure (with `throw=False`); outputs it left unreached are NaN.
        events: the events that happened, where events were given; t and y then end with the last output time before
            the event that ended the solve.
        dense: the solution as a function of time, where `dense=True` was asked for.
    """

    t: Any
    y: Any
    stats: Stats
    status: SolveFailed | None = None
    events: Occurrences | None = None
    dense: DenseSolution | None = None

    @property
    def success(self) -> bool:
        """Whether nothing failed: every output time was reached, or an event ended the solve before."""
        return self.status is None

    def __repr__(self) -> str:
        return as_text("Solution", described(self))

    def _repr_html_(self) -> str:
        return as_html("Solution", described(self))


def solve(
    func: Callable,
    y0: Any,
    t: Any,
    *,
    rtol: Any = 1e-7,
    atol: Any = 1e-9,
    method: str | None = None,
    options: dict[str, Any] | None = None,
    gradient: str = "checkpoint",
    args: tuple = (),
    params: Iterable[Tensor] = (),
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: dict[str, Any] | None = None,
    events: Iterable[Event | Callable] = (),
    batch: str = "shared",
    dense: bool = False,
    compile: bool = False,
    progress: bool = False,
    throw: bool = True,
    strict: bool = True,
) -> Solution:
    """Solve y' = func(t, y), y(t[0]) = y0, and say what happened.

    Args:
        func: f(t, y, *args) → the slope, like y. t is a scalar tensor of the state's real dtype (float32 for half
            precision); with a NumPy state, func receives and returns NumPy. Slopes are kept as they are: each call must
            return a tensor that later calls do not overwrite.
        y0: initial state: a tensor of any shape, real or complex, or a tuple, list or dict of them, nested; or NumPy
            arrays or numbers.
        t: times at which to have the state, strictly increasing or decreasing, the initial time first. With events
            the last may be infinite: the solve goes on until an event ends it.
        rtol, atol: tolerances: a number, a tensor that broadcasts to the state, a tuple with one for each tensor of
            the state, or a function of t.
        method: a name in `METHODS`; "dopri5" by default.
        options: see `nodekit.Options`, and the method's family for its own.
        gradient: how the solve is differentiated: "checkpoint" (exact; graphs of steps up to the option graph_bytes,
            then of one step at a time), "backprop" (exact, the graph of all steps), "reversible" (exact, constant
            memory; makes an explicit method reversible), "adjoint" (continuous, constant memory), "interpolated"
            (continuous, along the stored dense output). Exact: to rounding, the sizes of adaptive steps being
            constants. Second derivatives: the exact ones. Inside torch.func transforms all are "backprop".
        args: further arguments of func, differentiated when they are tensors that require it.

    Other Parameters:
        params: tensors to differentiate by beyond those found: parameters of the modules func is or holds, args, and
            leaves its graph leads to. Naming a computed tensor spares walking through its computation at each step.
        adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options: of the continuous adjoint's backward solve, the
            forward solve's by default.
        events: zeros of functions of the solution, see `Event`; a bare function is an event that ends the solve.
        batch: "shared": one solve of the whole state. "independent": every sample (first dimension) has its own steps,
            error test and, if t has shape (batch, times), times: rows of fewer times end in NaN, where the outputs are
            NaN, too, or in the last time again, which repeats the last output. func is evaluated on the whole batch,
            with t of shape (batch, 1, …), which broadcasts to the state; for implicit methods and the adjoint, no
            sample's slope may depend on another's state. A sample that fails leaves the others as they are; the
            statistics count for each.
        dense: whether to keep the solution as a function of time; the solve is then differentiated by "backprop",
            unless it is compiled.
        compile: whether to solve in loops compiled by torch.compile, once for each derivative and shape of state (half
            a minute, or seconds where its caches know them): for small systems, solved often. Explicit Runge–Kutta
            methods, states of real tensors and gradient="checkpoint", by the parameters of modules and args; the
            states of all steps are kept.
        progress: whether to show on the standard error how far the solve has come.
        throw: whether a failure on the way is raised or returned as the status.
        strict: whether arguments must fit exactly. False, the default of `odeint` and its like: as in torchdiffeq,
            unknown options are ignored with a warning, explicit adaptive methods stay adaptive where a step_size or
            grid_constructor is given, and slopes of a state of several tensors need only have their numbers of entries.

    Returns:
        A `Solution`. Gradients with respect to t are those of the flow: f at an output time, −aᵀf at the first. Where a
        Runge–Kutta method steps from one of the times to the next, "checkpoint" and "backprop" give those of the steps.

    Raises:
        NodekitError: see `nodekit.errors`.
    """
    choices = chosen(
        func, t, method, options, gradient, events, batch, strict, adjoint_method, args, y0=y0, rtol=rtol, atol=atol,
        dense=dense, compile=compile, progress=progress, adjoint_rtol=adjoint_rtol, adjoint_atol=adjoint_atol,
        adjoint_options=adjoint_options,
    )  # fmt: skip
    require(choices)
    named = [args, list(params)]
    problem, differentiate = _problem(choices, t, throw), COMPILED if choices.compiled else choices.gradient
    packing, occurred, solution = problem.func.packing, None, None
    y0 = _without_gradients_of_jumps(choices.options.jump_t, packing.y0)
    solved = problem
    if dense:
        solution = DenseSolution(problem)
        solved = replace(problem, dense=True, keep=solution.keep)
        differentiate = COMPILED if choices.compiled else GRADIENTS["backprop"]
    try:
        if batch == "independent":
            outputs, occurred = solve_samples(solved, differentiate, y0, t, named)
        elif choices.events:
            outputs, occurred = solve_with_events(solved, differentiate, y0, t, named, choices.events)
            t = t[: 1 + len(outputs)]
        else:
            outputs = differentiably(solved, differentiate, y0, t, named)
    finally:
        if progress:
            problem.progress.close()
    record = problem.record
    record.stats.nfe_forward = problem.func.evaluations
    y = packing.unpack(torch.stack([packing.y0, *outputs]))
    return Solution(t, y, record.stats, record.failure, occurred, solution)


def _without_gradients_of_jumps(jump_t: Any, y0: Tensor) -> Tensor:
    """The initial state, as of which a gradient that is asked for of the option jump_t is an error, not a missing one.

    Raises:
        GradientUnavailable: at once under torch.func's transforms, which ask for gradients at once.
    """
    if not has_time_gradients(jump_t):
        return y0
    error = GradientUnavailable(
        "the option jump_t requires a gradient, but when the slope jumps is taken as constant",
        remedy="Detach it, or let the solve restart there, Event(lambda t, y: t - time, change=lambda t, y: y), which "
        "gives this time its gradient",
    )
    if is_transformed():
        raise error
    return refuse(error, y0, jump_t)


def _problem(choices: Choices, t: Any, throw: bool) -> Problem:
    """What is to be solved, of the choices."""
    func, method, options = choices.func, choices.method, choices.options
    samples = choices.batch == "independent"
    packing = (SamplePacking if samples else Packing)(choices.y0, choices.strict)
    derivative = Derivative(func, packing, choices.args)
    if options.mass_matrix is not None:
        derivative = MassDerivative(options.mass_matrix, func, packing, choices.args)
    tolerance, norm = tolerance_of(choices.rtol, choices.atol, packing), norm_of(options, packing)
    stepper = (method.sample_stepper if samples else method.stepper)(**choices.own_options)
    callbacks = callbacks_of(func, derivative, method, options, choices.strict)
    watch, backward = None, None
    if samples:
        refuse_vmap(packing.y0)
        if not choices.fixed and (callbacks.accept or callbacks.reject):
            warn("callbacks for accepted and rejected steps are not called for independent samples")
        clock, stats = SampleClock(stepper.nodes, packing), SampleStats(packing.samples, packing.device)
        given, norm = sample_times(t, packing.samples, bool(choices.events)), sample_norm(options.norm, packing)
        plan = make_sample_plan(method, options, stepper.error_exponent, given, tolerance, norm, callbacks, clock)
        times = list(plan.times.unbind(1))
        watch = SampleWatch(choices.events, packing, clock, len(times)) if choices.events else None
    else:
        clock, stats, times = Clock(stepper.nodes, packing), Stats(), choices.times

        def grid(constructor: Callable) -> list[float]:
            points = constructor(
                func, choices.y0, t.detach() if isinstance(t, Tensor) else torch.tensor(times, dtype=packing.dtype)
            )
            if has_time_gradients(points):
                raise GradientUnavailable(
                    "the grid of grid_constructor requires a gradient, but where steps end is taken as constant",
                    remedy="Detach it, or name its points in t, whose gradients are those of the steps",
                )
            return points.detach().reshape(-1).tolist() if isinstance(points, Tensor) else [float(x) for x in points]

        if method is SCIPY:
            plan = stepper.plan(tolerance, options)
        else:
            plan = make_plan(method, options, stepper.error_exponent, times, tolerance, norm, callbacks, grid)
    if choices.gradient.solves_backwards:
        backward = backward_solve(choices, derivative, tolerance)
    return (CompiledProblem if choices.compiled else Problem)(
        derivative,
        stepper,
        plan,
        clock,
        times,
        Record(stats),
        Surroundings(derivative.read, packing.device),
        throw=throw,
        dense=watch is not None,
        checkpoints=options.checkpoints,
        graphs=Graphs(options.graphs() if method.differentiable else 0),
        backward=backward,
        watch=watch,
        progress=Progress(times[0], times[-1]) if choices.progress else None,
    )
