"""The automatic method: an explicit pair where it is the cheaper one, an implicit one where the problem is stiff."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._steps.clock import Interval
from .._steps.control import rms_norm
from .._steps.numbers import Floats, Number, Tensors
from .._steps.stepper import Step, Stepper, combine
from .explicit import TSIT5
from .implicit import KVAERNO5
from .implicit_runge_kutta import ImplicitRungeKutta
from .runge_kutta import ExplicitRungeKutta, nonzero

# Chosen by the evaluations that the problems of test_automatic take, at tolerances of 1e-3 and 1e-6.
#: the stiffness from which on an explicit step may be as long as its stability allows
STABLE = 2.0
#: so many explicit steps that long, more than shorter ones, are answered by an implicit one
PATIENCE = 12
#: so many implicit steps in a row that explicit ones would have done more cheaply, and that do not grow, end these
TRIAL = 2
#: the factor between implicit steps below which they do not grow
GROWING = 1.05
#: so few implicit steps were not worth a switch
VAIN = 10
#: slopes that an implicit stage takes, about; and the columns of a Jacobian that count at most
SOLVING, COLUMNS = 2.5, 32


class Memory(NamedTuple):
    """What is remembered from step to step: numbers of one solve, or tensors of every sample's.

    Attributes:
        implicit: whether the implicit method is next: 1, else 0.
        against: how many of its steps speak for the other one.
        taken: steps since the last switch.
        stiffness: of the last step, its size times the spectral radius.
        patience: how many explicit steps must be limited by stability before the implicit method is tried.
    """

    implicit: Number = 0.0
    against: Number = 0.0
    taken: Number = 0.0
    stiffness: Number = 0.0
    patience: Number = PATIENCE

    def after(self, n, stiffness: Number, worthwhile: float) -> Memory:
        """The memory after one more step.

        Args:
            n: the namespace of the numbers, `Floats` or `Tensors`.
            stiffness: of the step.
            worthwhile: the stiffness from which on an implicit step costs less than explicit ones in its place.
        """
        implicit, taken = self.implicit > 0, self.taken + 1
        # Steps that still grow, because what is stiff dies away, may yet come to pay.
        cheaper = stiffness < n.smaller(GROWING * self.stiffness, worthwhile)
        against = n.where(
            implicit,
            n.where(cheaper, self.against + 1, 0.0),
            n.where(stiffness > STABLE, self.against + 1, n.larger(self.against - 1, 0.0)),
        )
        switches = against >= n.where(implicit, float(TRIAL), self.patience)
        back = switches & implicit
        # An excursion that was in vain is not repeated soon.
        patient = n.where(taken <= VAIN, 2 * self.patience, float(PATIENCE))
        return Memory(
            n.where(switches, 1 - self.implicit, self.implicit),
            n.where(switches, 0.0, against),
            n.where(switches, 0.0, taken),
            n.where(back, 0.0, stiffness),
            n.where(back, patient, self.patience),
        )

    def tensor(self) -> Tensor:
        """As a part of the carry."""
        return torch.tensor(self, dtype=torch.float64)


class Switching(Stepper):
    """Steps of tsit5, of kvaerno5 where the problem is stiff, and back: the idea of LSODA (Petzold 1983).

    A step's stiffness is its size times the spectral radius, which is estimated by the quotient of two slopes' and two
    states' differences: of the explicit method's last two stages, both at the step's end (Hairer & Wanner II, section
    IV.2); after an implicit step, of one more evaluation along the direction in which the one before grew, which in the
    course of several steps is the power method (Sommeijer, Shampine & Verwer 1998).

    The interval of a step keeps the method that took it, so that the step is the same when it is taken again. The carry
    is the slope at the step's start, the memory, and, with the implicit method next, the direction.

    Attributes:
        n, norm, spread: the namespace of a step's numbers, the norm of a state, and how it broadcasts to the state.

    Args:
        interp: "dense" (each method's own interpolation), "cubic" (Hermite) or "linear".
        solver, newton_tol, max_newton_iterations: of the implicit steps' equations, see `kvaerno5`.
    """

    error_exponent = 5  # of both
    implicit = stiff = samples = True
    fixed = False
    dense_order = 4
    n: type[Floats] | type[Tensors] = Floats
    norm, spread = staticmethod(rms_norm), staticmethod(lambda x, y: x)

    def __init__(
        self,
        interp: str = "dense",
        solver: str = "auto",
        newton_tol: float | None = None,
        max_newton_iterations: int | None = None,
    ):
        self.for_nonstiff = ExplicitRungeKutta(TSIT5, interp)
        self.for_stiff = ImplicitRungeKutta(KVAERNO5, interp, solver, newton_tol, max_newton_iterations)
        self.nodes = (*self.for_nonstiff.nodes, *self.for_stiff.nodes)
        # The explicit method's last stage but one and its result are two states at the end of the step.
        self.apart = nonzero(TSIT5.b - TSIT5.A[-2])

    def prepare(self, tolerance, norm):
        """The tolerance gives components their units."""
        self.tolerance = tolerance
        self.for_stiff.prepare(tolerance, norm)

    def begin(self, y, slope):
        """The slope, and a memory of nothing."""
        return slope, Memory().tensor()

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """A step of the method that took it before, or of the one that the memory names."""
        slope, *remembered = carry
        if interval.method is not None:
            return interval.method.step(func, self.own(interval, interval.method), y, (slope,), estimate, final)
        memory = Memory(*remembered[0].tolist())
        interval.method = self.for_stiff if memory.implicit else self.for_nonstiff
        step = interval.method.step(func, self.own(interval, interval.method), y, (slope,), estimate, final)
        with torch.no_grad():
            scale = self.tolerance.of_step(interval.t1, y, step.y1)
            if memory.implicit:
                stiffness, direction = self.after_implicit(func, interval, step.y1, step.carry[0], scale, remembered[1])
            else:
                stiffness, direction = self.after_explicit(interval, step, scale)
        memory = memory.after(Floats, stiffness, worthwhile(y.numel()))
        step.carry = (*step.carry, memory.tensor(), *([direction] if memory.implicit else []))
        return step

    def extend(self, func, interval, y, carry, step):
        """What the dense output of the step's own method needs."""
        kept = step.carry
        interval.method.extend(func, self.own(interval, interval.method), y, carry[:1], step)
        step.carry = kept

    def interpolate(self, interval, y, step, thetas):
        """The dense output of the step's own method."""
        return interval.method.interpolate(interval, y, step, thetas)

    def own(self, interval: Interval, method: Stepper) -> Interval:
        """The interval with the nodes of one of the two methods."""
        first = 1 if method is self.for_nonstiff else 1 + len(self.for_nonstiff.nodes)
        start, *_, end = interval.times
        inside = interval.times[first : first + len(method.nodes)]
        return Interval(interval.t0, interval.t1, [start, *inside, end])

    def after_explicit(self, interval: Interval, step: Step, scale: Tensor) -> tuple[Number, Tensor]:
        """The stiffness of a step, and the direction in which it was seen."""
        apart = combine(None, interval.dt, self.apart, step.slopes)
        grown = step.slopes[-1] - step.slopes[-2]
        return self._stiffness(interval, grown / scale, self.norm(apart / scale)), apart.detach()

    def after_implicit(self, func, interval: Interval, y1: Tensor, slope: Tensor, scale: Tensor, direction: Tensor):
        """The same, from one more evaluation beside its end, where the slope is known."""
        size = self.norm(direction / scale).clamp_min(torch.finfo(direction.dtype).tiny)
        # As far as errors may be: rounding and what Newton's iteration left undone are far smaller.
        grown = func(interval.times[-1], y1 + direction / self.spread(size, direction)) - slope
        stiffness = self._stiffness(interval, grown / scale)
        return stiffness, self.n.where(self.spread(stiffness > 0, direction), grown.detach(), direction)

    def _stiffness(self, interval: Interval, grown: Tensor, apart: Tensor | float = 1.0) -> Number:
        """Zero where two equal states tell nothing, or the derivative is not finite."""
        found = self.n.of(abs(interval.t1 - interval.t0) * self.norm(grown) / apart)
        return self.n.where(self.n.isfinite(found), found, 0.0)


def worthwhile(unknowns: int) -> float:
    """The stiffness of one implicit step whose cost is that of stable explicit ones, in systems of this size."""
    return STABLE * (SOLVING * KVAERNO5.stages + min(unknowns, COLUMNS)) / (TSIT5.stages - 1)
