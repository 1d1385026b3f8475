"""The hand-coded network of thind 2.2.4 and 7.1.2: what its listing does beside what its text says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errata.finding import Finding


def biases_never_read(tables: Path, published: float) -> Finding:
    """N1 as listed (the forward pass reads global, initial biases) and with its updated biases, as R ran both."""
    metrics = pd.read_csv(tables / "N1" / "metrics.csv")
    after, first = (
        metrics[metrics.quantity == name].set_index("variant").value
        for name in ("accuracy_after", "first_epoch_all_right")
    )
    numbers = {f"accuracy after, {name.replace('_', ' ')}": float(value) for name, value in after.items()}
    numbers |= {f"first epoch with accuracy 1, {name.replace('_', ' ')}": float(epoch) for name, epoch in first.items()}
    return Finding(bool(after["as_listed"] < published == after["biases_read"]), numbers)


def rows_stay(tables: Path) -> Finding:
    """What `sample()` did to the rows of the listing's data frame in R, and whether R's version changes the rest."""
    metrics = pd.read_csv(tables / "N1" / "metrics.csv").groupby("quantity").value.max()
    names = {
        "rows_moved_by_sample": "rows moved",
        "weights_that_differ_by_sample_kind": "weights that R before 3.6 draws otherwise",
    }
    numbers = {words: int(metrics[name]) for name, words in names.items()}
    return Finding(numbers["rows moved"] == 0, numbers)


def weights_of_their_own(points: int, epochs: int, learning_rate: float, seed: int) -> Finding:
    """The network trained as listed (biases read), then asked of points in another order: nothing carries over."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=points)
    y = ((x >= -0.5) & (x <= 0.5)).astype(float)
    weights = draw.uniform(size=(4, points))
    for _ in range(epochs):
        weights = weights + learning_rate * descent(x, y, weights)
    own = accuracy(x, y, weights)
    other = float(np.mean([accuracy(x, y, weights[:, draw.permutation(points)]) for _ in range(200)]))
    agreeing = y.mean() ** 2 + (1 - y.mean()) ** 2
    numbers = {
        "weights and biases": weights.size,
        "observations": points,
        "accuracy, each point with its own weights": own,
        "accuracy, with another point's": other,
        "chance that two points have the same label": float(agreeing),
    }
    return Finding(own > 0.95 and other < 0.75, numbers)


def bias_gradient_reads_initial_weights(seed: int) -> Finding:
    """The listing's first-bias gradient uses the global second weights: after the first step, another one."""
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=50), draw.integers(0, 2, 50).astype(float)
    first = draw.uniform(size=(4, 50))
    moved = first + descent(x, y, first)
    hidden, output = forward(x, moved)
    listed = 2 * (y - output) * output * (1 - output) * first[1] * hidden * (1 - hidden)
    true = -numerical_gradient(x, y, moved, row=2)
    read = descent(x, y, moved)[2]
    gap, kept = (float(np.linalg.norm(value - true) / np.linalg.norm(true)) for value in (listed, read))
    numbers = {
        "relative error, initial second weights (as listed)": gap,
        "relative error, updated second weights": kept,
    }
    return Finding(kept < 1e-6 < gap, numbers)


def loss_of_rounded_outputs(points: int, seed: int) -> Finding:
    """The listing's MSE rounds the output: it is the error rate, and stays where it is while the network learns."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=points)
    y = ((x >= -0.5) & (x <= 0.5)).astype(float)
    weights = draw.uniform(size=(4, points))
    rounded, plain = [], []
    for _ in range(50):
        output = forward(x, weights)[1]
        rounded.append(float(((y - output.round()) ** 2).mean()))
        plain.append(float(((y - output) ** 2).mean()))
        weights = weights + descent(x, y, weights)
    error_rate = 1 - accuracy(x, y, weights)
    still = int((np.diff(rounded) == 0).sum())
    numbers = {
        "epochs in which the rounded loss stands still": still,
        "epochs in which the plain loss does": int((np.diff(plain) == 0).sum()),
        "values that the rounded loss can have": points + 1,
        "error rate at the end": error_rate,
        "rounded loss at the end": float(((y - forward(x, weights)[1].round()) ** 2).mean()),
    }
    return Finding(still > 0 and numbers["rounded loss at the end"] == error_rate, numbers)


def forward(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hidden and output activations; the rows of `weights` are w1, w2, b1 and b2, one column an observation."""
    w1, w2, b1, b2 = weights
    hidden = 1 / (1 + np.exp(-(x * w1 + b1)))
    return hidden, 1 / (1 + np.exp(-(hidden * w2 + b2)))


def descent(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The downward gradient of (y − output)² for every observation."""
    hidden, output = forward(x, weights)
    outer = 2 * (y - output) * output * (1 - output)
    inner = outer * weights[1] * hidden * (1 - hidden)
    return np.stack([x * inner, hidden * outer, inner, outer])


def numerical_gradient(x: np.ndarray, y: np.ndarray, weights: np.ndarray, row: int, step: float = 1e-6) -> np.ndarray:
    """The gradient of (y − output)² with respect to one row of weights, by central differences."""
    sides = []
    for sign in (1, -1):
        moved = weights.copy()
        moved[row] += sign * step
        sides.append((y - forward(x, moved)[1]) ** 2)
    return (sides[0] - sides[1]) / (2 * step)


def accuracy(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """The share of points whose rounded output is their label."""
    return float((forward(x, weights)[1].round() == y).mean())
