"""Mass matrices: M y' = f(t, y), where M is constant and may be singular, with algebraic equations then.

Of a singular M the equations without a derivative, nᵀ f(t, y) = 0 for every n with nᵀ M = 0, hold all along.
Differentiated once they give the slope of what they determine: the problem has index 1 where that can be solved for
(Hairer & Wanner II, sections VI.1 and VI.3).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._methods.linearization import jacobian
from .._methods.stages import factors
from .._steps.numbers import host
from ..errors import InvalidState, NewtonDidNotConverge, UnsupportedCombination
from .mass_matrix import DIFFERENTIATIONS, MassMatrix
from .parameters import captured
from .state import Derivative, Packing

#: How many times its tolerance the initial state may be off.
_SLACK = 10.0
#: Iterations of Newton's method for a consistent state.
_ITERATIONS = 50
#: Of states with so many numbers the equations without a derivative are solved, by one matrix.
_LARGEST = 2048


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
        for _ in range(1 + DIFFERENTIATIONS * torch.is_grad_enabled()):
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
        if self.packing.numpy:
            return self._quotient(t, y, slope, self.right_hand_side(t, y) @ self.mass.null)
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True")  # of t, by the function
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
                    moving = self._quotient(t, y, torch.zeros_like(slope), value)
                    size = host(moving.detach().abs().sum())
                    if math.isfinite(size) and size > 0:
                        rate = rate + (moving if rate.requires_grad else moving.detach())
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

    def projected(self, t: Tensor, y: Tensor, scale: Tensor | None = None) -> Tensor:
        """The state near y that satisfies them, with the same M y; with the derivatives of both.

        Args:
            scale: by how much each of its components may be off; None: by rounding.

        Raises:
            NewtonDidNotConverge: none was found.
        """
        if not self.mass.singular:
            return y
        found = y.detach()
        with torch.no_grad():
            for _ in range(2 if scale is None else 1):  # once more, for components much smaller than the others
                found = self._newton(t, found, scale)
        # Moved by zero, with the derivatives of the equations.
        for _ in range(DIFFERENTIATIONS * torch.is_grad_enabled()):
            value = self.right_hand_side(t, found)
            first = self.mass.times(found - y) @ self.mass.onto
            found = found - _Differentiated(self, t, found.detach()).solve(first, value @ self.mass.null)
        return found

    def _newton(self, t: Tensor, y: Tensor, scale: Tensor | None) -> Tensor:
        numbers, least = torch.finfo(y.dtype), math.inf
        # What shrinks no more is rounding, which may be large in these units.
        rounding = 1e-3 / numbers.eps**0.5 if scale is None else 100.0
        for _ in range(_ITERATIONS):
            change = self.correction(t, y)
            y = y + change
            units = 10 * numbers.eps * (y.abs() + 0.1 * y.abs().max()) + numbers.tiny if scale is None else scale
            size = host((change.abs() / units).max())
            if size <= 1 or rounding >= size >= 0.5 * least:
                return y
            if not math.isfinite(size):
                break
            least = min(least, size)
        self.mass.insist(jacobian(self.right_hand_side, t, y)[1], NewtonDidNotConverge, t=host(t))
        raise NewtonDidNotConverge(
            "no state near the given one satisfies the equations without a derivative", t=host(t)
        )


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
        InvalidState: y0 is several tensors, or complex.
        NewtonDidNotConverge: none was found near y0.
        UnsupportedCombination: the equations do not determine one (index 2 or higher).
    """
    packing = Packing(y0)
    if not packing.single or packing.dtypes[0].is_complex:
        raise InvalidState("with a mass matrix the state must be one real tensor")
    derivative = MassDerivative(mass_matrix, func, packing, args)
    t = torch.as_tensor(t0, dtype=packing.dtype, device=packing.device)
    return packing.unpack(derivative.projected(t, packing.y0))
