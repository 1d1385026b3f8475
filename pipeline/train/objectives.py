"""Losses by name, each with the class that its logits predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Keras's backend epsilon: probabilities are clipped to [ε, 1 − ε] before their logarithm is taken.
KERAS_EPSILON = 1e-7


@dataclass(frozen=True)
class Objective:
    """What is minimised, the mean over a batch, and how the class is read off; both of logits (n, outputs)."""

    loss: Callable[[Tensor, Tensor], Tensor]
    predict: Callable[[Tensor], Tensor]


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of logits (n, 1) of class 1, labels (n,) being 0 or 1: a sigmoid unit's loss."""
    return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))


def softmax_binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Keras's `binary_crossentropy` of a softmax layer: every output is a yes or no of its own, averaged over both.

    Logits (n, classes), labels (n,). With two classes it equals the cross-entropy, up to the clipping.
    """
    probabilities = logits.softmax(dim=1).clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
    truth = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy(probabilities, truth)


def most_likely(logits: Tensor) -> Tensor:
    """The class of the greatest logit."""
    return logits.argmax(dim=1)


def above_one_half(logits: Tensor) -> Tensor:
    """1 where the sigmoid of the only logit exceeds one half."""
    return (logits[:, 0] > 0).to(torch.int64)


OBJECTIVES = {
    "cross_entropy": Objective(functional.cross_entropy, most_likely),
    "binary_cross_entropy": Objective(binary_cross_entropy, above_one_half),
    "softmax_binary_cross_entropy": Objective(softmax_binary_cross_entropy, most_likely),
}
