"""What a run is given: images and labels to train and to test on."""

from dataclasses import dataclass

import numpy as np

from pipeline.data._errors import DataError
from pipeline.study import Origin


@dataclass(frozen=True)
class ImageSplits:
    """Images to train and to test on, and where they came from.

    train_images, test_images: float32, (n, channels, height, width), as the model takes them.
    train_labels, test_labels: int64, (n,), indices into `classes`.
    data_source: the source in words, for every table. origin: see `pipeline.study.Origin`.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    data_source: str
    origin: Origin
    classes: tuple[str, ...]


def first(images: np.ndarray, count: int | None, setting: str) -> np.ndarray:
    """The first `count` images (None: all); DataError where there are not so many."""
    if count is not None and count > len(images):
        raise DataError(f"{setting} asks for {count} images, but there are only {len(images)}: lower it")
    return images[:count]
