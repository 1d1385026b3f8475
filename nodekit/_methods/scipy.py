"""SciPy's solvers as a reference: method="scipy_solver"."""

from __future__ import annotations

import math

import numpy as np
import torch

from .._steps.loops import Accepted, Plan
from .._steps.stepper import Step, Stepper
from ..errors import GradientUnavailable, SolveFailed, UnknownOption, UnsupportedCombination, nearest

SOLVERS = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")


class ScipySolver(Stepper):
    """`scipy.integrate.solve_ivp` in float64 on the CPU. Its steps cannot be differentiated or taken one at a time.

    Args:
        solver: the name of SciPy's method.
    """

    error_exponent = 1
    differentiable = False

    def __init__(self, solver: str = "LSODA"):
        if solver not in SOLVERS and not isinstance(solver, type):  # SciPy takes classes as well
            raise UnknownOption(f"no solver of SciPy's is called {solver!r}", remedy=nearest(solver, SOLVERS))
        self.solver = solver

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """Not available.

        Raises:
            GradientUnavailable: always.
        """
        raise GradientUnavailable(
            "SciPy's steps cannot be differentiated",
            remedy="Use gradient='adjoint' (odeint_adjoint), whose backward solve is nodekit's own",
        )

    def plan(self, tolerance, options) -> ScipyPlan:
        """The plan of a solve."""
        return ScipyPlan(self.solver, tolerance, options)


class ScipyPlan(Plan):
    """The whole solve, its results handed on as if each output had been reached by one step."""

    def __init__(self, solver: str, tolerance, options):
        self.solver, self.tolerance, self.options = solver, tolerance, options

    def steps(self, problem, y, slope):
        """One accepted step for each output time.

        Raises:
            SolveFailed: SciPy gave up, in its own words.
        """
        from scipy.integrate import solve_ivp  # an optional dependency

        func, clock, times = problem.func, problem.clock, problem.times
        if torch.is_grad_enabled() and (y.requires_grad or slope.requires_grad):
            problem.stepper.step(func, None, y, ())
        rtol, atol = (self._tolerance(value, y) for value in (self.tolerance.rtol, self.tolerance.atol))
        limits = {"max_step": self.options.max_step, "first_step": self.options.first_step}
        if self.solver == "LSODA" and self.options.min_step:
            limits["min_step"] = self.options.min_step

        def derivative(t: float, flat: np.ndarray) -> np.ndarray:
            # A copy: SciPy writes the next state into the same memory, and a function may keep what it was given.
            state = torch.from_numpy(flat.copy()).to(y).reshape(y.shape)
            return func(clock.instant(t), state).double().reshape(-1).cpu().numpy()

        start = y.detach().double().reshape(-1).cpu().numpy()
        if start.size == 0:
            raise UnsupportedCombination("SciPy does not solve empty states")
        span = (times[0], times[-1])
        found = solve_ivp(derivative, span, start, self.solver, times, rtol=rtol, atol=atol, **limits)
        if found.status != 0:
            t = float(found.t[-1]) if len(found.t) else times[0]
            raise SolveFailed(f"SciPy: {found.message}", t=t, remedy="Loosen rtol and atol, or choose another solver")
        before = y
        for t0, t1, column in zip(times, times[1:], found.y.T[1:], strict=False):
            state = torch.from_numpy(column.copy()).to(y).reshape(y.shape)
            problem.record.stats.accepted += 1
            accepted = Accepted(clock.interval(t0, t1), [], True)
            accepted.y, accepted.carry, accepted.step = before, None, Step(state)
            yield accepted
            before = state

    def _tolerance(self, value, y):
        if isinstance(value, torch.Tensor):
            return value.detach().double().expand(y.shape).reshape(-1).cpu().numpy()
        return float(value) if math.isfinite(value) else 0.0
