"""Implicit Runge–Kutta steps: one loop over the blocks of any tableau."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .._choices.tolerance import Tolerance
from .._steps.stepper import Step, combine
from ..errors import look_up
from .fixed_point import SOLVERS
from .ranges import whole, within
from .runge_kutta import ExplicitRungeKutta, nonzero
from .sample_newton import SampleEquations, SampleNewton
from .stages import StageEquations, differentiable_solution
from .tableau import ButcherTableau


class Block:
    """Stages first … last − 1 that depend on each other; earlier stages are known to them.

    Attributes:
        outer: for each stage the coefficients of earlier slopes.
        rows, columns: the coefficients among themselves; no rows for an explicit stage.
    """

    def __init__(self, A: np.ndarray, first: int, last: int):
        self.first, self.last = first, last
        self.outer = [nonzero(row[:first]) for row in A[first:last]]
        inner = A[first:last, first:last]
        self.rows = [nonzero(row) for row in inner] if inner.any() else []
        self.columns = [nonzero(column) for column in inner.T]


def blocks_of(A: np.ndarray) -> list[Block]:
    """The finest division into consecutive blocks such that no stage depends on a later block."""
    blocks, first = [], 0
    for last in range(1, len(A) + 1):
        if not A[first:last, last:].any():
            blocks.append(Block(A, first, last))
            first = last
    return blocks


class ImplicitRungeKutta(ExplicitRungeKutta):
    """Steps of any tableau, block after block of its stages. The carry is the last slope.

    A solve with chosen steps solves the stages to a hundredth of its own tolerance, one with given steps to rounding.
    Derivatives are those of the equations' solution (implicit function theorem), not of the iterations.

    Args:
        tableau: the method.
        interp: "dense" (the tableau's own interpolation), "cubic" (Hermite) or "linear".
        solver: of the stages' equations: "newton" (with a matrix), "krylov" (GMRES with Jacobian products),
            "fixed_point", "anderson" (accelerated fixed points), or "auto": by size, and by what converges.
        newton_tol: error allowed in a stage, relative to the largest entry of the state.
        max_newton_iterations: of the solver, in each block, before `NewtonDidNotConverge`.
    """

    implicit = True
    compiled = False

    def __init__(
        self,
        tableau: ButcherTableau,
        interp: str = "dense",
        solver: str = "auto",
        newton_tol: float | None = None,
        max_newton_iterations: int | None = None,
    ):
        super().__init__(tableau, interp)
        self.solver = look_up(solver, SOLVERS, "solver of implicit steps")
        self.blocks = blocks_of(tableau.A)
        if newton_tol is not None:
            newton_tol = within("newton_tol", newton_tol, lambda x: 0 < x < math.inf, "positive")
        if max_newton_iterations is not None:
            max_newton_iterations = whole("max_newton_iterations", max_newton_iterations)
        self.newton_tol, self.iterations = newton_tol, max_newton_iterations
        self.tolerance: Tolerance | None = None
        self.norm: Callable[[Tensor], Tensor] | None = None
        #: whether the last slope is the one at the end of the step, so that the next step starts with it
        self.stiffly_accurate = tableau.c[-1] == 1.0 and np.array_equal(tableau.A[-1], tableau.b)
        # A stiffly accurate method's dense output starts with the slope that is carried over.
        self.guesses = bool(self.blocks[0].rows) and not self.stiffly_accurate
        self.damping = self._damping(tableau)

    @staticmethod
    def _damping(tableau: ButcherTableau) -> float:
        """γ where the error estimate needs the filter (1 − γ dt J)⁻¹ against stiff components, else 0.

        Hairer & Wanner II, section IV.8; Hosea & Shampine 1996. An embedded solution that is a stage needs none.
        """
        embedded = tableau.b_embedded
        if embedded is None or any(np.array_equal(row, embedded) for row in tableau.A):
            return 0.0
        diagonal = tableau.A[-1, -1]
        return float(embedded[0] if np.triu(tableau.A, 1).any() else diagonal)

    def prepare(self, tolerance: Tolerance, norm: Callable[[Tensor], Tensor]) -> None:
        """Solve the stages as accurately as steps chosen with this tolerance deserve."""
        self.tolerance, self.norm = tolerance, norm

    def step(self, func, interval, y, carry, estimate=True, final=False):
        """One step: every block of stages, then the result. The slope carried over is the first guess."""
        dt, times, mass = interval.dt, interval.times, getattr(func, "mass", None)
        right_hand_side = func if mass is None else func.right_hand_side
        solver, equations_of = self.solver, StageEquations
        if of_samples := isinstance(dt, Tensor):
            solver, equations_of = SampleNewton, SampleEquations
        solver = solver(self.iterations, 1e2 if self._to_rounding else 1.0)
        slopes: list[Tensor] = []
        for block in self.blocks:
            known = [combine(y, dt, row, slopes) if row else y for row in block.outer]
            if not block.rows:
                first = carry and self.stiffly_accurate and not slopes
                slopes.append(carry[0] if first else func(times[block.first + 1], known[0]))
                continue
            within = times[block.first + 1 : block.last + 1]
            equations = equations_of(right_hand_side, within, known, dt, block.rows, block.columns, interval.t0, mass)
            t1 = times[-1] if of_samples else interval.t1
            slopes += self._solve(equations, solver, slopes[-1] if slopes else carry[0], t1)
            if of_samples:
                solver.note(equations)
        y1 = combine(y, dt, self.weights, slopes)
        error = None
        if estimate and self.error_weights is not None:
            with torch.no_grad():  # step sizes are constants of the gradient
                error = combine(None, dt, self.error_weights, slopes)
                if self.damping:
                    error = solver.damped(error, self.damping * dt, mass)
        step = Step(y1, (slopes[-1],), error, None, slopes, self.weights, self.error_weights)
        if of_samples:
            solver.tell(step)
        return step

    @property
    def _to_rounding(self) -> bool:
        return self.tolerance is None or self.newton_tol is not None

    def _solve(self, equations: StageEquations, solver, guess: Tensor, t1: float) -> list[Tensor]:
        with torch.no_grad():
            guess = guess.detach().unsqueeze(0)
            guess = guess.expand(len(equations.known), *guess.shape[1:])
            k = solver.solve(equations, guess, self._measure(equations, guess, t1))
        slopes = differentiable_solution(equations, k).unbind()
        for slope, value in zip(slopes, equations.values, strict=True):
            # What a derivative sends along with its value: the parameters' part of an adjoint.
            slope.__dict__.update(value.__dict__)
        return list(slopes)

    def _measure(self, equations: StageEquations, guess: Tensor, t1: float):
        """Changes of the stages' states in units of what is allowed."""
        x = equations.known[0]
        eps = torch.finfo(x.dtype).eps
        if not self._to_rounding:
            scale = 0.01 * self.tolerance.scale(t1, x.abs()) + 10 * eps * x.abs()
            scale = scale.clamp(min=torch.finfo(x.dtype).tiny)  # a component that stays zero does not change
            return lambda change: torch.stack([self.norm(part / scale) for part in change.unbind()]).amax(0)
        parts = getattr(equations.func, "parts", lambda x: (x,))
        pairs = zip(parts(x), parts(equations.moved(guess)[0]), strict=True)
        scales = [self._rounding(*map(equations.largest, both), x) for both in pairs]

        def measure(change: Tensor) -> Tensor:
            sizes = [
                equations.largest(part) / scale
                for stage in change.unbind()
                for part, scale in zip(parts(stage), scales, strict=True)
            ]
            return sizes[0] if len(sizes) == 1 else torch.stack(sizes).amax(0)

        return measure

    def _rounding(self, size: Tensor, motion: Tensor, x: Tensor) -> Tensor:
        """The error of x that its type, and that of the slope under autocast, make unavoidable; or newton_tol.

        Args:
            size, motion: the largest number in x, and the furthest that it moves.
        """
        numbers = torch.finfo(x.dtype)
        if self.newton_tol is not None:
            return self.newton_tol * torch.maximum(size, motion) + numbers.tiny
        kind, eps = x.device.type, numbers.eps
        coarse = torch.finfo(torch.get_autocast_dtype(kind)).eps if torch.is_autocast_enabled(kind) else eps
        return eps * size + coarse * motion + numbers.tiny

    def extend(self, func, interval, y, carry, step):
        """The extra stages of the dense output; interpolation may ask the derivative again."""
        step.kept = func
        for i, row in enumerate(self.extra_rows, start=self.tableau.stages):
            time = interval.times[i + 1]
            if row:
                stage = step.y1 if row == self.weights else combine(y, interval.dt, row, step.slopes)
                step.slopes.append(func(time, stage))
            else:
                step.slopes.append(carry[0] if carry and self.stiffly_accurate else func(time, y))

    def interpolate(self, interval, y, step, thetas):
        """As of every tableau; components without a derivative are those that belong to the others there.

        The polynomial through their slopes is of low order: stages are more accurate than the slopes between them.
        """
        states = super().interpolate(interval, y, step, thetas)
        if getattr(step.kept, "mass", None) is None:
            return states
        (start, *_, end), scale = interval.times, None
        if not self._to_rounding:
            scale = 0.01 * self.tolerance.positive_scale(interval.t1, y.detach().abs())
        times = [torch.lerp(start, end, theta) for theta in thetas]
        return [step.kept.projected(t, x, scale) for t, x in zip(times, states, strict=True)]
