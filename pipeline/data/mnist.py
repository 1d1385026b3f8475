"""MNIST: 70 000 handwritten digits, normalised as thind's listing 7.3.1 does or as torchdiffeq's example reads them."""

import math
import struct
from logging import Logger
from pathlib import Path

import numpy as np

from pipeline.data._errors import DataError
from pipeline.data._prepared import Prepared
from pipeline.data._registry import load_registry
from pipeline.data._sources import Found, obtain
from pipeline.data._splits import first
from pipeline.study import Dataset

SIZE = 28
MEAN, STANDARD_DEVIATION = 0.1307, 0.3081
FILES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def prepare(raw: Path, mirror: Path | None, log: Logger) -> Prepared:
    """All images as uint8, (n, 28, 28), and their labels."""
    found = obtain(load_registry()["mnist"], raw, mirror, log)
    arrays = {name: idx_array(found[file], 3 if "images" in name else 1) for name, file in FILES.items()}
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.shape[1:] != (SIZE, SIZE) or len(images) != len(labels) or labels.max(initial=0) > 9:
            paths = " and ".join(str(found[FILES[f"{part}_{what}"]].path) for what in ("images", "labels"))
            raise DataError(
                f"{paths} are not {SIZE} × {SIZE} digits with a label from 0 to 9 each, but {images.shape} and "
                f"{labels.shape} with labels to {labels.max(initial=0)}: delete them to have them fetched again"
            )
    origins = ", ".join(dict.fromkeys(hit.origin for hit in found.values()))
    return Prepared(
        arrays=arrays,
        data_source=f"MNIST, {origins}",
        origin="real",
        files=[hit.described(name) for name, hit in found.items()],
        records={"train": len(arrays["train_labels"]), "test": len(arrays["test_labels"])},
    )


def split(arrays: dict[str, np.ndarray], dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """The official training and test images, (n, 1, 28, 28), as arranged; there is no chance in it."""
    parts = {}
    for part, count in (("train", dataset.train_images), ("test", dataset.test_images)):
        images = first(arrays[f"{part}_images"], count, f"{part}_images")
        parts[f"{part}_images"] = ARRANGEMENTS[dataset.arrangement](images)
        parts[f"{part}_labels"] = arrays[f"{part}_labels"][:count]
    return parts


def class_names(arrangement: str) -> tuple[str, ...]:
    """The ten digits."""
    return tuple(str(digit) for digit in range(10))


def normalised(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) as float32 (n, 1, 28, 28) of about zero mean and unit deviation."""
    return (images[:, None].astype(np.float32) / 255 - MEAN) / STANDARD_DEVIATION


def as_read(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) as float32 (n, 1, 28, 28) from 0 to 1, what torchvision's `ToTensor` makes of them."""
    return images[:, None].astype(np.float32) / 255


ARRANGEMENTS = {"normalised": normalised, "as_read": as_read}


def idx_array(found: Found, rank: int) -> np.ndarray:
    """The array of an idx file: magic number 0, 0, 8 (unsigned byte), rank; the sizes, big-endian; the bytes."""
    header = struct.Struct(f">HBB{rank}I")
    if len(found.content) >= header.size:
        zero, kind, dimensions, *shape = header.unpack_from(found.content)
        if (zero, kind, dimensions) == (0, 8, rank) and header.size + math.prod(shape) == len(found.content):
            return np.frombuffer(found.content, np.uint8, offset=header.size).reshape(shape)
    raise DataError(
        f"{found.path} is not an idx file of unsigned bytes in {rank} dimensions: delete it to have it fetched again"
    )
