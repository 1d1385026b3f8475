"""Small changes of images, made to mislead a network (row Q7): an ODE-Net beside a residual network."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.data import ImageSplits
from pipeline.models import build
from pipeline.runs.columns import Source, Tables, tables
from pipeline.runs.reproducible import reproducible
from pipeline.study import Run

# (network, images, labels, size) → images that differ from these by at most `size` in each pixel.
Attack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]


def attacked_networks(run: Run, splits: ImageSplits) -> Tables:
    """Q7: the share of test images that a network gets right under each attack, by the size of the change (history).

    Attacks take the gradient of the very solve that answers: backpropagation through its steps.
    """
    given = run.settings.arguments
    with reproducible(run.seed, run.settings.threads):
        network = trained(run, splits)
        images, labels = torch.from_numpy(splits.test_images), torch.from_numpy(splits.test_labels)
        batches = list(zip(*(part.split(run.settings.test_batch_size) for part in (images, labels)), strict=True))
        right = torch.cat([correct(network, *batch) for batch in batches])
        rows = []
        for name, attack in attacks(given["steps"]).items():
            rows.append((name, 0.0, 100 * share(right), 100.0))
            for size in given["sizes"]:
                still = torch.cat([correct(network, attack(network, x, y, size), y) for x, y in batches])
                # Of those that it gets right when nothing is changed.
                rows.append((name, size, 100 * share(still), 100 * share(still[right])))
        error = slope_error(network, *batches[0])
    history = pd.DataFrame(rows, columns=["series", "size", "accuracy", "still_right"])
    values = {"test accuracy": (100 * share(right), "percent"), "slope error": (error, "relative")}
    for row in history[history["size"] > 0].itertuples():
        values[f"still right, {row.series}, {row.size:g}"] = (row.still_right, "percent")
    return tables(run, [history], values, Source(splits.data_source, splits.origin))


def trained(run: Run, splits: ImageSplits) -> nn.Module:
    """The run's network, trained on its images as they are."""
    settings = run.settings
    images, labels = torch.from_numpy(splits.train_images), torch.from_numpy(splits.train_labels)
    network = build(settings.model, settings.solver)
    descent = getattr(torch.optim, settings.optimizer.name)(network.parameters(), **settings.optimizer.arguments)
    for _ in range(settings.epochs):
        for chosen in torch.randperm(len(labels)).split(settings.batch_size):
            descent.zero_grad()
            cross_entropy(network(images[chosen]), labels[chosen]).backward()
            descent.step()
    return network.eval().requires_grad_(False)


def attacks(steps: int) -> dict[str, Attack]:
    """The attacks by name; random signs are no attack, and show what a change of that size does by itself."""
    return {"random signs": random_signs, "FGSM": gradient_sign, "PGD": lambda *given: projected_descent(*given, steps)}


def random_signs(network: nn.Module, images: Tensor, labels: Tensor, size: float) -> Tensor:
    """Each pixel lighter or darker by `size`, at random."""
    return (images + size * (torch.randint(0, 2, images.shape) * 2 - 1)).clamp(0, 1)


def gradient_sign(network: nn.Module, images: Tensor, labels: Tensor, size: float) -> Tensor:
    """Each pixel changed by `size` to the side on which the loss grows: FGSM, Goodfellow et al. 2015."""
    return (images + size * gradient(network, images, labels).sign()).clamp(0, 1)


def projected_descent(network: nn.Module, images: Tensor, labels: Tensor, size: float, steps: int) -> Tensor:
    """Many smaller such steps from a random start, none of them farther than `size`: PGD, Madry et al. 2018."""
    changed = (images + size * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    for _ in range(steps):
        changed = changed + 2.5 * size / steps * gradient(network, changed, labels).sign()
        changed = changed.clamp(images - size, images + size).clamp(0, 1)
    return changed


def gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Of the loss with respect to the images."""
    images = images.detach().requires_grad_()
    return torch.autograd.grad(cross_entropy(network(images), labels), images)[0]


@torch.no_grad()
def correct(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """For each image, whether the network is right."""
    return network(images).argmax(1) == labels


def share(true: Tensor) -> float:
    """Of values that are true; of none, 0."""
    return true.double().mean().item() if len(true) else 0.0


def slope_error(network: nn.Module, images: Tensor, labels: Tensor, step: float = 1e-5) -> float:
    """How far the gradient that attacks follow is from the loss's slope along it by differences, relative, in float64.

    A gradient that hides the slope (masks it) would make a network look harder to mislead than it is.
    """
    exact, images = copy.deepcopy(network).double(), images.double()
    found = gradient(exact, images, labels)
    along = found.sign()
    with torch.no_grad():
        above, below = (cross_entropy(exact(images + sign * step * along), labels) for sign in (1, -1))
    return abs((above - below).item() / (2 * step) / found.abs().sum().item() - 1)
