"""The losses are Keras's and PyTorch's, and a class is read off as the documents do."""

import numpy as np
import pytest
import torch

from pipeline.train.objectives import OBJECTIVES

LOGITS = torch.tensor([[0.3, -1.2], [2.0, 0.5], [-40.0, 40.0]])
LABELS = torch.tensor([0, 1, 0])


def test_softmax_binary_cross_entropy_is_keras_s():
    exponentials = np.exp(LOGITS.double().numpy())
    p = np.clip(exponentials / exponentials.sum(axis=1, keepdims=True), 1e-7, 1 - 1e-7)
    y = np.eye(2)[LABELS.numpy()]
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    ours = OBJECTIVES["softmax_binary_cross_entropy"].loss(LOGITS.double(), LABELS)
    assert ours.item() == pytest.approx(expected, rel=1e-9)


def test_confident_mistake_costs_no_more_than_the_clipping_allows():
    ours = OBJECTIVES["softmax_binary_cross_entropy"].loss(LOGITS[2:].double(), LABELS[2:])
    assert ours.item() == pytest.approx(-np.log(1e-7))


def test_binary_cross_entropy_is_that_of_the_sigmoid():
    logits = torch.tensor([[0.3], [-1.2], [2.0]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits[:, 0].numpy()))
    expected = -np.mean([np.log(1 - p[0]), np.log(p[1]), np.log(1 - p[2])])
    assert OBJECTIVES["binary_cross_entropy"].loss(logits, LABELS).item() == pytest.approx(expected)


def test_classes_are_the_likelier_one():
    assert OBJECTIVES["cross_entropy"].predict(LOGITS).tolist() == [0, 0, 1]
    assert OBJECTIVES["binary_cross_entropy"].predict(torch.tensor([[0.1], [-0.1], [0.0]])).tolist() == [1, 0, 0]
