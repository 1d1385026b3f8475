"""Implicit steps of independent samples: each has equations of its own, which Newton's method solves for all together.

A sample whose iteration has converged, or has failed, stays where it is while the others go on; what it finds is
computed from its own row alone. A sample's slope must depend on no other sample's state.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .._derivative.samples import finite_samples, spread
from .._steps.control import host_values
from .._steps.failures import unsolved_equations
from .._steps.numbers import Tensors
from .._steps.stepper import Step
from .newton import Convergence, DenseNewton, Measure
from .stages import StageEquations, factors


class SampleEquations(StageEquations):
    """The equations of every sample's stages. The first dimension of states, and of dt, counts the samples.

    Attributes:
        moving: which samples take a step at all, shape (batch,).
        unsolved: which have no solution.
    """

    lead = 1

    def __init__(self, *args):
        super().__init__(*args)
        self.moving = self.dt.flatten() != 0
        self.unsolved = torch.zeros_like(self.moving)

    @property
    def evaluations(self) -> int:
        """How often the derivative was evaluated so far, where that is counted."""
        return getattr(self.func, "evaluations", 0)

    @property
    def unknowns(self) -> int:
        """How many numbers the equations of one sample determine."""
        return super().unknowns // max(len(self.moving), 1)

    def largest(self, x):
        """The largest number in every sample's state."""
        return x.abs().flatten(1).amax(1) if x.ndim > 1 else x.abs()

    def solved(self, lu, b, adjoint=False):
        """As of one system, of every sample's."""
        columns = b.transpose(0, 1).reshape(len(self.moving), -1, 1)
        x = torch.linalg.lu_solve(*lu, columns, adjoint=adjoint)
        return x.view(b.shape[1], b.shape[0], *b.shape[2:]).transpose(0, 1)

    def refuse(self, x, why):
        """Take note of the samples for which x is infinite or not a number."""
        self.unsolved = self.unsolved | (self.moving & ~finite_samples(x.transpose(0, 1)))

    def refuse_gradient(self, x, b):
        """As of one system. A sample through which no gradient comes may have a matrix that is singular."""
        by_sample = b.transpose(0, 1)
        x = torch.where(_stages(by_sample.flatten(1).any(1), b), x, 0.0)
        wrong = ~finite_samples(x.transpose(0, 1)) & finite_samples(by_sample)
        if host_values(wrong.any()):
            raise unsolved_equations(
                "have no gradient: their matrix is singular, or not finite, at the solution",
                sample=host_values(wrong).index(True),
            )
        return x


class SampleNewton(DenseNewton):
    """`DenseNewton` of every sample: simplified, and full where that converges slowly.

    Attributes:
        unsolved: which samples' equations were not solved, in any block of the step.
        idle: how many of the evaluations each sample had no part in.
    """

    def __init__(self, iterations: int | None = None, floor: float = 1.0):
        super().__init__(iterations, floor)
        self.rate = self.unsolved = self.idle = None

    def solve(self, equations: SampleEquations, guess: Tensor, measure: Measure) -> Tensor:
        """The slopes that solve the equations; anything for samples whose equations it does not solve."""
        running = equations.moving if self.unsolved is None else equations.moving & ~self.unsolved
        k, lu, full, any_full = guess, None, torch.zeros_like(running), False
        if self.rate is None:
            self.rate = torch.full(running.shape, math.nan, dtype=k.dtype, device=k.device)
        convergence = Convergence(Tensors, self.floor, self.rate.clamp(min=1e-3) ** 0.8)
        for iteration in range(self.iterations):
            if iteration == 0 or any_full:
                image, lu = self._linearized(equations, k, running, full & running if any_full else None, lu)
            else:
                image = self._counted(equations, running, equations.image, k)
            change = equations.solved(lu, image - k)
            size = measure(equations.moved(change))
            previous = convergence.size
            done = convergence.converged(size) & running
            slow = running & ~done & ~full & torch.isfinite(size) & (size > 0.5 * previous)
            failed = running & ~done & (~torch.isfinite(size) | (full & (size > 1e3 * previous)))
            # The Jacobian held constant does not do: these start again with a new one in every iteration.
            again = slow & (size > previous)
            k = torch.where(_stages(running & ~failed & ~again, k), k + change, k)
            k = torch.where(_stages(again, k), guess, k)
            self.rate = torch.where(done, convergence.rate, self.rate)
            convergence.restart(slow)
            full, running = full | slow, running & ~(done | failed)
            equations.unsolved = equations.unsolved | failed
            going, any_full = host_values(torch.stack([running.any(), (full & running).any()]))
            if not going:
                break
        equations.unsolved = equations.unsolved | running
        return k

    def note(self, equations: SampleEquations) -> None:
        """Of a block: which samples have no solution."""
        self.unsolved = equations.unsolved if self.unsolved is None else self.unsolved | equations.unsolved

    def tell(self, step: Step) -> None:
        """Whose equations were not solved, and who had no part in which evaluations."""
        step.idle = self.idle
        if host_values(self.unsolved.any()):
            step.unsolved = self.unsolved
            if step.error is not None:  # which no tolerance allows
                step.error = torch.where(spread(step.unsolved, step.error), math.inf, step.error)

    def _linearized(self, equations: SampleEquations, k: Tensor, running: Tensor, renewed: Tensor | None, lu):
        """The right-hand sides, and the factors of every sample's matrix.

        Args:
            renewed: samples that have new Jacobians of all stages, the last of which is kept; None: none but at first.
            lu: the factors so far.
        """
        if renewed is not None:
            image, linearization = self._counted(equations, running, equations.linearize, k)
            jacobians, some = self._counted(equations, renewed, linearization.matrices), renewed.view(-1, 1, 1)
            self.jacobian, self.factors = torch.where(some, jacobians[-1], self.jacobian), {}
            matrix, pivots = factors(equations.matrix(jacobians))
            return image, (torch.where(some, matrix, lu[0]), torch.where(some[:, 0], pivots, lu[1]))
        if self.jacobian is None:
            image, self.jacobian = self._counted(equations, running, equations.linearize_once, k)
        else:
            image = self._counted(equations, running, equations.image, k)
        return image, self.factored(equations, [self.jacobian])

    def _counted(self, equations: SampleEquations, part: Tensor, evaluate: Callable, *arguments: Tensor):
        """What is evaluated, in which some samples have no part."""
        before = equations.evaluations
        found = evaluate(*arguments)
        idle = ~part * (equations.evaluations - before)
        self.idle = idle if self.idle is None else self.idle + idle
        return found


def _stages(some: Tensor, k: Tensor) -> Tensor:
    """One number for each sample, such that it broadcasts to slopes of stages."""
    return spread(some, k[0])
