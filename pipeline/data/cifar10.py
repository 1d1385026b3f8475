"""CIFAR-10: small colour images of ten classes, from the files of its binary version that are to be had.

Where too few of them are, simulated images take their place.
"""

from logging import Logger
from pathlib import Path

import numpy as np

from pipeline.data import simulated_objects
from pipeline.data._errors import DataError
from pipeline.data._prepared import Prepared
from pipeline.data._registry import load_registry
from pipeline.data._sources import Found, Missing, obtain
from pipeline.data._splits import first
from pipeline.study import Dataset

ARRANGEMENTS: tuple[str, ...] = ()
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 32
SIMULATED = "simulated colour images (CIFAR-10 is not to be had here)"
TEST, STAND_IN = "test_batch.bin", "data_batch_5.bin"


def prepare(raw: Path, mirror: Path | None, log: Logger) -> Prepared:
    """The images as uint8, (n, 3, 32, 32), and their labels.

    Where the test file is missing, data_batch_5 is tested on and the other training files there are are trained on;
    where that cannot be either, the images are simulated. `data_source` says so.
    """
    source = load_registry()["cifar10"]
    try:
        found = obtain(source, raw, mirror, log)
    except Missing as reason:
        found = reason.found
        test = TEST if TEST in found else STAND_IN
        log.warning("%s", reason)
        if test not in found or len(found) < 2:
            log.warning("cifar10: SIMULATED images are made instead; every table, caption and the report call them so.")
            return simulated()
    test = TEST if TEST in found else STAND_IN
    train = [name for name in source.files if name in found and name not in (test, TEST)]
    arrays = {}
    for part, names in (("train", train), ("test", [test])):
        parsed = [batch(found[name]) for name in names]
        arrays[f"{part}_images"] = np.concatenate([images for images, _ in parsed])
        arrays[f"{part}_labels"] = np.concatenate([labels for _, labels in parsed])
    words = "CIFAR-10, official files"
    incomplete = len(found) < len(source.files)
    if incomplete:
        words += f", incomplete: trained on {', '.join(train)}, tested on {test}"
    return Prepared(
        arrays=arrays,
        data_source=words,
        origin="incomplete" if incomplete else "real",
        files=[hit.described(name) for name, hit in found.items()],
        records={"train": len(arrays["train_labels"]), "test": len(arrays["test_labels"])},
    )


def simulated() -> Prepared:
    """Images that stand in for CIFAR-10's."""
    arrays = simulated_objects.simulate()
    records = {"train": len(arrays["train_labels"]), "test": len(arrays["test_labels"])}
    return Prepared(arrays=arrays, data_source=SIMULATED, origin="simulated", files=[], records=records)


def split(arrays: dict[str, np.ndarray], dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Training and test images, (n, 3, 32, 32), from 0 to 1; there is no chance in it.

    Not normalised: colours are augmented before that, and some of the document's models normalise, some do not.
    """
    parts = {}
    for part, count in (("train", dataset.train_images), ("test", dataset.test_images)):
        images = first(arrays[f"{part}_images"], count, f"{part}_images")
        parts[f"{part}_images"] = images.astype(np.float32) / 255
        parts[f"{part}_labels"] = arrays[f"{part}_labels"][:count]
    return parts


def class_names(arrangement: str) -> tuple[str, ...]:
    """The ten classes in the order of their labels."""
    return CLASSES


def batch(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, 3, 32, 32), and labels, uint8 (n,), of a file: a label byte and 3072 pixel bytes a record."""
    content = np.frombuffer(found.content, np.uint8)
    again = "delete it and get CIFAR-10's binary version"
    if not len(content) or len(content) % (1 + 3 * SIZE * SIZE):
        raise DataError(f"{found.path} is not of 3073 bytes a record: {again}")
    records = content.reshape(-1, 1 + 3 * SIZE * SIZE)
    if records[:, 0].max() >= len(CLASSES):
        raise DataError(f"{found.path} has a label of {records[:, 0].max()}, which is no class: {again}")
    return records[:, 1:].reshape(-1, 3, SIZE, SIZE), records[:, 0]
