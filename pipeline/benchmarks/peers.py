"""The same problems solved by nodekit's peers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


class Mlp(nn.Module):
    """y' = W₂ tanh(W₁ y + b₁) + b₂ on `size` components, `width` hidden."""

    def __init__(self, size: int = 4, width: int = 32):
        super().__init__()
        self.hidden, self.out = nn.Linear(size, width), nn.Linear(width, size)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The slope at y (batch, size)."""
        return self.out(torch.tanh(self.hidden(y)))


def torchode_solve(module: nn.Module, y: Tensor, times: Tensor, tolerance: float) -> Callable[[], Tensor]:
    """A solve by torchode's compiled dopri5, whose samples have steps of their own: the states, times first."""
    import torchode

    term = torchode.ODETerm(module)
    controller = torchode.IntegralController(atol=tolerance, rtol=tolerance, term=term)
    solver = torchode.AutoDiffAdjoint(torchode.Dopri5(term=term), controller)
    problem = torchode.InitialValueProblem(y0=y, t_eval=times.expand(len(y), -1))
    return lambda: solver.solve(problem).ys.transpose(0, 1)


def diffrax_solves(
    module: Mlp, y: Tensor, times: Tensor, tolerance: float = 1e-6, step_size: float | None = None
) -> tuple[Callable, Callable]:
    """A forward solve, and the gradient of the mean square of the outputs, by diffrax compiled for the CPU.

    Args:
        tolerance: of dopri5.
        step_size: of midpoint steps instead, on a fixed grid.

    Returns:
        Two functions without arguments: the outputs; the gradients of y0 and of the parameters (W₁, b₁, W₂, b₂).
    """
    import diffrax
    import jax

    jax.config.update("jax_platforms", "cpu")
    import jax.numpy as jnp

    parameters = tuple(jnp.asarray(p.detach().numpy()) for p in module.parameters())
    start, ts = jnp.asarray(y.numpy()), jnp.asarray(times.numpy())

    def slope(t, y, parameters):
        weight1, bias1, weight2, bias2 = parameters
        return jnp.tanh(y @ weight1.T + bias1) @ weight2.T + bias2

    if step_size is None:
        method, most = diffrax.Dopri5(), 4096
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    else:
        method, most = diffrax.Midpoint(), round(float(times[-1] - times[0]) / step_size) + 1
        controller = diffrax.ConstantStepSize()

    def solve(y, parameters):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(slope), method, ts[0], ts[-1], step_size, y, args=parameters,
            saveat=diffrax.SaveAt(ts=ts), max_steps=most, stepsize_controller=controller,
        ).ys  # fmt: skip

    forward = jax.jit(solve)
    gradient = jax.jit(jax.grad(lambda y, p: jnp.mean(solve(y, p) ** 2), argnums=(0, 1)))

    def gradients():
        of_start, of_parameters = jax.block_until_ready(gradient(start, parameters))
        return [torch.from_numpy(np.array(x)) for x in (of_start, *of_parameters)]

    return lambda: torch.from_numpy(np.array(jax.block_until_ready(forward(start, parameters)))), gradients
