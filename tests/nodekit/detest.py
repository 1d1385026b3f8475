"""The test problems of DETEST, non-stiff (Hull et al. 1972) and stiff (Enright et al. 1975), and classical stiff ones.

Each: the slope f(t, y) on float64 tensors (components first), the initial state, and the end of the interval from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch


class Problem(NamedTuple):
    slope: Callable
    start: Sequence[float]
    end: float


def system(*components):
    """A slope from one expression for each component, each a function of (t, y1, y2, …)."""
    return lambda t, y: torch.stack([component(t, *y.unbind()) for component in components])


def chain(rates):
    """Radioactive decay along a chain: yᵢ' = rateᵢ₋₁ yᵢ₋₁ − rateᵢ yᵢ, the last one stable."""
    rates = torch.tensor(rates, dtype=torch.float64)

    def slope(t, y):
        flow = rates * y[:-1]
        zero = torch.zeros_like(y[:1])
        return torch.cat([zero, flow]) - torch.cat([flow, zero])

    return slope


def diffusion(t, y):
    """Second differences with zeros beyond both ends."""
    zero = torch.zeros_like(y[:1])
    return torch.cat([zero, y[:-1]]) - 2 * y + torch.cat([y[1:], zero])


def orbit(t, y):
    """Two bodies."""
    return torch.cat([y[2:], -y[:2] / (y[0] ** 2 + y[1] ** 2) ** 1.5])


def kepler(eccentricity: float) -> Problem:
    speed = math.sqrt((1 + eccentricity) / (1 - eccentricity))
    return Problem(orbit, [1 - eccentricity, 0, 0, speed], 20.0)


def torus(t, y):
    r = torch.sqrt(y[0] ** 2 + y[1] ** 2)
    return torch.stack([-y[1] - y[0] * y[2] / r, y[0] - y[1] * y[2] / r, y[0] / r])


NONSTIFF = {
    "A1": Problem(lambda t, y: -y, [1], 20.0),
    "A2": Problem(lambda t, y: -(y**3) / 2, [1], 20.0),
    "A3": Problem(lambda t, y: y * torch.cos(t), [1], 20.0),
    "A4": Problem(lambda t, y: y / 4 * (1 - y / 20), [1], 20.0),
    "A5": Problem(lambda t, y: (y - t) / (y + t), [4], 20.0),
    "B1": Problem(system(lambda t, a, b: 2 * (a - a * b), lambda t, a, b: a * b - b), [1, 3], 20.0),
    "B2": Problem(
        system(lambda t, a, b, c: b - a, lambda t, a, b, c: a - 2 * b + c, lambda t, a, b, c: b - c), [2, 0, 1], 20.0
    ),
    "B3": Problem(
        system(lambda t, a, b, c: -a, lambda t, a, b, c: a - b * b, lambda t, a, b, c: b * b), [1, 0, 0], 20.0
    ),
    "B4": Problem(torus, [3, 0, 0], 20.0),
    "B5": Problem(
        system(lambda t, a, b, c: b * c, lambda t, a, b, c: -a * c, lambda t, a, b, c: -0.51 * a * b), [0, 1, 1], 20.0
    ),
    "C1": Problem(chain([1.0] * 9), [1] + [0] * 9, 20.0),
    "C2": Problem(chain(list(range(1, 10))), [1] + [0] * 9, 20.0),
    "C3": Problem(diffusion, [1] + [0] * 9, 20.0),
    "C4": Problem(diffusion, [1] + [0] * 50, 20.0),
    "D1": kepler(0.1),
    "D2": kepler(0.3),
    "D3": kepler(0.5),
    "D4": kepler(0.7),
    "D5": kepler(0.9),
    "E1": Problem(
        system(lambda t, a, b: b, lambda t, a, b: -(b / (t + 1) + (1 - 0.25 / (t + 1) ** 2) * a)),
        [0.6713967071418030, 0.0954005144474746],
        20.0,
    ),
    "E2": Problem(system(lambda t, a, b: b, lambda t, a, b: (1 - a * a) * b - a), [2, 0], 20.0),
    "E3": Problem(system(lambda t, a, b: b, lambda t, a, b: a**3 / 6 - a + 2 * torch.sin(2.78535 * t)), [0, 0], 20.0),
    "E4": Problem(system(lambda t, a, b: b, lambda t, a, b: 0.032 - 0.4 * b * b), [30, 0], 20.0),
    "E5": Problem(system(lambda t, a, b: b, lambda t, a, b: torch.sqrt(1 + b * b) / (25 - t)), [0, 0], 20.0),
}


def diagonal(*rates):
    rates = torch.tensor(rates, dtype=torch.float64)
    return lambda t, y: rates * y


def spiral(alpha: float):
    """Eigenvalues −10 ± αi, −4, −1, −0.5 and −0.1."""
    return system(
        lambda t, a, b, *_: -10 * a + alpha * b,
        lambda t, a, b, *_: -alpha * a - 10 * b,
        lambda t, a, b, c, *_: -4 * c,
        lambda t, a, b, c, d, *_: -d,
        lambda t, a, b, c, d, e, f: -0.5 * e,
        lambda t, a, b, c, d, e, f: -0.1 * f,
    )


def coupled(beta: float):
    """A nonlinear cascade from slow to fast components."""
    return system(
        lambda t, a, b, c, d: -a + 2,
        lambda t, a, b, c, d: -10 * b + beta * a**2,
        lambda t, a, b, c, d: -40 * c + 4 * beta * (a**2 + b**2),
        lambda t, a, b, c, d: -100 * d + 10 * beta * (a**2 + b**2 + c**2),
    )


STIFF = {
    "stiff A1": Problem(diagonal(-0.5, -1, -100, -90), [1] * 4, 20.0),
    "stiff A4": Problem(diagonal(*(-(float(i) ** 5) for i in range(1, 11))), [1] * 10, 1.0),
    "stiff B2": Problem(spiral(3.0), [1] * 6, 20.0),
    "stiff B5": Problem(spiral(100.0), [1] * 6, 20.0),
    "stiff C2": Problem(coupled(0.1), [1] * 4, 20.0),
    "stiff C5": Problem(coupled(20.0), [1] * 4, 20.0),
    "stiff D1": Problem(
        system(
            lambda t, a, b, c: 0.2 * (b - a),
            lambda t, a, b, c: 10 * a - (60 - 0.125 * c) * b + 0.125 * c,
            lambda t, a, b, c: torch.ones_like(c),
        ),
        [0, 0, 0],
        400.0,
    ),
    "stiff D4": Problem(
        system(
            lambda t, a, b, c: -0.013 * a - 1000 * a * c,
            lambda t, a, b, c: -2500 * b * c,
            lambda t, a, b, c: -0.013 * a - 1000 * a * c - 2500 * b * c,
        ),
        [1, 1, 0],
        50.0,
    ),
    "stiff E2": Problem(system(lambda t, a, b: b, lambda t, a, b: 5 * (1 - a * a) * b - a), [2, 0], 1.0),
    "stiff E3": Problem(
        system(
            lambda t, a, b, c: -(55 + c) * a + 65 * b,
            lambda t, a, b, c: 0.0785 * (a - b),
            lambda t, a, b, c: 0.1 * a,
        ),
        [1, 1, 0],
        500.0,
    ),
}

#: stiff problems of Hairer & Wanner II: sections IV.1 and IV.10
CLASSICAL = {
    "robertson": Problem(
        system(
            lambda t, a, b, c: -0.04 * a + 1e4 * b * c,
            lambda t, a, b, c: 0.04 * a - 1e4 * b * c - 3e7 * b * b,
            lambda t, a, b, c: 3e7 * b * b,
        ),
        [1, 0, 0],
        1e4,
    ),
    "van der Pol": Problem(system(lambda t, a, b: b, lambda t, a, b: 1000 * (1 - a * a) * b - a), [2, 0], 2000.0),
    "oregonator": Problem(
        system(
            lambda t, a, b, c: 77.27 * (b + a * (1 - 8.375e-6 * a - b)),
            lambda t, a, b, c: (c - (1 + a) * b) / 77.27,
            lambda t, a, b, c: 0.161 * (a - c),
        ),
        [1, 2, 3],
        360.0,
    ),
    "HIRES": Problem(
        system(
            lambda t, a, b, c, d, e, f, g, h: -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            lambda t, a, b, c, d, e, f, g, h: 1.71 * a - 8.75 * b,
            lambda t, a, b, c, d, e, f, g, h: -10.03 * c + 0.43 * d + 0.035 * e,
            lambda t, a, b, c, d, e, f, g, h: 8.32 * b + 1.71 * c - 1.12 * d,
            lambda t, a, b, c, d, e, f, g, h: -1.745 * e + 0.43 * f + 0.43 * g,
            lambda t, a, b, c, d, e, f, g, h: -280 * f * h + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
            lambda t, a, b, c, d, e, f, g, h: 280 * f * h - 1.81 * g,
            lambda t, a, b, c, d, e, f, g, h: -280 * f * h + 1.81 * g,
        ),
        [1, 0, 0, 0, 0, 0, 0, 0.0057],
        321.8122,
    ),
}
