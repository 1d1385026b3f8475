"""The trace of a field's Jacobian, exactly or by Hutchinson's estimate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# (field, t, z, probe, *context) → velocity (…, d), trace (…)
Trace = Callable[..., tuple[Tensor, Tensor]]


def exact(field, t: Tensor, z: Tensor, probe: None = None, *context) -> tuple[Tensor, Tensor]:
    """Velocity and trace by the field's own `with_trace`, where it has one, otherwise by `autograd`."""
    if hasattr(field, "with_trace"):
        return field.with_trace(t, z, *context)
    return autograd(field, t, z, probe, *context)


def autograd(field, t: Tensor, z: Tensor, probe: None = None, *context) -> tuple[Tensor, Tensor]:
    """Velocity and trace of any field by d vector–Jacobian products, one for each diagonal entry.

    The field must map every point on its own: entries of other points would be summed in unseen.
    """
    velocity, pull_back = _linearized(field, t, z, *context)
    return velocity, sum(pull_back(_unit(velocity, i))[..., i] for i in range(z.shape[-1]))


def hutchinson(field, t: Tensor, z: Tensor, probe: Tensor, *context) -> tuple[Tensor, Tensor]:
    """Velocity and the unbiased estimate εᵀJε of the trace, one vector–Jacobian product (Grathwohl et al. 2019, eq. 7).

    Args:
        probe: ε (…, d), of mean 0 and covariance I; the same throughout a solve, which so stays one of an ODE.
    """
    velocity, pull_back = _linearized(field, t, z, *context)
    return velocity, (pull_back(probe) * probe).sum(-1)


def _linearized(field, t: Tensor, z: Tensor, *context) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The velocity and the map v ↦ vᵀJ; differentiable again where gradients are wanted."""
    if torch.is_inference_mode_enabled():  # there autograd records nothing
        velocity, pull = torch.func.vjp(lambda z: field(t, z, *context), z)
        return velocity, lambda vector: pull(vector)[0]
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        point = z if z.requires_grad else z.detach().requires_grad_()
        velocity = field(t, point, *context)

    def pull_back(vector: Tensor) -> Tensor:
        if not velocity.requires_grad:
            return torch.zeros_like(z)
        options = {"create_graph": wanted, "retain_graph": True, "materialize_grads": True}
        return torch.autograd.grad(velocity, point, vector, **options)[0]

    return velocity if wanted else velocity.detach(), pull_back


def _unit(like: Tensor, i: int) -> Tensor:
    """The i-th unit vector at every point."""
    unit = torch.zeros_like(like)
    unit[..., i] = 1
    return unit


def rademacher(z: Tensor) -> Tensor:
    """A probe of random signs: of all probes with independent entries, the one with the least variance."""
    return torch.randint_like(z, 2) * 2 - 1


# How a trace is found, and what its probe is drawn from.
TRACES: dict[str, tuple[Trace, Callable[[Tensor], Tensor] | None]] = {
    "exact": (exact, None),
    "autograd": (autograd, None),
    "hutchinson": (hutchinson, rademacher),
    "hutchinson_gaussian": (hutchinson, torch.randn_like),
}
