"""Mass matrices: M y' = f(t, y), where M is constant and may be singular, with algebraic equations then.

Of a singular M the equations without a derivative, nᵀ f(t, y) = 0 for every n with nᵀ M = 0, hold all along.
Differentiated once they give the slope of what they determine: the problem has index 1 where that can be solved for
(Hairer & Wanner II, sections VI.1 and VI.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._methods.linearization import jacobian
from ._methods.stages import factors
from ._numbers import host, is_finite
from ._parameters import captured
from ._state import Derivative, Packing
from .errors import InvalidOption, InvalidState, NewtonDidNotConverge, NodekitError, UnsupportedCombination

#: How many times its tolerance the initial state may be off.
_SLACK = 10.0
#: So many times slopes and states from equations without a derivative can be differentiated.
_DIFFERENTIATIONS = 2
#: Iterations of Newton's method for a consistent state.
_ITERATIONS = 50
#: Of states with so many numbers the equations without a derivative are solved, by one matrix.
_LARGEST = 2048


def _reciprocal(sizes: Tensor) -> Tensor:
    """1/x, and 1 for 0."""
    return 1 / torch.where(sizes > 0, sizes, 1)


class MassMatrix:
    """A constant matrix M on the last dimension of the state.

    Args:
        matrix: shape (n, n), or (n,) for a diagonal one; n is the size of the state's last dimension.
        state: on whose device it is to be, in whose type.
        differences: whether Jacobians come from differences, which have half of the digits.

    Attributes:
        matrix: M, with its graph.
        onto, null: combinations of the equations that have derivatives, (n, r), and a basis of those that have none,
            (n, n − r), with its graph.
        kernel: a basis of what M leaves open, (n, n − r).

    Raises:
        InvalidOption: another shape, or entries that are infinite or not a number.
    """

    def __init__(self, matrix: Any, state: Tensor, differences: bool = False):
        matrix = torch.as_tensor(matrix)
        if matrix.is_complex():
            raise InvalidOption("the option mass_matrix must be real")
        matrix = matrix.to(state)
        matrix = torch.diag(matrix) if matrix.ndim == 1 else matrix
        n = state.shape[-1] if state.ndim else 0
        if matrix.shape != (n, n) or not n:
            raise InvalidOption(
                f"the option mass_matrix has shape {tuple(matrix.shape)}, the state {tuple(state.shape)}",
                remedy="It acts on the last dimension of the state, of size n: give shape (n, n), or (n,) if diagonal",
            )
        if not bool(torch.isfinite(matrix).all()):
            raise InvalidOption("the option mass_matrix is infinite or not a number in places")
        self.matrix, self.count, self.precision = matrix, n, torch.finfo(matrix.dtype).eps ** (0.5 if differences else 1)
        # The units of equations and of components say nothing about the rank.
        entries, eps = matrix.detach(), torch.finfo(matrix.dtype).eps
        rows = _reciprocal(entries.abs().amax(1, keepdim=True))
        columns = _reciprocal((rows * entries).abs().amax(0))
        left, sizes, right = torch.linalg.svd(rows * entries * columns)
        rank = int((sizes > n * eps * sizes[0]).sum())
        self.onto, self.null, self.kernel = rows * left[:, :rank], rows * left[:, rank:], columns[:, None] * right[rank:].T
        if self.singular:
            # nᵀ M = 0 for M's graph, too: two steps of Newton's method that move n by zero.
            inverse = columns[:, None] * right[:rank].T / sizes[:rank] @ self.onto.T
            for _ in range(_DIFFERENTIATIONS):
                self.null = self.null - inverse.T @ (matrix.T @ self.null)

    @property
    def singular(self) -> bool:
        """Whether some equations have no derivative."""
        return self.null.shape[1] > 0

    def times(self, v: Tensor) -> Tensor:
        """M v."""
        return v @ self.matrix.T

    def transposed_times(self, v: Tensor) -> Tensor:
        """Mᵀ v."""
        return v @ self.matrix

    def insist(self, J: Tensor, error: type[NodekitError], **where: float) -> None:
        """Raise an error where the equations without a derivative do not determine what the others leave open.

        Args:
            J: the Jacobian, of all samples by all samples.
            error, where: its kind; the t and dt that it names.
        """
        if self.singular and is_finite(J) and not self._determined(J):
            raise error(
                "a mass matrix whose equations without a derivative do not determine what the others leave open: a "
                "problem of index 2 or higher",
                remedy="Replace these equations by their derivatives in time, until they do",
                **where,
            )

    def _determined(self, J: Tensor) -> bool:
        """Whether nᵀ J v ≠ 0 for all v with M v = 0."""
        null, n, precision = self.null.detach(), self.count, self.precision
        blocks = J.view(len(J) // n, n, -1, n)

        def seen(blocks, null, kernel):
            return torch.einsum("nm,bncv,vk->bmck", null, blocks, kernel).flatten(2).flatten(0, 1)

        found, size = seen(blocks, null, self.kernel), seen(blocks.abs(), null.abs(), self.kernel.abs())
        # What is zero but for rounding is zero; units say nothing here, either.
        found = torch.where(found.abs() > 10 * n * precision * size, found, 0)
        found = found * _reciprocal(found.abs().amax(1, keepdim=True))
        found = found * _reciprocal(found.abs().amax(0))
        sizes = torch.linalg.svdvals(found)
        return host(sizes[-1] - 100 * precision * sizes[0]) > 0

    def full(self, unknowns: int) -> Tensor:
        """M for so many unknowns: the samples of a state, one after the other."""
        matrix = self.matrix.detach()
        count = unknowns // len(matrix)
        return matrix if count == 1 else torch.block_diag(*[matrix] * count)


class MassDerivative(Derivative):
    """The slope y' of M y' = f(t, y), wherever it is asked; the stages of a step ask f itself, `right_hand_side`.

    Args:
        matrix: M.
        func, packing, args: as of `Derivative`.
    """

    def __init__(self, matrix: Any, func: Callable, packing: Packing, args: tuple = ()):
        super().__init__(func, packing, args)
        self.mass = MassMatrix(matrix, packing.y0, differences=packing.numpy)

    def right_hand_side(self, t: Tensor, y: Tensor) -> Tensor:
        """f(t, y)."""
        return super().__call__(t, y)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        mass = self.mass
        if not mass.singular:
            return torch.linalg.solve(mass.matrix, self.right_hand_side(t, y).unsqueeze(-1)).squeeze(-1)
        equations = _Differentiated(self, t, y, check=True)
        # Linear equations: one step of Newton's method solves them. Further ones move the solution by zero, and each
        # gives it one more derivative, that of the equations.
        slope = torch.zeros_like(y)
        for _ in range(1 + _DIFFERENTIATIONS * torch.is_grad_enabled()):
            known = mass.times(slope) - self.right_hand_side(t, y)
            slope = slope - equations.solve(known @ mass.onto, self._rate(t, y, slope))
        return slope

    def _rate(self, t: Tensor, y: Tensor, slope: Tensor) -> Tensor:
        """How fast the equations without a derivative change along a slope, shape (…, n − r)."""
        recording = torch.is_grad_enabled()
        # What is differentiated by here is nobody's parameter.
        leaves, self.leaves = self.leaves, None
        try:
            return self._derivative_along(t, y, slope, recording)
        finally:
            self.leaves = leaves

    def _derivative_along(self, t: Tensor, y: Tensor, slope: Tensor, recording: bool) -> Tensor:
        with torch.enable_grad():
            s, time = (torch.zeros((), dtype=x.dtype, device=y.device, requires_grad=True) for x in (y, t))
            value = self.right_hand_side(t + time, y + s * slope) @ self.mass.null
            if value.requires_grad:
                seed = torch.zeros_like(value, requires_grad=True)
                images = torch.autograd.grad(value, (s, time), seed, create_graph=True, allow_unused=True)
                found = [x for x in images if x is not None]
                (rate,) = torch.autograd.grad(found, seed, [torch.ones_like(x) for x in found], create_graph=True)
                rate = rate if recording and (y.requires_grad or captured(value, [s, time])) else rate.detach()
                if images[1] is None:
                    # A function that takes t as a number depends on it without a graph.
                    with torch.no_grad():
                        moving = self._quotient(t, y, 0 * slope, value).abs().sum()
                    if math.isfinite(host(moving)) and host(moving) > 0:
                        rate = rate + self._quotient(t, y, 0 * slope, value)
                return rate
        # The derivative records no graph.
        return self._quotient(t, y, slope, value)

    def _quotient(self, t: Tensor, y: Tensor, slope: Tensor, value: Tensor) -> Tensor:
        """How the equations without a derivative change along a slope, from two points in time."""
        step = torch.finfo(y.dtype).eps ** 0.5 * t.detach().abs().clamp_min(1.0)
        return (self.right_hand_side(t + step, y + step.to(y) * slope) @ self.mass.null - value) / step.to(y)

    def refuse_inconsistent(self, t: Tensor, y: Tensor, scale: Tensor) -> None:
        """Raise InvalidState where the state does not satisfy the equations without a derivative.

        Args:
            scale: by how much each of its components may be off.
        """
        if not self.mass.singular:
            return
        with torch.no_grad():
            off = self.correction(t, y)
        # What rounding makes of the largest component, the equations may make of any.
        scale = scale + torch.finfo(y.dtype).eps * y.detach().abs().max()
        units = (off.abs() / scale).reshape(-1)
        if host((units > _SLACK).any()):
            worst = int(units.argmax())
            raise InvalidState(
                "the initial state does not satisfy the equations without a derivative: components "
                f"{(units > _SLACK).nonzero().reshape(-1)[:10].tolist()} are off, component {worst} by about "
                f"{float(-off.reshape(-1)[worst]):.3g}",
                t=float(t),
                remedy="Start from nodekit.consistent_state(func, y0, t0, mass_matrix)",
            )

    def correction(self, t: Tensor, y: Tensor) -> Tensor:
        """A step of Newton's method towards a state that satisfies them, with the same M y."""
        equations, value = _Differentiated(self, t, y), self.right_hand_side(t, y)
        return -equations.solve(torch.zeros_like(value @ self.mass.onto), value @ self.mass.null)

    def projected(self, t: Tensor, y: Tensor) -> Tensor:
        """The state near y that satisfies them, with the same M y; with the derivatives of both.

        Raises:
            NewtonDidNotConverge: none was found.
        """
        if not self.mass.singular:
            return y
        eps, found, least = torch.finfo(y.dtype).eps, y.detach(), math.inf
        with torch.no_grad():
            for _ in range(_ITERATIONS):
                change = self.correction(t, found)
                found = found + change
                size = host((change.abs() / (1 + found.abs())).max())
                # Rounding, where it is large in units of the state: it shrinks no more.
                if size <= 10 * eps or eps**0.5 >= size >= 0.5 * least:
                    break
                least = min(least, size)
            else:
                size = math.nan
            if not math.isfinite(size):
                raise NewtonDidNotConverge(
                    "no state near the given one satisfies the equations without a derivative", t=host(t)
                )
        # Moved by zero, with the derivatives of the equations.
        for _ in range(_DIFFERENTIATIONS * torch.is_grad_enabled()):
            value = self.right_hand_side(t, found)
            first = self.mass.times(found - y) @ self.mass.onto
            found = found - _Differentiated(self, t, found.detach()).solve(first, value @ self.mass.null)
        return found


class _Differentiated:
    """The equations with derivatives for M v, the others differentiated for Nᵀ J v; the matrix held constant.

    Args:
        check: whether they are to be refused if they do not determine v.

    Raises:
        UnsupportedCombination: they do not, as those of a problem of index 2 or higher.
    """

    def __init__(self, func: MassDerivative, t: Tensor, y: Tensor, check: bool = False):
        mass, n = func.mass, y.shape[-1]
        if y.numel() > _LARGEST:
            raise UnsupportedCombination(
                f"a singular mass matrix with a state of {y.numel()} numbers", remedy=f"Up to {_LARGEST} are supported"
            )
        with torch.no_grad():
            rows = y.numel() // n
            J = jacobian(func.right_hand_side, t, y)[1]
            if check:
                mass.insist(J, UnsupportedCombination)
            without = torch.einsum("nm,bnk->bmk", mass.null, J.view(rows, n, -1)).flatten(0, 1)
            matrix = torch.cat([torch.block_diag(*[mass.onto.T @ mass.matrix] * rows), without])
            self.factors = factors(matrix)

    def solve(self, first: Tensor, second: Tensor) -> Tensor:
        """v from the right-hand sides of both kinds, shapes (…, r) and (…, n - r); differentiable by them."""
        b = torch.cat([first.reshape(-1), second.reshape(-1)]).unsqueeze(-1)
        return torch.linalg.lu_solve(*self.factors, b).view(*first.shape[:-1], -1)


def consistent_state(func: Callable, y0: Any, t0: Any, mass_matrix: Any, args: tuple = ()) -> Any:
    """A state near y0 that satisfies the equations without a derivative of M y' = f(t, y), with the same M y.

    Differentiable by y0, args and what else func depends on.

    Args:
        func: f(t, y, *args), as of `nodekit.solve`.
        y0: a first guess: one real tensor, or a NumPy array.
        t0: the time.
        mass_matrix: M, shape (n, n) or (n,), singular.
        args: further arguments of func.

    Returns:
        The state, like y0.

    Raises:
        NewtonDidNotConverge: none was found near y0.
        UnsupportedCombination: the equations do not determine one (index 2 or higher).
    """
    packing = Packing(y0)
    derivative = MassDerivative(mass_matrix, func, packing, args)
    t = torch.as_tensor(t0, dtype=packing.dtype, device=packing.device)
    return packing.unpack(derivative.projected(t, packing.y0))
