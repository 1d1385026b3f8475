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


def slope_alone(slope: float, intercept: float, points: int) -> Finding:
    """4.1.1: the least error on f(x) = ax + b of a slope alone, of z' = a over t = 0…1 from z(0) = x, and with b."""
    x = np.linspace(-1, 1, points)
    y = slope * x + intercept

    def error(columns: list[np.ndarray], aim: np.ndarray) -> float:
        basis = np.stack(columns, axis=1)
        return float(np.sqrt(np.mean((basis @ np.linalg.lstsq(basis, aim, rcond=None)[0] - aim) ** 2)))

    one = np.ones_like(x)
    numbers = {
        "error, f' = a from f(0) = 0": error([x], y),
        "error, z' = a from z(0) = x": error([one], y - x),
        "error, f' = a from f(0) = b": error([x, one], y),
        "parameters of the last": 2,
    }
    alone, from_x, both = list(numbers.values())[:3]
    return Finding(both < 1e-12 < min(alone, from_x), numbers)


def gradient_and_descent(current: float, best: float, lr: float) -> Finding:
    """2.1.2: one gradient, found by backpropagation, and the steps that two optimizers make of it."""
    gradients, steps = {}, {}
    for name in ("SGD", "Adam", "RMSprop"):
        weight = torch.tensor(current, dtype=torch.float64, requires_grad=True)
        optimizer = getattr(torch.optim, name)([weight], lr=lr)
        (weight - best).square().backward()
        gradients[name] = weight.grad.item()
        after_backpropagation = weight.item()
        optimizer.step()
        steps[name] = weight.item() - current
        if after_backpropagation != current:
            return Finding(False, {"backpropagation moved the weight by": after_backpropagation - current})
    numbers = {"gradient": gradients["SGD"], "weight moved by backpropagation": 0.0}
    numbers |= {f"weight moved by a step of {name}": step for name, step in steps.items()}
    return Finding(len(set(gradients.values())) == 1 and len(set(steps.values())) == len(steps), numbers)


def softmax_of_two(first: float, second: float) -> Finding:
    """Eq. (2), footnote 4: the softmax of two numbers and the logistic function of their difference."""
    softmax = torch.tensor([first, second], dtype=torch.float64).softmax(0)[1].item()
    logistic = float(1 / (1 + np.exp(first - second)))
    return Finding(abs(softmax - logistic) < 1e-15, {"softmax": softmax, "logistic": logistic})


def product_for_two_vectors(size: int, seed: int) -> Finding:
    """reading 1: v from Aᵀv = u for two vectors u, each giving its own uᵀB = vᵀC with AB = C."""
    draw = np.random.default_rng(seed)
    a, c = draw.normal(size=(size, size)), draw.normal(size=(size, size))
    b = np.linalg.solve(a, c)
    vectors, errors = [], []
    for _ in range(2):
        u = draw.normal(size=size)
        vectors.append(np.linalg.solve(a.T, u))
        errors.append(float(np.abs(vectors[-1] @ c - u @ b).max()))
    apart = float(np.abs(vectors[0] - vectors[1]).max())
    return Finding(max(errors) < 1e-9 < apart, {"v of two u apart by": apart, "largest |uᵀB − vᵀC|": max(errors)})


def one_step_further(rate: float, steps: int) -> Finding:
    """slides: the right side that is set equal to h_{N−1}, beside h_{N−1} and h_N, on decay."""
    step = 1 / steps
    h = [1.0]
    for _ in range(steps):
        h.append(h[-1] - step * rate * h[-1])
    right = h[0] + step * sum(-rate * value for value in h[: steps - 1]) - step * rate * h[steps - 1]
    numbers = {"right side": right, f"h at {steps}": h[steps], f"h at {steps - 1}": h[steps - 1]}
    return Finding(abs(right - h[steps]) < 1e-12 < abs(right - h[steps - 1]), numbers)
