"""compile=True: every step, and every step's vector–Jacobian product, is one compiled function."""

from __future__ import annotations

import itertools
import types
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._clock import Clock, Interval
from ._control import Tolerance, error_norm, rms_norm
from ._methods.runge_kutta import ExplicitRungeKutta
from ._stepper import Step
from .errors import UnsupportedCombination

#: the compiled functions of every module that was ever solved with, for as long as it lives
_CACHE: weakref.WeakKeyDictionary[nn.Module, dict] = weakref.WeakKeyDictionary()


class LazyInterval(Interval):
    """An interval whose time tensors are made only when asked for: a compiled step makes its own.

    Args:
        t0, t1: its ends.
        clock: makes the times.
    """

    __slots__ = ("clock",)

    def __init__(self, t0: float, t1: float, clock: Clock):
        self.t0, self.t1, self.dt, self.clock = t0, t1, t1 - t0, clock

    @property
    def times(self):
        """As in `Interval`."""
        return Clock.interval(self.clock, self.t0, self.t1).times


class LazyClock(Clock):
    """A clock whose intervals are lazy."""

    def interval(self, t0, t1, *, open_start=False, open_end=False):
        return LazyInterval(t0, t1, self)

    def grid(self, points, *, open_ends=False):
        return [LazyInterval(a, b, self) for a, b in itertools.pairwise(points)]


class CompiledSteps:
    """An explicit Runge–Kutta stepper whose steps are compiled once for each module and shape of state.

    The steps that it compiles are the stepper's own; the numbers that change from step to step are tensors in it.

    Args:
        stepper: the method.
        module: the derivative.
        tolerance: numbers, not tensors.
        dense: whether slopes are wanted, for output times inside steps.
    """

    compiled = True

    def __init__(self, stepper: ExplicitRungeKutta, module: nn.Module, tolerance: Tolerance, dense: bool):
        self.stepper, self.module, self.dense = stepper, module, dense
        self.tolerance = [tolerance.rtol, tolerance.atol]
        functions = _CACHE.setdefault(module, {})
        key = (id(stepper.tableau), stepper.interpolation.shape, dense)
        if key not in functions:
            functions[key] = _compiled(_attempt, stepper, dense), _compiled(_pullback, stepper, dense)
        self.attempt, self.pull = functions[key]

    def __getattr__(self, name):
        return getattr(self.stepper, name)

    def step(self, func, interval, y, carry, estimate=True, final=False) -> Step:
        """One step, a call of one compiled function."""
        func.evaluations += self.stepper.stages - bool(carry)
        y1, carry, slopes, ratio = self.attempt(self.module, y, carry, self._numbers(interval, y), estimate)
        step = Step(y1, carry, slopes=slopes)
        step.ratio = ratio
        return step

    def extend(self, func, interval, y, carry, step) -> None:
        """The stepper's; without extra stages there is nothing to do."""
        if self.stepper.extra_rows:
            step.slopes = list(step.slopes.unbind())
            self.stepper.extend(func, interval, y, carry, step)
            step.slopes = torch.stack(step.slopes)

    def interpolate(self, interval, y, step, thetas):
        """The stepper's, in one product with the slopes as they lie."""
        weights = torch.from_numpy(self.stepper.dense_weights(thetas)).to(y)
        values = torch.addmm(y.reshape(1, -1), weights, step.slopes.reshape(len(step.slopes), -1), alpha=interval.dt)
        return values.view(-1, *y.shape).unbind()

    def pullback(self, func, accepted, y, carry, parameters, outputs, adjoint, adjoint_carry):
        """The vector–Jacobian product of an accepted step, a call of one compiled function.

        Args:
            accepted: the step; y, carry: what it was taken from.
            parameters: the module's, by name.
            outputs: gradients of the outputs within the step, and of its result if it lands on an output time.
            adjoint, adjoint_carry: gradients of the step's result and of what it carried on.

        Returns:
            The gradients of y, of the carry, and of the parameters.
        """
        stepper, interval, count = self.stepper, accepted.interval, len(accepted.thetas)
        func.evaluations += stepper.stages - bool(carry)
        ends = [x for x in (adjoint, *outputs[count:]) if x is not None]
        at_result = sum(ends[1:], ends[0]) if ends else torch.zeros_like(y)
        at_carry = at_slopes = at_start = None
        if stepper.fsal:
            at_carry = adjoint_carry[0] if adjoint_carry else torch.zeros_like(y)
        if self.dense:
            inside = [(theta, x) for theta, x in zip(accepted.thetas, outputs, strict=False) if x is not None]
            slopes = stepper.stages + len(stepper.extra_rows)
            if inside:
                values = torch.stack([x for _, x in inside])
                weights = torch.from_numpy(
                    self.stepper.dense_weights([theta for theta, _ in inside]).T * interval.dt
                ).to(y)
                at_slopes = torch.mm(weights, values.reshape(len(inside), -1)).view(slopes, *y.shape)
                at_start = values.sum(0)
            else:
                at_slopes = y.new_zeros(slopes, *y.shape)
        incoming = (at_result, at_carry, at_slopes)
        found_y, found_carry, found = self.pull(self.module, y, carry, self._numbers(interval, y), incoming, parameters)
        return found_y if at_start is None else found_y + at_start, found_carry, list(found.values())

    def _numbers(self, interval, y: Tensor) -> Tensor:
        exact = torch.float32 if y.device.type == "mps" else torch.float64
        return torch.tensor([interval.t0, interval.t1, *self.tolerance], dtype=exact, device=y.device)


def _interval(stepper, numbers: Tensor, dtype: torch.dtype) -> Interval:
    """An interval of tensors: dt in the state's type, times from exact ends."""
    t0, t1, _, _ = numbers.unbind()
    times = [((1 - c) * t0 + c * t1).to(dtype) for c in (0.0, *stepper.nodes, 1.0)]
    interval = Interval(t0, t1, times)
    interval.dt = interval.dt.to(dtype)
    return interval


def _attempt(stepper, dense: bool, module, y, carry, numbers, estimate: bool):
    """One step and its error in units of the tolerance."""
    step = stepper.step(module, _interval(stepper, numbers, y.dtype), y, carry, estimate)
    ratio = None
    if estimate:
        _, _, rtol, atol = numbers.to(y.dtype).unbind()
        ratio = error_norm(step, None, y, Tolerance(rtol, atol), rms_norm)
    return step.y1, step.carry, torch.stack(step.slopes) if dense else None, ratio


def _pullback(stepper, dense: bool, module, y, carry, numbers, incoming, parameters):
    """The step taken again, and its vector–Jacobian product."""
    at_result, at_carry, at_slopes = incoming
    interval = _interval(stepper, numbers, y.dtype)

    def again(y, carry, parameters):
        def func(t, z):
            return torch.func.functional_call(module, parameters, (t, z))

        step = stepper.step(func, interval, y, carry, estimate=at_carry is not None)
        if dense:
            stepper.extend(func, interval, y, carry, step)
        carried = step.carry[0] if at_carry is not None else None
        return [x for x in (step.y1, carried, torch.stack(step.slopes) if dense else None) if x is not None]

    _, vjp = torch.func.vjp(again, y, carry, parameters)
    return vjp([x for x in (at_result, at_carry, at_slopes) if x is not None])


def _compiled(function, stepper, dense: bool):
    """A function of its own, compiled: every module's has its own cache and its own count of recompilations."""

    def bound(*arguments):
        return function(stepper, dense, *arguments)

    bound = types.FunctionType(bound.__code__.replace(), bound.__globals__, function.__name__, None, bound.__closure__)
    return torch.compile(bound, fullgraph=True, dynamic=False, options={"guard_filter_fn": _without_constants})


def _without_constants(guards) -> list[bool]:
    """Guards but those on the stepper, which never changes and of which there would be one for every coefficient."""
    return ["stepper" not in guard.name for guard in guards]


def compiled(
    stepper, func, packing, args, tolerance: Tolerance, norm, options, gradient: str, times, everywhere: bool
) -> CompiledSteps:
    """The stepper with its steps compiled.

    Args:
        everywhere: whether the solution is wanted between the output times, by events or as dense output.

    Raises:
        UnsupportedCombination: what cannot be compiled, and what to do.
    """
    needs = {
        "an explicit Runge–Kutta method": type(stepper) is ExplicitRungeKutta,
        "a derivative that is a torch.nn.Module": isinstance(func, nn.Module),
        "a state that is one real tensor": packing.trivial,
        "no args (let the module hold them)": not args,
        "the default norm": norm is rms_norm,
        "tolerances that are numbers": all(isinstance(x, float) for x in (tolerance.rtol, tolerance.atol)),
        "no perturb, jump_t or grid_constructor": not (options.perturb or options.jump_t or options.grid_constructor),
        "gradient='checkpoint'": gradient == "checkpoint",
        "no events and no dense output": not everywhere,
        "no BatchNorm that is being trained": not (
            isinstance(func, nn.Module) and any(part.training and part._buffers for part in func.modules())
        ),
    }
    missing = [words for words, holds in needs.items() if not holds]
    if missing:
        raise UnsupportedCombination(f"compile=True needs {'; '.join(missing)}", remedy="Leave compile out")
    return CompiledSteps(stepper, func, tolerance, dense=len(times) > 2)


def named_parameters(module: nn.Module, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
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
    return {names[id(parameter)]: parameter for parameter in parameters}
