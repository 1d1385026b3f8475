"""R functions on tensors: their arithmetic."""

import operator

import numpy as np
import torch

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": operator.pow,
    "%%": torch.remainder, "%/%": torch.floor_divide, "==": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge, "&": torch.logical_and, "|": torch.logical_or,
    "max": torch.maximum, "min": torch.minimum,
}  # fmt: skip
# R's names where they are not torch's.
NAMES = {"ceiling": "ceil", "gamma": None, "cumsum": None, "cumprod": None, "range": None}


class TensorDerivative:
    """An R function of (t, y) on tensors as a derivative: y whole, or as a list with one tensor a state."""

    def __init__(self, func, whole):
        self.func, self.whole = func, whole

    def __call__(self, t, y):
        slopes = self.func(t, y if self.whole else list(y.unbind(0)))
        if not isinstance(slopes, torch.Tensor):
            slopes = torch.stack([torch.as_tensor(slope, dtype=y.dtype).reshape(()) for slope in _listed(slopes)])
        return slopes.reshape(y.shape)


def parameter(number):
    """A number or array of R as a tensor that asks for gradients."""
    return torch.tensor(number, dtype=torch.float64, requires_grad=True)


def operate(name, left, right=None):
    """An operator of R on tensors and numbers; a number takes the tensor's dtype."""
    if right is None:
        return {"-": operator.neg, "+": operator.pos, "!": torch.logical_not}[name](left)
    like = left if isinstance(left, torch.Tensor) else right
    return OPERATORS[name](_as_tensor(left, like), _as_tensor(right, like))


def apply(name, tensor):
    """A mathematical function of R on a tensor, by its name."""
    function = getattr(torch, NAMES.get(name, name) or "", None)
    if function is None:
        raise ValueError(f"{name}() has no meaning on tensors here; use the tensor's own methods, e.g. x$cumsum(0L)")
    return function(tensor)


def shape(tensor):
    """Its dimensions, for R."""
    return list(tensor.shape)


def flat(tensor):
    """Its numbers one after the other in R's order, the first index running fastest."""
    return tensor.permute(tuple(reversed(range(tensor.ndim)))).reshape(-1)


def pick(tensor, places, drop):
    """The part at the given places, counted from 0: for each dimension an array of them, or None for all."""
    for axis, place in enumerate(places):
        if place is not None:
            tensor = tensor.index_select(axis, torch.from_numpy(np.array(place, dtype=np.int64)).to(tensor.device))
    return tensor.squeeze() if drop else tensor


def put(tensor, places, value):
    """A copy with other values at the places of `pick`, in R's order."""
    ranges = (np.arange(n) if place is None else place for place, n in zip(places, tensor.shape, strict=True))
    grids = np.broadcast_arrays(*np.ix_(*(np.asarray(r, dtype=np.int64) for r in ranges)))
    copy = tensor.clone()
    copy[tuple(torch.from_numpy(g.ravel(order="F")) for g in grids)] = flat(_as_tensor(value, tensor)).to(tensor.dtype)
    return copy


def values(tensor):
    """The numbers of a tensor."""
    return tensor.detach().cpu().numpy()


def _as_tensor(x, like):
    if isinstance(x, torch.Tensor):
        return x
    return torch.tensor(x, dtype=like.dtype if like.is_floating_point() else None, device=like.device)


def _listed(x):
    return list(x.values()) if isinstance(x, dict) else x if isinstance(x, list | tuple) else [x]
