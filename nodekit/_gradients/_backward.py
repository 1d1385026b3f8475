"""What the backward solves of shared and of independent samples say in the same words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .._steps.problem import Problem
from ..errors import SolveFailed


@contextlib.contextmanager
def failing_as_gradient() -> Iterator[None]:
    """Say of a failure that it is the backward solve's, and what else differentiates."""
    try:
        yield
    except SolveFailed as failure:
        error = type(failure)(
            f"the backward solve of the continuous adjoint failed: {failure.message}",
            t=failure.t,
            dt=failure.dt,
            sample=failure.sample,
            remedy='What decays forwards explodes backwards: gradient="checkpoint" solves nothing backwards, '
            '"interpolated" (of shared samples) not the state; or give adjoint_rtol, adjoint_atol, adjoint_method and '
            "adjoint_options",
        )
        error.__dict__ = {**failure.__dict__, **error.__dict__}  # which samples failed, by how much
        raise error from failure


def zeros_for_own(problem: Problem, gradients) -> list[Tensor | None]:
    """The gradients; zeros for the function's own parameters that it did not use, as in torchdiffeq."""
    func = problem.func.func
    own = {id(x) for x in func.parameters()} if isinstance(func, nn.Module) else set()
    pairs = zip(gradients, problem.record.parameters, strict=True)
    return [torch.zeros_like(x) if g is None and id(x) in own else g for g, x in pairs]
