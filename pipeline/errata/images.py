"""What the documents say of data sets, held to the data that the study has prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.errata.finding import Finding


def size_of_mnist_images(processed: Path, said: int) -> Finding:
    """homework task 7: the size of MNIST's images, and of the smallest box around each digit."""
    with np.load(processed / "mnist.npz") as data:
        images = data["test_images"]
    images = images.reshape(-1, *images.shape[-2:])
    rows, columns = (np.flatnonzero((images > 0).any(axis=(0, axis))) for axis in (2, 1))
    boxes = [np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for image in images[:1000] > 0 for axis in (0, 1)]
    numbers = {"height": images.shape[1], "width": images.shape[2], "largest side of a digit": int(max(boxes))}
    numbers |= {"rows that are used": rows.size, "columns that are used": columns.size, "said": said}
    return Finding(images.shape[1:] == (28, 28) and said != 28, numbers)


def statistics_of_cifar10(processed: Path, mean: list[float], deviation: list[float]) -> Finding:
    """homework task 7: the mean and standard deviation of CIFAR-10's training images, by channel, in shares of 255."""
    with np.load(processed / "cifar10.npz") as data:
        images = data["train_images"]
    count = images.size // 3
    total = images.sum(axis=(0, 2, 3), dtype=np.float64) / count / 255
    spread = [float(images[:, k].std(dtype=np.float64) / 255) for k in range(3)]
    numbers = {}
    for k, channel in enumerate(("red", "green", "blue")):
        numbers |= {f"mean, {channel}": float(total[k]), f"deviation, {channel}": spread[k]}
    far = np.abs(np.array(spread) - deviation).min() > 0.02
    return Finding(bool(far), numbers | {"mean said": str(mean), "deviation said": str(deviation)})
