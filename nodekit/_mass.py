"""Mass matrices: M y' = f(t, y), where M is constant and may be singular, with algebraic equations then.

Of a singular M the equations without a derivative, nᵀ f(t, y) = 0 for every n with nᵀ M = 0, hold all along.
Differentiated once they give the slope of what they determine: the problem has index 1 where that can be solved for
(Hairer & Wanner II, sections VI.1 and VI.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._methods.linearization import jacobian
from ._parameters import captured
from ._state import Derivative, Packing
from .errors import InvalidOption, InvalidState, NewtonDidNotConverge, UnsupportedCombination

#: How many times its tolerance the initial state may be off.
_SLACK = 10.0
#: So many times slopes and states from equations without a derivative can be differentiated.
_DIFFERENTIATIONS = 2
#: Iterations of Newton's method for a consistent state.
_ITERATIONS = 50
#: Of states with so many numbers the equations without a derivative are solved, by one matrix.
_LARGEST = 2048


class MassMatrix:
    """A constant matrix M on the last dimension of the state.

    Args:
        matrix: shape (n, n), or (n,) for a diagonal one; n is the size of the state's last dimension.
        state: on whose device it is to be, in whose type.

    Attributes:
        matrix: M, with its graph.
        onto, null: an orthonormal basis of the equations that have derivatives, (n, r), and of those that have none,
            (n, n − r).

    Raises:
        InvalidOption: another shape, or entries that are infinite or not a number.
    """

    def __init__(self, matrix: Any, state: Tensor):
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
        self.matrix = matrix
        left, sizes, _ = torch.linalg.svd(matrix.detach())
        rank = int((sizes > n * torch.finfo(matrix.dtype).eps * sizes[0]).sum())
        self.onto, self.null = left[:, :rank], left[:, rank:]

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

    def full(self, unknowns: int) -> Tensor:
        """M for so many unknowns: the samples of a state, one after the other."""
        matrix = self.matrix.detach()
        count = unknowns // len(matrix)
        return matrix if count == 1 else torch.block_diag(*[matrix] * count)


class MassDerivative(Derivative):
    """The slope y' of M y' = f(t, y), wherever it is asked; the stages of a step ask f itself, `right_hand_side`.

    Args:
        mass: M.
        func, packing, args: as of `Derivative`.
    """

    def __init__(self, mass: MassMatrix, func: Callable, packing: Packing, args: tuple = ()):
        super().__init__(func, packing, args)
        self.mass = mass

    def right_hand_side(self, t: Tensor, y: Tensor) -> Tensor:
        """f(t, y)."""
        return super().__call__(t, y)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        mass = self.mass
        if not mass.singular:
            return torch.linalg.solve(mass.matrix, self.right_hand_side(t, y).unsqueeze(-1)).squeeze(-1)
        equations = _Differentiated(self, t, y)
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
            s = torch.zeros((), dtype=y.dtype, device=y.device, requires_grad=True)
            value = self.right_hand_side(t + s.to(t), y + s * slope) @ self.mass.null
            if value.requires_grad:
                seed = torch.zeros_like(value, requires_grad=True)
                (image,) = torch.autograd.grad(value, s, seed, create_graph=True)
                (rate,) = torch.autograd.grad(image, seed, create_graph=True)
                return rate if recording and (y.requires_grad or captured(value, [s])) else rate.detach()
        # The derivative records no graph.
        step = torch.finfo(y.dtype).eps ** 0.5 * t.abs().clamp_min(1.0)
        return (self.right_hand_side(t + step, y + step.to(y) * slope) @ self.mass.null - value) / step.to(y)

    def refuse_inconsistent(self, t: Tensor, y: Tensor, scale: Tensor) -> None:
        """Raise InvalidState where the state does not satisfy the equations without a derivative.

        Args:
            scale: by how much each of its components may be off.
        """
        if not self.mass.singular:
            return
        off = self.correction(t, y)
        units = (off.abs() / scale).reshape(-1)
        if bool((units > _SLACK).any()):
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
        eps, found = torch.finfo(y.dtype).eps, y.detach()
        with torch.no_grad():
            for _ in range(_ITERATIONS):
                change = self.correction(t, found)
                found = found + change
                if bool((change.abs() <= 10 * eps * (1 + found.abs())).all()):
                    break
            else:
                raise NewtonDidNotConverge(
                    "no state near the given one satisfies the equations without a derivative", t=float(t)
                )
        # Moved by zero, with the derivatives of the equations.
        for _ in range(_DIFFERENTIATIONS * torch.is_grad_enabled()):
            value = self.right_hand_side(t, found)
            first = self.mass.times(found - y) @ self.mass.onto
            found = found - _Differentiated(self, t, found.detach()).solve(first, value @ self.mass.null)
        return found


class _Differentiated:
    """The equations with derivatives for M v, the others differentiated for Nᵀ J v; the matrix held constant.

    Raises:
        UnsupportedCombination: they do not determine v, as those of a problem of index 2 or higher.
    """

    def __init__(self, func: MassDerivative, t: Tensor, y: Tensor):
        mass, n = func.mass, y.shape[-1]
        if y.numel() > _LARGEST:
            raise UnsupportedCombination(
                f"a singular mass matrix with a state of {y.numel()} numbers", remedy=f"Up to {_LARGEST} are supported"
            )
        with torch.no_grad():
            self.rows = y.numel() // n
            J = jacobian(func.right_hand_side, t, y)[1].view(self.rows, n, -1)
            without = torch.einsum("nm,bnk->bmk", mass.null, J).flatten(0, 1)
            matrix = torch.cat([torch.block_diag(*[mass.onto.T @ mass.matrix] * self.rows), without])
            lengths = torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
            sizes = torch.linalg.svdvals(matrix / torch.where(lengths > 0, lengths, 1))
            if not bool(sizes[-1] > 1e3 * torch.finfo(y.dtype).eps * sizes[0]):
                raise UnsupportedCombination(
                    "a mass matrix whose equations without a derivative do not determine what the others leave open: "
                    "a problem of index 2 or higher",
                    remedy="Replace these equations by their derivatives in time, until they do",
                )
            self.factors = torch.linalg.lu_factor(matrix)

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
    derivative = MassDerivative(MassMatrix(mass_matrix, packing.y0), func, packing, args)
    t = torch.as_tensor(t0, dtype=packing.dtype, device=packing.device)
    return packing.unpack(derivative.projected(t, packing.y0))
