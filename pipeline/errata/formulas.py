"""Formulas of thind's report evaluated as they are printed, beside what they should give."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.errata.finding import Finding


def loss_of_one_weight(weight: float, bias: float, before: float, truth: float, step: float = 1e-6) -> Finding:
    """Eq. (4) and (5): σ' taken at the activation, as the letters stand, and at u = wa + b, against a difference."""

    def sigmoid(u: float) -> float:
        return 1 / (1 + np.exp(-u))

    def slope(u: float) -> float:
        return sigmoid(u) * (1 - sigmoid(u))

    def loss(w: float) -> float:
        return (sigmoid(w * before + bias) - truth) ** 2

    u = weight * before + bias
    a = sigmoid(u)
    true = (loss(weight + step) - loss(weight - step)) / (2 * step)
    at_u, at_a = (before * slope(at) * 2 * (a - truth) for at in (u, a))
    numbers = {"difference quotient": true, "σ' at u": at_u, "σ' at the activation": at_a}
    return Finding(abs(at_u - true) < 1e-8 < abs(at_a - true), numbers)


def mean_or_sum(observations: int, seed: int) -> Finding:
    """Eq. (3) and (6): the gradient of a sum over n observations, and the mean of their gradients."""
    draw = np.random.default_rng(seed)
    x, y, w = draw.normal(size=observations), draw.normal(size=observations), 0.3
    of_sum = float((2 * (w * x - y) * x).sum())
    mean = float((2 * (w * x - y) * x).mean())
    numbers = {
        "gradient of (3)": of_sum,
        "right side of (6)": mean,
        "ratio": of_sum / mean,
        "observations": observations,
    }
    return Finding(bool(np.isclose(of_sum / mean, observations)), numbers)


def separated_solution(points: list[float]) -> Finding:
    """Eq. (27) and (28): ln(3 − y) on the solution y = 3 − exp(−x/2), beside −1/2 and −x/2."""
    x = np.array(points)
    left = np.log(3 - (3 - np.exp(-x / 2)))
    printed, with_x = np.abs(left + 0.5).max(), np.abs(left + x / 2).max()
    numbers = {"largest |ln(3 − y) + 1/2|": float(printed), "largest |ln(3 − y) + x/2|": float(with_x)}
    return Finding(bool(with_x < 1e-12 < printed), numbers)


def first_euler_step(said: float) -> Finding:
    """7.4.2: the slope of y' = y at y(0) = 1, and the first step from it."""
    y, slope = 1.0, 1.0
    numbers = {"slope": slope, "y after a step": y + slope, "slope said": said, "y after a step with it": y + said}
    return Finding(slope != said and y + slope == 2, numbers)


def exponential_linear_unit(positive: float, negative: float) -> Finding:
    """Definition 7.9: α(exp(x) − 1) on both sides of zero, beside PyTorch's ELU, with α = 1."""
    values = {x: float(torch.nn.functional.elu(torch.tensor(x, dtype=torch.float64))) for x in (positive, negative)}
    formula = {x: float(np.exp(x) - 1) for x in values}
    numbers = {f"ELU at {x:g}": value for x, value in values.items()}
    numbers |= {f"exp(x) − 1 at {x:g}": value for x, value in formula.items()}
    agree = [bool(np.isclose(values[x], formula[x])) for x in (positive, negative)]
    return Finding(agree == [False, True], numbers)


def vanished_residual(inputs: list[float]) -> Finding:
    """Eq. (11): σ(0) + z with the weights and the bias at zero, for two activations."""
    z = torch.tensor(inputs)
    moved = {name: float((f(torch.zeros_like(z)) + z - z).abs().max()) for name, f in ACTIVATIONS.items()}
    numbers = {f"distance from the identity, {name}": value for name, value in moved.items()}
    return Finding(moved["ReLU"] == 0 < moved["sigmoid"], numbers)


ACTIVATIONS = {"sigmoid": torch.sigmoid, "ReLU": torch.relu}


def equilibria(capacity: float) -> Finding:
    """7.4.1: the zeros of y(1 − y/K), which are a union: the intersection of {0} and {K} is empty."""
    zeros = sorted(float(root) for root in np.roots([-1 / capacity, 1, 0]))
    met = {0.0} & {capacity}
    return Finding(zeros == [0.0, capacity] and not met, {"K": capacity, "zeros": str(zeros), "in {0} ∩ {K}": len(met)})


def root_is_no_change(current: float, best: float) -> Finding:
    """2.1.2: where ∇R = 0 for R(w) = (w − best)²: the best weight itself, not the change to it."""
    change = best - current
    numbers = {"weight now": current, "root of ∇R": best, "weight + root": current + best, "change needed": change}
    numbers |= {"R after adding the root": (current + best - best) ** 2, "R after the change": 0.0}
    return Finding(change != best and (current + best - best) ** 2 > 0, numbers)


def accuracy_and_squares(observations: int, seed: int) -> Finding:
    """3.2: on rounded 0/1 outputs accuracy is one less the mean squared error; on probabilities it is not."""
    draw = np.random.default_rng(seed)
    truth, output = draw.integers(0, 2, observations), draw.uniform(size=observations)
    accuracy = float((output.round() == truth).mean())
    rounded, raw = (float(((truth - value) ** 2).mean()) for value in (output.round(), output))
    numbers = {
        "accuracy": accuracy,
        "1 − squared error of rounded outputs": 1 - rounded,
        "1 − that of outputs": 1 - raw,
    }
    return Finding(abs(accuracy - 1 + rounded) < 1e-12 and abs(accuracy - 1 + raw) > 1e-3, numbers)
