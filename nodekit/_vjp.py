"""Vector–Jacobian products with gaps, and their sums."""

from __future__ import annotations

import contextlib
import functools

import torch
from torch import Tensor


def vector_jacobian(results, inputs, incoming, create_graph: bool = False) -> tuple[Tensor | None, ...]:
    """Σ gradientᵀ ∂result/∂input for every input; None stands for a gradient of zero, among arguments and results.

    Args:
        results: may outnumber the incoming gradients; the rest received none.
    """
    pairs = [(r, g) for r, g in zip(results, incoming, strict=False) if g is not None and r.requires_grad]
    wanted = [x for x in inputs if x.requires_grad]
    if not pairs or not wanted:
        return (None,) * len(inputs)
    values, gradients = zip(*pairs, strict=True)
    with _alone(wanted):
        found = torch.autograd.grad(
            values, wanted, gradients, allow_unused=True, retain_graph=True, create_graph=create_graph
        )
    found = iter(found)
    return tuple(next(found) if x.requires_grad else None for x in inputs)


@contextlib.contextmanager
def _alone(inputs: list[Tensor]):
    """Let no gradient pass through an input that was itself computed, perhaps from another input, and run no hooks.

    What it was computed from receives that part from the caller's graph, and would receive it twice; so would the
    inputs' own hooks and the gradients they retain.
    """

    def stop(gradients, index):
        return tuple(None if i == index else g for i, g in enumerate(gradients))

    computed = [x for x in inputs if x.grad_fn is not None]
    handles = [x.grad_fn.register_prehook(functools.partial(stop, index=x.output_nr)) for x in computed]
    retained = [(x, x.grad) for x in computed if x.retains_grad]
    hooked = [(hooks, dict(hooks)) for x in inputs if (hooks := x._backward_hooks)]
    for hooks, _ in hooked:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, those in hooked:
            hooks.update(those)
        for x, gradient in retained:
            x.grad = gradient
        for handle in handles:
            handle.remove()


class GradientSum:
    """The sum of gradients that come in one step after the other."""

    def __init__(self, count: int):
        self.values: list[Tensor | None] = [None] * count
        self._owned = [False] * count

    def add(self, gradients, factor: float = 1.0) -> None:
        """Add factor × gradients; the first one is kept as it is, for it may be a view of something else."""
        for i, gradient in enumerate(gradients):
            if gradient is None:
                continue
            if self.values[i] is None:
                self.values[i] = gradient if factor == 1.0 else gradient * factor
                self._owned[i] = factor != 1.0
            elif self._owned[i]:
                self.values[i].add_(gradient, alpha=factor)
            else:
                self.values[i] = torch.add(self.values[i], gradient, alpha=factor)
                self._owned[i] = True
