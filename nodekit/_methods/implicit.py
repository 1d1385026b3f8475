"""Implicit Runge–Kutta methods, as data.

Stage order and damping decide how a method fares on stiff problems: an L-stable method forgets fast transients at
once, and where the stage order q is below the order p, stiff components converge with order q + 1 or so only.
"""

from __future__ import annotations

import math

import numpy as np

from .continuous import dense_weights, extended
from .tableau import ButcherTableau

#: L-stable, stage order 1.
IMPLICIT_EULER = ButcherTableau(c=[1], A=[[1]], b=[1], order=1)

#: The Gauss method with one stage: A-stable and symplectic, without damping at infinity; stage order 1.
IMPLICIT_MIDPOINT = ButcherTableau(c=[1 / 2], A=[[1 / 2]], b=[1], order=2)

#: A-stable, without damping at infinity; stage order 2.
TRAPEZOID = ButcherTableau(c=[0, 1], A=[[0, 0], [1 / 2, 1 / 2]], b=[1 / 2, 1 / 2], order=2)


def _sdirk2() -> ButcherTableau:
    """L-stable, stiffly accurate, stage order 1."""
    g = 1 - 1 / math.sqrt(2)
    embedded = 2 - 5 / 4 * math.sqrt(2)
    return ButcherTableau(c=[g, 1], A=[[g], [1 - g, g]], b=[1 - g, g], order=2, b_embedded=[1 - embedded, embedded])


def _trbdf2() -> ButcherTableau:
    """L-stable, stiffly accurate, stage order 2; a trapezoidal stage, then BDF2; the embedded weights have order 3."""
    g, w = 1 - 1 / math.sqrt(2), math.sqrt(2) / 4
    return ButcherTableau(
        c=[0, 2 * g, 1],
        A=[[], [g, g], [w, w, g]],
        b=[w, w, g],
        order=2,
        b_embedded=[(1 - w) / 3, (3 * w + 1) / 3, g / 3],
    )


def _kvaerno3() -> ButcherTableau:
    """L-stable, stage order 2; solution and embedded solution are both stiffly accurate."""
    g = 0.435866521508459  # the root of 6γ³ − 18γ² + 9γ = 1 that makes both L-stable
    second = [(-4 * g**2 + 6 * g - 1) / (4 * g), (1 - 2 * g) / (4 * g), g]
    third = [(6 * g - 1) / (12 * g), -1 / ((24 * g - 12) * g), (-6 * g**2 + 6 * g - 1) / (6 * g - 3), g]
    return ButcherTableau(c=[0, 2 * g, 1, 1], A=[[], [g, g], second, third], b=third, order=3, b_embedded=[*second, 0])


def _kvaerno5() -> ButcherTableau:
    """L-stable, stage order 2; solution and embedded solution are both stiffly accurate. Dense output of order 4."""
    g = 0.26
    A = extended(
        np.zeros((0, 0)),
        [
            [],
            [g, g],
            [0.13, 0.84033320996790809, g],
            [0.22371961478320505, 0.47675532319799699, -0.06470895363112615, g],
            [0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998, g],
            [0.13855640231268224, 0, -0.04245337201752043, 0.02446657898003141, 0.61943039072480676, g],
            [0.13659751177640291, 0, -0.05496908796538376, -0.04118626728321046, 0.62993304899016403,
             0.06962479448202728, g],
        ],
    )  # fmt: skip
    return ButcherTableau(
        c=A.sum(1), A=A, b=A[6], order=5, b_embedded=A[5], interpolation=dense_weights(A, A[6], 4, start=0, end=6)
    )


def _radau(A: list[list[float]], c: list[float], order: int, g: float) -> ButcherTableau:
    """A Radau IIA method behind an explicit first stage: the slope at the start, known from the last step.

    That stage, with the weight γ₀, makes an embedded method of order s (Hairer & Wanner II, section IV.8), and the
    dense output smooth where steps join.
    """
    A = extended(np.zeros((1, 1)), [[0, *row] for row in A])
    b, c = A[-1], np.array([0, *c])
    stages = len(c) - 1
    powers = np.vander(c[1:], stages, increasing=True).T
    embedded = np.linalg.solve(powers, 1 / np.arange(1, stages + 1) - g * (np.arange(stages) == 0))
    weights = dense_weights(A, b, stages + 1, start=0)
    return ButcherTableau(c=c, A=A, b=b, order=order, b_embedded=[g, *embedded], interpolation=weights)


def _radau3() -> ButcherTableau:
    """L-stable, stiffly accurate, stage order 2."""
    # A has no real eigenvalue; γ₀ is the geometric mean of its two.
    return _radau([[5 / 12, -1 / 12], [3 / 4, 1 / 4]], [1 / 3, 1], order=3, g=1 / math.sqrt(6))


def _radau5() -> ButcherTableau:
    """L-stable, stiffly accurate, stage order 3."""
    r = math.sqrt(6)
    A = [
        [(88 - 7 * r) / 360, (296 - 169 * r) / 1800, (-2 + 3 * r) / 225],
        [(296 + 169 * r) / 1800, (88 + 7 * r) / 360, (-2 - 3 * r) / 225],
        [(16 - r) / 36, (16 + r) / 36, 1 / 9],
    ]
    # γ₀ is the real eigenvalue of A.
    return _radau(A, [(4 - r) / 10, (4 + r) / 10, 1], order=5, g=(6 + 81 ** (1 / 3) - 9 ** (1 / 3)) / 30)


def _gauss(A: list[list[float]], c: list[float], b: list[float], inner: list[float]) -> ButcherTableau:
    """A Gauss method: A-stable and symplectic, without damping at infinity; order 2s, stage order s.

    Its dense output takes the slopes at both ends as extra stages, and slopes at inner points of a coarser one, and is
    then of order 2s − 1: as accurate over a step as the steps are together.
    """
    A, b, stages = np.array(A), np.array(b), len(b)
    rows = [np.zeros(stages), b]
    extra = [0.0, 1.0]

    def weights(order):
        return dense_weights(extended(A, rows), np.pad(b, (0, len(rows))), order, start=stages, end=stages + 1)

    if inner:
        coarse = weights(stages + 1)
        rows += [coarse @ theta ** np.arange(1, coarse.shape[1] + 1) for theta in inner]
    return ButcherTableau(
        c=c,
        A=A,
        b=b,
        order=2 * stages,
        extra_c=[*extra, *inner],
        extra_A=rows,
        interpolation=weights(2 * stages - 1),
    )


def _gauss4() -> ButcherTableau:
    r = math.sqrt(3) / 6
    return _gauss([[1 / 4, 1 / 4 - r], [1 / 4 + r, 1 / 4]], [1 / 2 - r, 1 / 2 + r], [1 / 2, 1 / 2], inner=[])


def _gauss6() -> ButcherTableau:
    r = math.sqrt(15)
    A = [
        [5 / 36, 2 / 9 - r / 15, 5 / 36 - r / 30],
        [5 / 36 + r / 24, 2 / 9, 5 / 36 - r / 24],
        [5 / 36 + r / 30, 2 / 9 + r / 15, 5 / 36],
    ]
    return _gauss(A, [1 / 2 - r / 10, 1 / 2, 1 / 2 + r / 10], [5 / 18, 4 / 9, 5 / 18], inner=[1 / 5, 4 / 5])


SDIRK2, TRBDF2, KVAERNO3, KVAERNO5 = _sdirk2(), _trbdf2(), _kvaerno3(), _kvaerno5()
RADAU3, RADAU5, GAUSS4, GAUSS6 = _radau3(), _radau5(), _gauss4(), _gauss6()
