"""The known part of an equation: an R function as a program on tensors, or called by R for each state."""

import numpy as np
import torch

ARITHMETIC = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div, "^": torch.pow, "%%": torch.remainder,
    "%/%": lambda a, b: torch.div(a, b, rounding_mode="floor"), "pmax": torch.maximum, "pmin": torch.minimum,
}  # fmt: skip
SUMMARIES = {"sum": torch.sum, "prod": torch.prod, "max": torch.amax, "min": torch.amin}
# R's names of functions where they are not torch's.
NAMES = {"ceiling": "ceil", "gamma": None, "trigamma": None, "signif": None}
FUNCTIONS = {
    "cumsum": lambda x: torch.cumsum(x, 1), "cumprod": lambda x: torch.cumprod(x, 1),
    "cummax": lambda x: torch.cummax(x, 1)[0], "cummin": lambda x: torch.cummin(x, 1)[0],
    "sinpi": lambda x: torch.sin(torch.pi * x), "cospi": lambda x: torch.cos(torch.pi * x),
    "tanpi": lambda x: torch.tan(torch.pi * x), "pnorm": torch.special.ndtr,
    "gamma": lambda x: torch.exp(torch.lgamma(x)), "trigamma": lambda x: torch.special.polygamma(1, x),
}  # fmt: skip


class Program:
    """The steps of an R function, on tensors with a row for each state: vectors in R's order.

    Args:
        steps: each [kind, operand, ...], an operand being text, constants, or {"place": of an input or earlier step}.
        result: operand.
    """

    def __init__(self, steps, result, sizes):
        self.steps = [
            [kind, _Places(first) if kind == "take" else _operand(first), *map(_operand, rest)]
            for kind, first, *rest in steps
        ]
        self.result, self.sizes = _operand(result), sizes

    def __call__(self, t, y, parms, outside):
        """The values of the function: (rows, k), of t (rows,), y (rows, n), parms (1, p) and outside (rows, c)."""
        inputs = [y, t[:, None], *torch.cat([parms.expand(len(y), -1), outside], 1).split(self.sizes[2:], 1)]
        at = [*inputs]
        for kind, *operands in self.steps:
            parts = [self._value(part, at, y) for part in operands]
            at.append(KINDS[kind](*parts))
        return self._value(self.result, at, y).expand(len(y), -1)

    @staticmethod
    def _value(operand, at, like):
        if isinstance(operand, int):
            return at[operand]
        if isinstance(operand, torch.Tensor):
            return operand.to(like.device)
        return operand


def _operand(part):
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        return int(part["place"])
    return torch.tensor(np.atleast_1d(part), dtype=torch.float64)[None]


def _arithmetic(name, a, b):
    n = max(a.shape[1], b.shape[1])
    return ARITHMETIC[name](*(x if x.shape[1] in (1, n) else _recycled(x, n) for x in (a, b)))


def _recycled(x, n):
    return x.index_select(1, torch.arange(n, device=x.device) % x.shape[1])


def _math(x, name):
    function = FUNCTIONS.get(name) or getattr(torch, NAMES.get(name, name))
    return function(x)


def _take(places, *parts):
    """What `_Places` say of the parts one after the other."""
    if places.only is not None and len(parts) == 1:
        return parts[0][:, places.only : places.only + 1]
    rows = max(len(part) for part in parts)
    whole = torch.cat([part.expand(rows, -1) for part in parts], 1) if len(parts) > 1 else parts[0]
    if places.all and len(places.index) == whole.shape[1]:
        return whole
    edges = whole.new_tensor([[0.0, torch.nan]]).expand(len(whole), -1)
    return torch.cat([edges, whole], 1).index_select(1, places.index.to(whole.device))


class _Places:
    """Places counted from 1 as R has them, of which 0 is zero and NaN missing."""

    def __init__(self, places):
        places = np.atleast_1d(places)
        self.only = int(places[0]) - 1 if len(places) == 1 and places[0] > 0 else None
        self.all = np.array_equal(places, np.arange(1, len(places) + 1))
        self.index = torch.from_numpy(np.where(np.isnan(places), 1, np.where(places == 0, 0, places + 1)).astype(int))


def _product(left, right, a, b):
    return _flat(_matrix(a, left) @ _matrix(b, right))


def _matrix(x, dims):
    """R's order, the first index running fastest, as a batch of matrices."""
    rows, columns = (int(n) for n in dims[0])
    return x.reshape(len(x), columns, rows).transpose(1, 2)


def _flat(x):
    return x.transpose(1, 2).reshape(len(x), -1)


def _solve(dims, a, b):
    n = int(dims[0, 0])
    right = b.reshape(len(b), -1, n).transpose(1, 2)
    return _flat(torch.linalg.solve(_matrix(a, dims), right))


def _table(v, x, a, b, c, d, ends, last=None):
    """Cubic pieces behind each x; outside, what `ends` says, or the first and last piece going on."""
    x, a, b, c, d = (part[0] for part in (x, a, b, c, d))
    i = (torch.searchsorted(x, v.detach().contiguous(), right=True) - 1).clamp(0, len(x) - 1)
    h = v - x[i]
    value = a[i] + h * (b[i] + h * (c[i] + h * d[i]))
    if last is None:
        return torch.where(v < x[0], a[0] + h * b[0], value)  # as splinefun() before its first place
    value = torch.where(v == x[-1], last[0, -1], value)
    return torch.where(v < x[0], ends[0, 0], torch.where(v > x[-1], ends[0, 1], value))


KINDS = {
    "arithmetic": _arithmetic, "math": _math, "take": _take, "product": _product, "solve": _solve, "table": _table,
    "summary": lambda x, name: SUMMARIES[name](x, 1, keepdim=True),
}  # fmt: skip


class Called(torch.autograd.Function):
    """The known part by calls of R.

    Args:
        t, y, parms, outside: as of `Program`.
        call: R's (t, y, parms, outside) → (rows, n) array, on arrays.
        pull: R's (t, y, parms, outside, weights) → (rows, n + p) array: gradients of the weighted sums of each row.
    """

    @staticmethod
    def forward(ctx, t, y, parms, outside, call, pull):
        ctx.save_for_backward(t, y, parms, outside)
        ctx.pull = pull
        return _from_r(call(*_to_r(t, y, parms, outside)), y)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, weights):
        t, y, parms, outside = ctx.saved_tensors
        found = _from_r(ctx.pull(*_to_r(t, y, parms, outside, weights)), y)
        n = y.shape[1]
        return None, found[:, :n], found[:, n:].sum(0, keepdim=True), None, None, None


def called(call, pull):
    """A function like a `Program`, by calls of R."""
    return lambda t, y, parms, outside: Called.apply(t, y, parms, outside, call, pull)


def _to_r(*tensors):
    return [x.detach().contiguous().cpu().numpy() for x in tensors]


def _from_r(array, like):
    return torch.from_numpy(np.array(array)).to(like.device)


class Parameters(torch.nn.Module):
    """Unknown numbers of the known part, searched in units of their size, or on the scale of their logarithm.

    Args:
        start: (p,), on the scale that is searched.
        on_log: (p,) whether that is of the logarithm.
        free: (p,) whether it is fitted.
        lower, upper: (p,) bounds on the scale that is searched.
    """

    def __init__(self, start, on_log, free, lower, upper):
        super().__init__()
        start, lower, upper = (torch.tensor(np.atleast_1d(x), dtype=torch.float64) for x in (start, lower, upper))
        on_log, free = (torch.tensor(np.atleast_1d(x), dtype=torch.bool) for x in (on_log, free))
        size = torch.where(on_log | (start == 0), 1.0, start.abs())
        for name, value in {
            "start": start, "on_log": on_log, "size": size * free, "lower": (lower - start) / size,
            "upper": (upper - start) / size,
        }.items():  # fmt: skip
            self.register_buffer(name, value)
        self.moved = torch.nn.Parameter(torch.zeros_like(start))

    def searched(self):
        return self.start + self.size * self.moved

    def forward(self):
        """(1, p), as the function takes them."""
        theta = self.searched()
        return torch.where(self.on_log, theta.clamp(max=700.0).exp(), theta)[None]

    def stay_within_bounds(self):
        with torch.no_grad():
            self.moved.clamp_(self.lower, self.upper)


def evaluate(program, times, states, parms, outside):
    """The values of a program's function at states (n, d), to be compared with those of R."""
    t, p = (torch.tensor(np.atleast_1d(a), dtype=torch.float64) for a in (times, parms))
    y, x = (torch.tensor(np.asarray(a, float).reshape(len(t), np.size(a) // len(t))) for a in (states, outside))
    with torch.no_grad():
        return Program(**program)(t, y, p[None], x).numpy()
