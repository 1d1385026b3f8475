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


def deskewed(images: np.ndarray) -> np.ndarray:
    """`as_read`, each digit's rows shifted so that its principal axis is upright (LeCun et al. 1998, section III.A)."""
    return np.concatenate(
        [upright(as_read(part)[:, 0])[:, None] for part in np.array_split(images, len(images) // 5000 + 1)]
    )


def upright(pixels: np.ndarray) -> np.ndarray:
    """Images (n, h, w) sheared along their rows until their mass has an upright principal axis; blank ones stay."""
    height, width = pixels.shape[1:]
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    mass = np.maximum(pixels.sum((1, 2)), np.finfo(np.float32).tiny)
    rows = pixels.sum(2)
    from_centre = y - ((rows @ y) / mass)[:, None]
    covariance = ((pixels @ x) * from_centre).sum(1)
    variance = (rows * from_centre**2).sum(1)
    slant = np.divide(covariance, variance, out=np.zeros_like(mass), where=variance > 0)
    at = x + (slant[:, None] * from_centre)[..., None]  # (n, h, w): the column that each pixel is taken from
    left = np.floor(at)
    share = at - left

    def taken(column: np.ndarray) -> np.ndarray:
        inside = (column >= 0) & (column < width)
        return np.where(inside, np.take_along_axis(pixels, column.clip(0, width - 1).astype(np.int64), axis=2), 0)

    return ((1 - share) * taken(left) + share * taken(left + 1)).astype(np.float32)


ARRANGEMENTS = {"normalised": normalised, "as_read": as_read, "deskewed": deskewed}


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
