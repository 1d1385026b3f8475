"""Losses, labels and layers of the documents' classifiers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.errata.finding import Finding
from pipeline.models.iceberg_resnet import IcebergResNet


def softmax_with_binary_cross_entropy(samples: int, seed: int) -> Finding:
    """thind 7.2.2: over two softmax outputs and one-hot truths it is the cross-entropy, in value and gradient."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, 2, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.randint(2, (samples,), generator=generator)
    binary = functional.binary_cross_entropy(logits.softmax(1), functional.one_hot(labels, 2).double())
    categorical = functional.cross_entropy(logits, labels)
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (binary, categorical)]
    gap = (gradients[0] - gradients[1]).abs().max().item()
    numbers = {"binary": binary.item(), "categorical": categorical.item(), "largest difference of gradients": gap}
    return Finding(abs(binary.item() - categorical.item()) < 1e-12 and gap < 1e-12, numbers)


def second_shortcut(seed: int) -> Finding:
    """thind 7.2.2: with the second block adding nothing, `input_CNN` comes out, not what the first block gave."""
    torch.manual_seed(seed)
    model = IcebergResNet().eval()
    nn.init.zeros_(model.second_residual[-2].weight)
    nn.init.zeros_(model.second_residual[-2].bias)
    seen = {}
    model.top_cnn.register_forward_pre_hook(lambda _, inputs: seen.update(top=inputs[0]))
    images = torch.rand(2, 3, 75, 75)
    with torch.no_grad():
        model(images)
        first = model.input_cnn(images)
        second = model.first_residual(first) + first
    numbers = {
        "distance from input_CNN": (seen["top"] - first).abs().max().item(),
        "distance from the first block's output": (seen["top"] - second).abs().max().item(),
    }
    return Finding(numbers["distance from input_CNN"] == 0 < min(list(numbers.values())[1:]), numbers)


def multi_hot_targets(classes: int, seed: int) -> Finding:
    """ulala 3.2: PyTorch's losses on multi-hot and one-hot targets, beside their formulas."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(8, classes, generator=generator, dtype=torch.float64)
    hot = torch.randint(2, (8, classes), generator=generator).double()
    multi = nn.BCEWithLogitsLoss()(logits, hot).item()
    share = logits.sigmoid()
    by_formula = -(hot * share.log() + (1 - hot) * (1 - share).log()).mean().item()
    labels = torch.arange(8) % classes
    one = nn.CrossEntropyLoss()(logits, functional.one_hot(labels, classes).double()).item()
    by_index = nn.CrossEntropyLoss()(logits, labels).item()
    numbers = {"multi-hot": multi, "its formula": by_formula, "one-hot": one, "by class numbers": by_index}
    return Finding(bool(np.isclose(multi, by_formula) and np.isclose(one, by_index)), numbers)


def labels_of_pairs(labels: dict[str, int]) -> Finding:
    """ulala 3.2: the sum of two labels plus one, and without the one, beside the labels of single shapes."""
    shapes = [value for value in labels.values() if value]
    with_one = [a + b + 1 for a, b in combinations(shapes, 2)]
    without = [a + b for a, b in combinations(shapes, 2)]
    every = [*labels.values(), *with_one]
    numbers = {
        "labels of pairs": str(sorted(with_one)),
        "classes": len(set(every)),
        "collisions": len(every) - len(set(every)),
        "collisions without the one": len(shapes) + len(without) - len({*shapes, *without}),
    }
    return Finding(sorted(set(every)) == list(range(len(every))) and numbers["collisions without the one"] > 0, numbers)
