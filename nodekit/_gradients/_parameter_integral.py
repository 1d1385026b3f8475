"""The parameters' part of a continuous adjoint: ∫ aᵀ ∂f/∂θ dt, along steps that are chosen by the errors of z and a.

z and a may be smooth, even constant, where this integrand is not: of y' = p sin(7 t) at p = 0 nothing moves, and one
step spans all. So the quadrature of every chosen step is held to the tolerances by its embedded error. Where that is
too large another rule is asked, and where this does not agree, the step's integral is taken adaptively. Both go along
the step's own interpolation: its z and a are as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from .._choices.tolerance import Tolerance
from .._derivative.vjp import GradientSum
from .._steps.numbers import Number
from .._warning import warn

#: Gauss's 7 nodes and Kronrod's 15 on [−1, 1], the latter from the outermost to the middle, and their weights (Piessens
#: et al., QUADPACK, 1983)
_NODES = (0.9914553711208126, 0.9491079123427585, 0.8648644233597691, 0.7415311855993945,
          0.5860872354676911, 0.4058451513773972, 0.2077849550078985, 0.0)  # fmt: skip
_KRONROD = (0.0229353220105292, 0.0630920926299786, 0.1047900103222502, 0.1406532597155259,
            0.1690047266392679, 0.1903505780647854, 0.2044329400752989, 0.2094821410847278)  # fmt: skip
_GAUSS = (0.0, 0.1294849661688697, 0.0, 0.2797053914892767, 0.0, 0.3818300505051189, 0.0, 0.4179591836734694)
#: (node, weight of Kronrod, weight of Kronrod less weight of Gauss) on [0, 1]
_RULE = [
    (0.5 + sign * node / 2, kronrod / 2, (kronrod - gauss) / 2)
    for sign in (-1, 1)
    for node, kronrod, gauss in zip(_NODES, _KRONROD, _GAUSS, strict=True)
    if node or sign > 0
]
#: how many pieces of a step are tried, and which are not halved again, since a jump has no smallest
_MOST_PIECES, _SMALLEST_PIECE = 500, 1e-10

Gradients = Sequence[Tensor | None]


class ParameterIntegral:
    """The integral over the steps of a backward solve, added up.

    Args:
        count: of the parameters.
        random: whether the derivative draws: such an integrand has no errors to be judged by.

    Attributes:
        values: the integral so far; None: nothing.
    """

    def __init__(self, count: int, random: bool):
        self.count, self._sum = count, GradientSum(count)
        self.values = self._sum.values
        self._suspicion = math.inf if random else 3.0  # of what is allowed, from which on errors are looked into

    def add(self, length: float, mean: Gradients) -> None:
        """Add a step: its length times the integrand's mean over it."""
        self._sum.add(mean, length)

    def add_judged(
        self, length: float, mean: Gradients, error: Gradients, tolerance: Tolerance, t: Number, at: Callable
    ) -> None:
        """Add a step whose error is to be judged, or, where that is too large, its integral by another rule.

        Args:
            error: of the mean, estimated.
            tolerance, t: what errors are allowed, and when.
            at: the integrand at a fraction of the step, by its interpolation.
        """
        if length and self._suspicion < math.inf:
            sizes = _sizes([*self.values, *mean, *error])
            before, means, errors = (sizes[i * self.count : (i + 1) * self.count] for i in range(3))
            allowed = [
                self._allowed(x, so_far / abs(length) + size, tolerance, t)
                for x, so_far, size in zip(error, before, means, strict=True)
            ]
            if _excess(errors, allowed) > self._suspicion:
                mean = self._by_other_rules(at, mean, means, errors, allowed) or mean
        self.add(length, mean)

    @staticmethod
    def _allowed(x: Tensor | None, size: float, tolerance: Tolerance, t: Number) -> float:
        if x is None:
            return math.inf
        return max(tolerance.least(t, size), torch.finfo(x.dtype).eps * size, 1e-30)

    def _by_other_rules(self, at, mean: Gradients, means, errors, allowed) -> Gradients | None:
        """The mean over a step, of pieces that are halved where Gauss and Kronrod differ; None: these are too many."""
        value, difference = self._panel(at, 0.0, 1.0)
        between = _sizes(weighted(self.count, [(value, 1.0), (mean, -1.0)]))
        confirmed = _excess(errors, allowed) < 10 and _excess(between, errors) < 1
        jumps = _excess(difference, errors) > 1  # as of ReLU's slopes, of which no rule makes much more
        if confirmed or (jumps and _excess(difference, means) < 0.02 and _excess(between, means) < 0.05):
            self._suspicion *= 4
            return value
        limits = [max(1e-3 * error, limit) for error, limit in zip(errors, allowed, strict=True)]
        if _excess(difference, limits) <= 1:
            return value
        total, pieces = GradientSum(self.count), [(0.5, 0.5), (0.0, 0.5)]
        for _ in range(_MOST_PIECES):
            start, length = pieces.pop()
            value, difference = self._panel(at, start, length)
            if length > _SMALLEST_PIECE and length * _excess(difference, limits) > 1:
                pieces += [(start + length / 2, length / 2), (start, length / 2)]
                continue
            total.add(value, length)
            if not pieces:
                return total.values
        self._suspicion = math.inf  # not to try it again in every step
        warn(
            "the parameters' part of a continuous adjoint varies too fast within a step to be integrated within the "
            "tolerances, and their gradients may be wrong: is the derivative random? Otherwise limit the steps by "
            "max_step, or choose gradient='checkpoint', which is exact for the steps that were taken"
        )
        return None

    def _panel(self, at: Callable[[float], Gradients], start: float, length: float) -> tuple[Gradients, list[float]]:
        """The mean over a piece of a step by Kronrod's rule, and the sizes of its difference to that by Gauss's."""
        values = [at(start + length * node) for node, _, _ in _RULE]
        mean = weighted(self.count, ((x, weight) for x, (_, weight, _) in zip(values, _RULE, strict=True)))
        difference = weighted(self.count, ((x, weight) for x, (_, _, weight) in zip(values, _RULE, strict=True)))
        return mean, _sizes(difference)


def weighted(count: int, terms: Iterable[tuple[Gradients, float]]) -> Gradients:
    """Σ weight·gradients, of so many parameters."""
    total = GradientSum(count)
    for gradients, weight in terms:
        total.add(gradients, weight)
    return total.values


def _sizes(gradients: Gradients) -> list[float]:
    """The root mean squares of the parameters' gradients, on the host."""
    present = [x for x in gradients if x is not None]
    norms = torch._foreach_norm(present) if present else ()
    norms = iter(torch.stack([norm.to(norms[0]) for norm in norms]).tolist() if present else ())
    return [0.0 if x is None else next(norms) / math.sqrt(max(x.numel(), 1)) for x in gradients]


def _excess(errors: Sequence[float], allowed: Sequence[float]) -> float:
    """The largest error in units of what is allowed; what is not finite is for the user to see, and for no judge."""
    ratios = (error / limit for error, limit in zip(errors, allowed, strict=True) if error)
    return max(filter(math.isfinite, ratios), default=0.0)
