"""The equations of an implicit step's stages, and the derivative of their solution."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.autograd import Function

from .._derivative.parameters import captured, is_transformed
from .._steps.numbers import is_finite
from .._steps.stepper import combine
from ..errors import GradientUnavailable, NewtonDidNotConverge, UnsupportedCombination
from .krylov import gmres
from .linearization import Linearization, jacobian

#: Systems of up to so many unknowns are solved with their matrix, larger ones with its products.
DENSE = 512

_differentiations: ContextVar[int] = ContextVar("differentiations", default=2)


@contextlib.contextmanager
def differentiable(times: int) -> Iterator[None]:
    """Make implicit steps taken within differentiable so many times; elsewhere they are twice."""
    token = _differentiations.set(times)
    try:
        yield
    finally:
        _differentiations.reset(token)


class StageEquations:
    """kᵢ = f(tᵢ, xᵢ + dt Σⱼ aᵢⱼ kⱼ) for the stages i of a block that depend on each other.

    Their unknowns k are one tensor, stages first.

    Args:
        func: the derivative.
        times: tᵢ, scalar tensors.
        known: xᵢ, the state and what earlier stages add to it.
        dt: the step's size.
        A: the block's coefficients, lists of (index, coefficient) pairs, by rows.
        At: the same by columns.
        t0: the step's start, for messages.
        mass: the matrix M of M kᵢ = …; None: 1.

    Attributes:
        lead: first dimensions of the state that count systems of their own, see `jacobian`.
    """

    lead = 0

    def __init__(self, func, times: Sequence[Tensor], known: Sequence[Tensor], dt: float, A, At, t0: float, mass=None):
        self.func, self.times, self.known, self.dt, self.A, self.At, self.t0 = func, times, known, dt, A, At, t0
        self.mass = mass
        #: the derivative at the points evaluated last
        self.values: list[Tensor] = []

    @property
    def unknowns(self) -> int:
        """How many numbers the equations determine."""
        return len(self.known) * self.known[0].numel()

    def points(self, k: Tensor) -> list[Tensor]:
        """The states at which the stages evaluate the derivative."""
        slopes = k.unbind()
        return [combine(x, self.dt, row, slopes) for x, row in zip(self.known, self.A, strict=True)]

    def image(self, k: Tensor) -> Tensor:
        """The right-hand sides."""
        self.values = [self.func(t, x) for t, x in zip(self.times, self.points(k), strict=True)]
        return stacked(self.values)

    def linearize(self, k: Tensor) -> tuple[Tensor, Linearization]:
        """The right-hand sides, and the Jacobians there."""
        linearization = Linearization(self.func, self.times, self.points(k), self.lead)
        self.values = linearization.values
        return stacked(self.values), linearization

    def linearize_once(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """The right-hand sides, and the Jacobian (…, n, n) of the first stage."""
        points = self.points(k)
        value, matrix = jacobian(self.func, self.times[0], points[0], self.lead)
        if self.mass is not None:
            self.mass.insist(matrix, NewtonDidNotConverge, t=self.t0, dt=self.dt)
        rest = zip(self.times[1:], points[1:], strict=True)
        self.values = [value, *(self.func(t, x) for t, x in rest)]
        return stacked(self.values), matrix

    def residual(self, image: Tensor, k: Tensor) -> Tensor:
        """f − M k: what is left of the equations where their right-hand sides are f."""
        return image - k if self.mass is None else image - self.mass.times(k)

    def largest(self, x: Tensor) -> Tensor:
        """The largest number in a state."""
        return x.abs().max()

    def moved(self, v: Tensor) -> Tensor:
        """dt A v: what a change v of the slopes changes in the states of the stages."""
        return self._moved(self.A, v)

    def _moved(self, rows, v: Tensor) -> Tensor:
        if len(rows) == 1:
            return v * (self.dt * rows[0][0][1])
        slopes = v.unbind()
        return torch.stack([combine(None, self.dt, row, slopes) for row in rows])

    def matrix(self, jacobians: Sequence[Tensor]) -> Tensor:
        """M − dt A ⊗ J of the unknowns, from one Jacobian (…, n, n) for all stages or one for each."""
        dt, rows = self.dt.view(-1, 1, 1) if self.lead else self.dt, []
        for i, row in enumerate(self.A):
            coefficients = [0.0] * len(self.A)
            for j, a in row:
                coefficients[j] = a
            J = jacobians[i % len(jacobians)]
            rows.append(torch.cat([J * (-dt * a) for a in coefficients], -1))
        unknowns = rows[0].shape[-1]
        if self.mass is not None:
            return torch.cat(rows, -2) + self.mass.full(unknowns)
        return torch.cat(rows, -2) + torch.eye(unknowns, dtype=rows[0].dtype, device=rows[0].device)

    def solved(self, lu: tuple[Tensor, Tensor], b: Tensor, adjoint: bool = False) -> Tensor:
        """The solution of the linear system with the factors of a matrix of the unknowns, or of its transpose."""
        return torch.linalg.lu_solve(*lu, b.reshape(-1, 1), adjoint=adjoint).view(b.shape)

    def times_matrix(self, linearization: Linearization, v: Tensor) -> Tensor:
        """(M − J dt A) v."""
        first = v if self.mass is None else self.mass.times(v)
        return first - stacked(linearization.jvp(self.moved(v).unbind()))

    def transposed_times_matrix(self, linearization: Linearization, v: Tensor) -> Tensor:
        """(M − J dt A)ᵀ v."""
        first = v if self.mass is None else self.mass.transposed_times(v)
        return first - self._moved(self.At, stacked(linearization.vjp(v.unbind())))

    def refuse_gradient(self, x: Tensor, b: Tensor) -> Tensor:
        """The solution x of a linear system of b in a backward pass, unless it has none."""
        if not is_finite(x) and is_finite(b):  # what comes in as it is goes out as it is
            self.refuse(x, "have no gradient: their matrix is singular, or not finite, at the solution")
        return x

    def refuse(self, x: Tensor, why: str) -> None:
        """Raise NewtonDidNotConverge, for this reason, where x is infinite or not a number."""
        if not is_finite(x):
            raise NewtonDidNotConverge(
                f"the equations of an implicit step {why}",
                t=self.t0,
                dt=self.dt,
                remedy="Take smaller steps (step_size, max_step), tighten rtol and atol, or use an explicit method",
            )

    def failure(self, why: str, size: float, iterations: int) -> NewtonDidNotConverge:
        """The error to raise when they could not be solved."""
        last = f"moved the state by {size:.3g} times what is allowed"
        if not math.isfinite(size):
            last = "met a singular matrix, or a state or a derivative that is infinite or not a number"
        return NewtonDidNotConverge(
            f"the equations of an implicit step {why} in {iterations} iterations, the last of which {last}",
            t=self.t0,
            dt=self.dt,
            residual=size,
            remedy="Take smaller steps, raise max_newton_iterations, loosen newton_tol, or name another solver "
            "(newton, krylov)",
        )


def factors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix's LU factors and pivots; with those of a singular one solutions are infinite or not a number."""
    return torch.linalg.lu_factor_ex(matrix)[:2]


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """Tensors of stages as one."""
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(list(parts))


def differentiable_solution(equations: StageEquations, k: Tensor) -> Tensor:
    """The solution k with its derivative: that of the equations it solves, not of the iterations that found it.

    With M − dt A ⊗ J at the solution held constant, k + (M − dt A ⊗ J)⁻¹(f(k) − M k) is k, and has its first
    derivative by the implicit function theorem; done n times, it has the first n. Backward passes solve its
    transpose once for each.
    """
    if not torch.is_grad_enabled():
        return k
    if is_transformed():
        return _plainly_differentiable(equations, k)
    k = k.detach()
    image, linearization = equations.linearize(k)
    # The solution is the last iterate moved once more: nobody has evaluated the derivative there yet.
    equations.refuse(image, "were solved where the derivative is infinite or not a number")
    mass = equations.mass is not None and equations.mass.matrix.requires_grad
    if not (mass or any(x.requires_grad for x in equations.known) or captured(image, linearization.points)):
        return k
    system = _System(equations, linearization, _differentiations.get())
    for _ in range(system.differentiations):
        residual = equations.residual(image, k)
        k = k + _Solve.apply(residual, residual, system, False, 0)
        if system.differentiations > 1:
            image = equations.image(k)
    return k


def _plainly_differentiable(equations: StageEquations, k: Tensor) -> Tensor:
    """The same from operations that torch.func's transforms understand.

    As often as they are nested, and twice more: for autograd around them, which they do not show.
    """
    if equations.unknowns > DENSE:
        raise UnsupportedCombination(
            f"torch.func transforms of an implicit step with {equations.unknowns} unknowns",
            remedy=f"Up to {DENSE} are supported; use torch.autograd, or an explicit method",
        )
    pairs = zip(equations.times, equations.points(k), strict=True)
    jacobians = [jacobian(equations.func, t, x, equations.lead)[1] for t, x in pairs]
    lu = factors(equations.matrix(jacobians))
    for _ in range((torch._C._functorch.maybe_current_level() or 1) + 2):
        k = k + equations.solved(lu, equations.residual(equations.image(k), k))
    equations.refuse(k, "have no derivative: their matrix is singular at the solution")
    return k


class _System:
    """M − dt A ⊗ J at a solution, held constant, and how many derivatives the solution is to have."""

    def __init__(self, equations: StageEquations, linearization: Linearization, differentiations: int):
        self.equations, self.linearization, self.differentiations = equations, linearization, differentiations
        self.factors = None

    def solve(self, b: Tensor, transposed: bool) -> Tensor:
        """The solution for b, or that of the transpose."""
        equations, linearization = self.equations, self.linearization
        if equations.lead or equations.unknowns <= DENSE:
            if self.factors is None:
                self.factors = factors(equations.matrix(linearization.matrices()))
            return equations.refuse_gradient(equations.solved(self.factors, b, adjoint=transposed), b)
        product = equations.transposed_times_matrix if transposed else equations.times_matrix
        eps = torch.finfo(b.dtype).eps
        x, found = gmres(lambda v: product(linearization, v), b, 10 * eps)
        if (
            not found
            and is_finite(b)
            and not bool(torch.linalg.vector_norm(b - product(linearization, x)) <= 1e4 * eps * b.norm())
        ):
            equations.refuse(b * torch.nan, "have no gradient: no solution of their linear system was found")
        return x


class _Solve(Function):
    """The solution of a linear system as a function of b; where the equations are solved (order 0) both are zero."""

    @staticmethod
    def forward(ctx, b: Tensor, anchor: Tensor, system: _System, transposed: bool, order: int):
        ctx.system, ctx.transposed, ctx.order = system, transposed, order
        ctx.save_for_backward(anchor)
        return torch.zeros_like(b) if order == 0 else system.solve(b, transposed)

    @staticmethod
    def backward(ctx, gradient):
        system, order = ctx.system, ctx.order + 1
        if order > system.differentiations:
            raise GradientUnavailable(
                f"derivatives of order {order} through an implicit step",
                remedy="Use an explicit method",
            )
        # The anchor ties the result to the equations, so that a further derivative never passes it by in silence.
        (anchor,) = ctx.saved_tensors
        return _Solve.apply(gradient, anchor, system, not ctx.transposed, order), None, None, None, None
