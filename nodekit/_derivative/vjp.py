"""Vector–Jacobian products with gaps, and their sums."""

from __future__ import annotations

import contextlib
import functools

import torch
from torch import Tensor
from torch.autograd import Function

from .._steps.numbers import host
from ..errors import GradientUnavailable


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
        try:
            found = torch.autograd.grad(
                values, wanted, gradients, allow_unused=True, retain_graph=True, create_graph=create_graph
            )
        except RuntimeError as error:
            if "use_reentrant=True" not in str(error):
                raise
            raise GradientUnavailable(
                "the derivative uses torch.utils.checkpoint with use_reentrant=True, which has no gradients by name",
                remedy="Pass it use_reentrant=False, or use gradient='backprop'",
            ) from error
    found = iter(found)
    return tuple(next(found) if x.requires_grad else None for x in inputs)


def is_nothing(gradients) -> bool:
    """Whether no gradient comes in: behind a tensor that `_alone` stops at, autograd asks all the same.

    A solve within a derivative whose state was computed by another would ask that again, and so on, for ever.
    """
    return all(gradient is None for gradient in gradients)


@contextlib.contextmanager
def _alone(inputs: list[Tensor]):
    """Let no gradient pass through an input that was itself computed, perhaps from another input, and run no hooks.

    What it was computed from receives that part from the caller's graph, and would receive it twice; so would the
    inputs' own hooks and the gradients they retain (test_parameters.py).
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


def once(found, gradients, differentiated, name: str) -> tuple[Tensor | None, ...]:
    """found(gradients), for every vector of a batch of them, from which no second derivative is to be had.

    Args:
        found: gives the gradients of the differentiated tensors.
        differentiated: with the graphs that lead to them.
        name: of the gradient, for the message.
    """
    with torch.no_grad():
        results = each_of_batch(found, gradients)
    if not torch.is_grad_enabled():
        return results
    known = [x for x in (*differentiated, *gradients) if x is not None and x.requires_grad]
    present = [x for x in results if x is not None]
    marked = iter(_Once.apply(name, len(present), *present, *known))
    return tuple(None if x is None else next(marked) for x in results)


class _Once(Function):
    """Tensors as they are, whose derivatives are refused."""

    @staticmethod
    def forward(ctx, name: str, count: int, *tensors: Tensor):
        ctx.name = name
        return tuple(x.clone() for x in tensors[:count])

    @staticmethod
    def backward(ctx, *gradients):
        raise GradientUnavailable(
            f"gradient={ctx.name!r} has no second derivatives",
            remedy="The default, gradient='checkpoint', and 'backprop' have exact ones",
        )


def each_of_batch(found, gradients) -> tuple[Tensor | None, ...]:
    """found(gradients) where these may be many at once, as torch.autograd.grad(is_grads_batched=True) hands them."""
    present = [g for g in gradients if g is not None]
    if not any(torch._C._functorch.is_legacy_batchedtensor(g) for g in present):
        return found(gradients)
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    count = max(
        len(torch._remove_batch_dim(g, level, 1, 0)) for g in present if torch._C._functorch.is_legacy_batchedtensor(g)
    )
    rows = [None if g is None else torch._remove_batch_dim(g, level, count, 0).unbind() for g in gradients]
    columns = zip(*(found([None if row is None else row[i] for row in rows]) for i in range(count)), strict=True)
    stacked = (None if column[0] is None else torch.stack(column) for column in columns)
    return tuple(None if x is None else torch._add_batch_dim(x, 0, level) for x in stacked)


class _Refused(Function):
    """A tensor as it is, of which any gradient but zero is an error."""

    @staticmethod
    def forward(ctx, error: GradientUnavailable, x: Tensor, anchor: Tensor):
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        if host((gradient.detach() != 0).any()):
            raise ctx.error
        return None, None, None


def refuse(error: GradientUnavailable, x: Tensor, anchor: Tensor) -> Tensor:
    """A tensor that depends on another, of which any gradient but zero is an error."""
    return _Refused.apply(error, x, anchor)
