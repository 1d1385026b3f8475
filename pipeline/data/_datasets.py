"""Data sets by name: prepared once, loaded by every run."""

from logging import Logger
from pathlib import Path
from types import ModuleType

import numpy as np

from pipeline.data import cifar10, iceberg, mnist, shapes
from pipeline.data._errors import DataError
from pipeline.data._splits import ImageSplits
from pipeline.data._storage import read_processed, write_processed
from pipeline.study import Dataset

# Each module has ARRANGEMENTS (empty: only one), class_names(arrangement), prepare(raw, mirror, log) -> Prepared and
# split(arrays, dataset, seed) -> {train_images, train_labels, test_images, test_labels}.
DATASETS: dict[str, ModuleType] = {"mnist": mnist, "iceberg": iceberg, "shapes": shapes, "cifar10": cifar10}


def prepare(name: str, raw: Path, processed: Path, mirror: Path | None, log: Logger) -> None:
    """Finds or makes the data set `name`, verifies it, and writes `<name>.npz` and `<name>.json`.

    name: a key of `DATASETS`.
    raw: folder of what was downloaded or put there by the user; downloads are kept in it.
    processed: folder to write to.
    mirror: folder laid out like `raw`, looked at next; None for none.
    log: where it is said what was tried and found.
    Raises DataError; nothing half-written is left behind.
    """
    prepared = module(name).prepare(Path(raw), Path(mirror) if mirror else None, log)
    log.info("%s: %s, %s", name, prepared.data_source, prepared.records)
    write_processed(Path(processed), name, prepared.arrays, prepared.provenance)


def load_dataset(dataset: Dataset, seed: int, processed: Path) -> ImageSplits:
    """The images of a run: `dataset.name` in `dataset.arrangement`, its first `train_images` and `test_images`.

    seed: decides a random split, where the data set has one.
    processed: the folder `prepare` wrote to.
    Raises DataError where the prepared files are missing or damaged, or hold too few images.
    """
    chosen = module(dataset.name)
    if chosen.ARRANGEMENTS and dataset.arrangement not in chosen.ARRANGEMENTS:
        known = ", ".join(chosen.ARRANGEMENTS)
        raise DataError(f"{dataset.name} has no arrangement '{dataset.arrangement}': choose one of {known}")
    arrays, provenance = read_processed(Path(processed), dataset.name)
    parts = chosen.split(arrays, dataset, seed)
    return ImageSplits(
        train_images=np.ascontiguousarray(parts["train_images"], dtype=np.float32),
        train_labels=parts["train_labels"].astype(np.int64),
        test_images=np.ascontiguousarray(parts["test_images"], dtype=np.float32),
        test_labels=parts["test_labels"].astype(np.int64),
        data_source=provenance["data_source"],
        origin=provenance["origin"],
        classes=chosen.class_names(dataset.arrangement),
    )


def module(name: str) -> ModuleType:
    """The module of a data set."""
    if name not in DATASETS:
        raise DataError(f"there is no data set '{name}': choose one of {', '.join(DATASETS)}")
    return DATASETS[name]
