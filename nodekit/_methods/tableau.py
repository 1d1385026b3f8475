"""Runge–Kutta methods as data: a Butcher tableau that refuses to be constructed with a slip in it."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field

import numpy as np

from ..errors import InvalidTableau

Tree = tuple  # a rooted tree is the sorted tuple of the trees below its root


@functools.cache
def rooted_trees(order: int) -> tuple[Tree, ...]:
    """All rooted trees with `order` vertices (1, 1, 2, 4, 9, 20, 48, 115, … of them)."""
    return tuple(sorted(_forests(order - 1)))


@functools.cache
def _forests(vertices: int) -> frozenset[tuple[Tree, ...]]:
    """All multisets of rooted trees with so many vertices together."""
    if vertices == 0:
        return frozenset({()})
    found = (
        tuple(sorted((*forest, tree)))
        for size in range(1, vertices + 1)
        for tree, forest in itertools.product(rooted_trees(size), _forests(vertices - size))
    )
    return frozenset(found)


@functools.cache
def _vertices(tree: Tree) -> int:
    return 1 + sum(map(_vertices, tree))


@functools.cache
def _density(tree: Tree) -> int:
    """γ(tree): the order condition of a tree is Σ bᵢ Φᵢ(tree) = 1/γ(tree)."""
    return _vertices(tree) * int(np.prod([_density(branch) for branch in tree], dtype=object))


def _elementary_weights(A: np.ndarray, order: int) -> dict[Tree, np.ndarray]:
    """Φᵢ(tree) of every stage i, for all trees up to `order`."""
    weights: dict[Tree, np.ndarray] = {}
    for size in range(1, order + 1):
        for tree in rooted_trees(size):
            weights[tree] = np.prod([A @ weights[branch] for branch in tree] or [np.ones(len(A))], axis=0)
    return weights


def _order_of(b: np.ndarray, A: np.ndarray, highest: int, tolerance: float = 1e-9) -> int:
    """The order to which the weights b satisfy the order conditions, `highest` at most."""
    for tree, weight in _elementary_weights(A, highest).items():
        if abs(b @ weight - 1 / _density(tree)) > tolerance:
            return _vertices(tree) - 1
    return highest


@dataclass(frozen=True, eq=False)
class ButcherTableau:
    """The coefficients of a Runge–Kutta method.

    Construction checks that the row sums of A are the nodes c, that b satisfies all order conditions up to `order`
    (Hairer, Nørsett & Wanner, Solving ODEs I, theorem II.2.13), and that the dense output ends in b.

    Attributes:
        c: nodes, s of them.
        A: s × s matrix; strictly lower triangular for an explicit method. Ragged rows are padded with zeros.
        b: weights of the solution.
        order: the order of the solution.
        b_embedded: weights of the embedded solution, whose distance from the solution estimates the error.
        b_embedded_third: of a second embedded solution, which DOP853 uses to correct the first estimate.
        interpolation: rows of polynomial coefficients (θ, θ², …), one row a stage: the solution at t + θ dt is
            y + dt Σᵢ bᵢ(θ) kᵢ. None: the cubic Hermite interpolant, of order 3, whose local error h⁴ suffices up to
            order 4 (an explicit method's is filled in here, an implicit method's is made while stepping).
        extra_c, extra_A: further stages that only the dense output needs.
    """

    c: np.ndarray
    A: np.ndarray
    b: np.ndarray
    order: int
    b_embedded: np.ndarray | None = None
    b_embedded_third: np.ndarray | None = None
    interpolation: np.ndarray | None = None
    extra_c: np.ndarray = field(default_factory=lambda: np.zeros(0))
    extra_A: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    embedded_order: int = field(init=False, default=0)

    def __post_init__(self):
        c = np.array(self.c, dtype=float)
        A = _padded(self.A, len(c))
        b = np.array(self.b, dtype=float)
        if not np.allclose(A.sum(1), c, atol=1e-12):
            raise InvalidTableau(f"row sums of A {A.sum(1)} differ from the nodes c {c}")
        if (order := _order_of(b, A, self.order)) < self.order:
            raise InvalidTableau(f"declared order {self.order}, but the order conditions hold up to {order} only")
        self._set(c=c, A=A, b=b)
        if self.b_embedded is not None:
            embedded = np.array(self.b_embedded, dtype=float)
            self._set(b_embedded=embedded, embedded_order=_order_of(embedded, A, self.order))
            if self.embedded_order < 1:
                raise InvalidTableau("the embedded weights do not sum to one")
        if self.interpolation is None:
            self._interpolate_by_hermite()
        self._set(interpolation=np.array(self.interpolation, dtype=float), extra_c=np.array(self.extra_c, dtype=float))
        stages = len(c) + len(self.extra_c)
        self._set(extra_A=_padded(self.extra_A, stages)[: len(self.extra_c)])
        ends = np.concatenate([b, np.zeros(len(self.extra_c))])
        if self.interpolation.shape[0] != stages or not np.allclose(self.interpolation.sum(1), ends, atol=1e-12):
            raise InvalidTableau("the dense output does not end in the step's own result")
        if not np.allclose(self.extra_A.sum(1), self.extra_c, atol=1e-12):
            raise InvalidTableau("row sums of the extra stages differ from their nodes")

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _interpolate_by_hermite(self):
        """Cubic Hermite interpolation between both ends, the slopes there being stages or extra ones."""
        starts, ends = not self.A[0].any(), self.c[-1] == 1.0 and np.array_equal(self.A[-1], self.b)
        extra = ([] if starts else [(0.0, [])]) + ([] if ends else [(1.0, self.b)])
        self._set(extra_c=np.array([c for c, _ in extra]), extra_A=[row for _, row in extra])
        weights = np.zeros((len(self.c) + len(extra), 3))
        weights[: len(self.b)] += np.outer(self.b, [0, 3, -2])
        weights[0 if starts else len(self.b)] += [1, -2, 1]
        weights[-1 if not ends else len(self.b) - 1] += [0, -1, 1]
        self._set(interpolation=weights)

    @property
    def stages(self) -> int:
        """Number of stages of a step."""
        return len(self.c)

    @property
    def explicit(self) -> bool:
        """Whether each stage needs earlier ones only."""
        return not np.triu(self.A).any()

    @property
    def fsal(self) -> bool:
        """First same as last: the last stage is the slope at the end of the step, hence the next step's first."""
        return self.c[-1] == 1.0 and self.c[0] == 0.0 and np.array_equal(self.A[-1], self.b)

    @property
    def overlooks_decay(self) -> bool:
        """Whether the error estimate is zero for y' = −y and a step of 1, as that of Bogacki & Shampine is."""
        if self.b_embedded is None:
            return False
        slopes = np.linalg.solve(np.eye(self.stages) + self.A, -np.ones(self.stages))
        return bool(abs((self.b - self.b_embedded) @ slopes) < 1e-12)

    @property
    def a_stable(self) -> bool:
        """Whether |R(z)| ≤ 1 wherever Re z ≤ 0, where a step of y' = λy multiplies y by R(λ dt).

        Then steps of any length follow what decays (Hairer & Wanner II, section IV.3). By the maximum principle it is
        enough that R has no poles there and |R| ≤ 1 on the imaginary axis.
        """
        if (np.linalg.eigvals(self.A).real < -1e-9).any():  # R's poles are their inverses
            return False
        z = 1j * np.logspace(-3, 4, 400)
        stages = np.linalg.solve(np.eye(self.stages) - z[:, None, None] * self.A, np.ones((len(z), self.stages, 1)))
        return bool((abs(1 + z * (self.b @ stages)[:, 0]) <= 1 + 1e-8).all())

    @property
    def l_stable(self) -> bool:
        """Whether it is A-stable and R(z) → 0 for z → −∞: a step forgets what decays within it."""
        far = -1e9
        stages = np.linalg.solve(np.eye(self.stages) - far * self.A, np.ones(self.stages))
        return self.a_stable and bool(abs(1 + far * (self.b @ stages)) < 1e-4)

    def dense_order(self, highest: int | None = None) -> int:
        """The order of the dense output: the conditions Σ bᵢ(θ) Φᵢ(tree) = θʳ/γ(tree) that hold for every θ."""
        A = _padded([*self.A, *self.extra_A], len(self.interpolation))
        degree = self.interpolation.shape[1]
        highest = highest or self.order
        for tree, weight in _elementary_weights(A, highest).items():
            power = np.zeros(max(degree, highest))
            power[_vertices(tree) - 1] = 1 / _density(tree)
            if not np.allclose(np.pad(weight @ self.interpolation, (0, len(power) - degree)), power, atol=1e-9):
                return _vertices(tree) - 1
        return highest


def _padded(rows, stages: int) -> np.ndarray:
    """Ragged rows as a matrix with so many columns (and at least so many rows)."""
    matrix = np.zeros((max(len(rows), stages), stages))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix
