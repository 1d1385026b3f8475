"""The layer: a neural ODE as a torch.nn.Module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn
from torch.utils._pytree import tree_map

from ._solve import solve
from ._steps.loops import Stats


class NeuralODE(nn.Module):
    """y ↦ y(t₁), where y' = func(t, y) and y(t₀) is the input.

    Args:
        func: the derivative, f(t, y, *args) → like y; usually a module.
        t: times, the initial one first.
        method, rtol, atol, options, gradient: as in `nodekit.solve`.
        return_sequence: return the states at all times t (times first) instead of the last one.
        carry_first_step: begin every adaptive solve with the first step's size that the last solve found best, which
            saves evaluations when a layer is solved again and again, as in training; its output then depends, within
            the tolerance, on what it was called with before.
        more: other arguments of `nodekit.solve`.

    Attributes:
        stats: of the last call.
    """

    def __init__(
        self,
        func: Callable,
        t: Sequence[float] = (0.0, 1.0),
        method: str = "dopri5",
        rtol: Any = 1e-3,
        atol: Any = 1e-3,
        options: dict[str, Any] | None = None,
        gradient: str = "checkpoint",
        return_sequence: bool = False,
        carry_first_step: bool = False,
        **more: Any,
    ):
        super().__init__()
        self.func, self.t = func, t
        self.arguments = {
            "method": method,
            "rtol": rtol,
            "atol": atol,
            "options": options,
            "gradient": gradient,
            **more,
        }
        self.return_sequence, self.carry_first_step = return_sequence, carry_first_step
        self.stats = Stats()

    @property
    def nfe_forward(self) -> int:
        """Evaluations of the derivative in the last forward pass."""
        return self.stats.nfe_forward

    @property
    def nfe_backward(self) -> int:
        """Evaluations of the derivative in the last forward pass's backward pass; 0 before it."""
        return self.stats.nfe_backward

    def forward(self, y: Any, t: Sequence[float] | None = None, args: tuple | None = None) -> Any:
        """The state at the end of the solve, or at all times.

        Args:
            y: the initial state, of any shape.
            t: times for this call instead of the module's own.
            args: further arguments of func in this call, as of `nodekit.solve`: a control or a context, differentiated
                where it is a tensor that requires it.
        """
        arguments = self.arguments if args is None else {**self.arguments, "args": args}
        if self.carry_first_step and self.stats.first_step is not None:
            options = {**(arguments["options"] or {}), "first_step": self.stats.first_step}
            arguments = {**arguments, "options": options}
        solution = solve(self.func, y, self.t if t is None else t, **arguments)
        self.stats = solution.stats
        return solution.y if self.return_sequence else tree_map(lambda y: y[-1], solution.y)

    def extra_repr(self) -> str:
        """The choices made."""
        chosen = {"t": self.t, **self.arguments}
        return ", ".join(f"{name}={value!r}" for name, value in chosen.items() if value is not None)
