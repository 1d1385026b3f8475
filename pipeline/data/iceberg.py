"""Icebergs and ships in radar images: Kaggle's records, or simulated ones where those are not to be had.

R reads the records into arrays column by column: element [a, b] of an image is value a + 75 b of its band. The three
arrangements keep that.
"""

import json
from logging import Logger
from pathlib import Path

import numpy as np

from pipeline.data import simulated_sar
from pipeline.data._errors import DataError
from pipeline.data._prepared import Prepared
from pipeline.data._registry import load_registry
from pipeline.data._sources import Found, Missing, obtain
from pipeline.data._splits import first
from pipeline.data.r_sample import r_sample
from pipeline.study import Dataset

SIZE = 75
# thind's listings draw 1300 of the 1604 records to train on.
TRAIN_SHARE = 1300 / 1604
LISTING_SEED = 1
SIMULATED = "simulated SAR images (not the Kaggle data)"


def prepare(raw: Path, mirror: Path | None, log: Logger) -> Prepared:
    """Both bands as float32, (n, 75, 75) in dB, with is_iceberg, (n,), and inc_angle, (n,) in degrees or NaN."""
    try:
        found = obtain(load_registry()["iceberg"], raw, mirror, log)["train.json"]
    except Missing as reason:
        log.warning("%s", reason)
        log.warning("iceberg: SIMULATED images are made instead; every table, caption and the report call them so.")
        arrays = simulated_sar.simulate()
        files, source = [], SIMULATED
    else:
        arrays = parse(found)
        files = [found.described("train.json")]
        source = "Statoil/C-CORE icebergs (Kaggle)" if found.official else "icebergs of the user's own train.json"
    return Prepared(
        arrays=arrays,
        data_source=source,
        origin="simulated" if source == SIMULATED else "real",
        files=files,
        records={
            "all": len(arrays["is_iceberg"]),
            "icebergs": int(arrays["is_iceberg"].sum()),
            "without_angle": int(np.isnan(arrays["inc_angle"]).sum()),
        },
    )


def parse(found: Found) -> dict[str, np.ndarray]:
    """The arrays of a `train.json`; DataError where it is not a list of records with bands and labels."""
    get = "get Kaggle's train.json again"
    try:
        records = json.loads(found.content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{found.path} is not JSON ({error}): it is truncated or damaged; {get}") from error
    if not isinstance(records, list) or not records:
        raise DataError(f"{found.path} is not a list of records; {get}")
    bands = {name: np.empty((len(records), SIZE, SIZE), np.float32) for name in ("band_1", "band_2")}
    labels, angles = np.empty(len(records), np.uint8), np.empty(len(records), np.float32)
    for i, record in enumerate(records):
        where = f"{found.path}, record {i + 1} of {len(records)}"
        try:
            for name, images in bands.items():
                with np.errstate(over="ignore"):  # what overflows is refused below
                    images[i] = np.asarray(record[name], np.float32).reshape(SIZE, SIZE)
            labels[i] = {0: 0, 1: 1}[record["is_iceberg"]]
            angles[i] = np.nan if record["inc_angle"] in ("na", None) else float(record["inc_angle"])
        except KeyError as error:
            wrong = f"has no {error}" if isinstance(error.args[0], str) else f"is_iceberg is {error}, not 0 or 1"
            raise DataError(f"{where}: {wrong}; {get} (test.json, without labels, is not it)") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{where}: not {SIZE}·{SIZE} numbers a band, a label and an angle ({error}); {get}"
            ) from error
        if not all(np.isfinite(images[i]).all() for images in bands.values()):
            raise DataError(f"{where}: a band has values that are no finite numbers; {get}")
        if np.isinf(angles[i]):
            raise DataError(f"{where}: inc_angle is {record['inc_angle']}, not an angle or 'na'; {get}")
    return {**bands, "is_iceberg": labels, "inc_angle": angles}


def as_listed(band_1: np.ndarray, band_2: np.ndarray) -> np.ndarray:
    """Images, (n, 1, 75, 75), as thind's listing 7.1.2 has them: of the first half of the records only.

    `c(band_1, band_2)` of all n records, 2·5625·n values, is poured into `dim = c(75, 75, n)`, which the first half
    fills: images 1, 3, 5, … are band 1 of records 1, 2, 3, …, images 2, 4, 6, … their band 2.
    """
    both = np.stack([band_1, band_2], axis=1).reshape(-1, SIZE, SIZE)[: len(band_1)]
    return both.transpose(0, 2, 1)[:, None]


def corrected(band_1: np.ndarray, band_2: np.ndarray) -> np.ndarray:
    """Images, (n, 1, 75, 75): band 1 of each record, so that its label is its own."""
    return band_1.transpose(0, 2, 1)[:, None]


def three_channels(band_1: np.ndarray, band_2: np.ndarray) -> np.ndarray:
    """Images, (n, 3, 75, 75): band 1, band 2 and their mean, as thind's listing 7.2.2, channels first."""
    return np.stack([band_1, band_2, (band_1 + band_2) / 2], axis=1).transpose(0, 1, 3, 2)


ARRANGEMENTS = {"as_listed": as_listed, "corrected": corrected, "three_channels": three_channels}


def class_names(arrangement: str) -> tuple[str, ...]:
    """The document's two classes."""
    return ("ship", "iceberg")


def split(arrays: dict[str, np.ndarray], dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """1300 records to train on, drawn with `seed` or as R draws them, the others to test on; scaled as listed.

    as_listed divides both by the maximum of what the training images are at that line: the test images, which come
    after the training images were scaled, by 1. corrected divides both by the same. three_channels are not scaled.
    """
    images = ARRANGEMENTS[dataset.arrangement](arrays["band_1"], arrays["band_2"])
    cut = round(len(images) * TRAIN_SHARE)
    order = np.random.default_rng(seed).permutation(len(images))
    if dataset.split == "R":
        drawn = r_sample(len(images), cut, LISTING_SEED)
        order = np.concatenate([drawn, np.setdiff1d(order, drawn)])
    # The listing's x[-nums, , ] keeps the records' order.
    chosen = {"train": order[:cut], "test": np.sort(order[cut:])}
    train, test = images[chosen["train"]], images[chosen["test"]]
    if dataset.arrangement != "three_channels":
        largest = np.abs(train).max()
        train = train / largest
        test = test / (np.abs(train).max() if dataset.arrangement == "as_listed" else largest)
    return {
        "train_images": first(train, dataset.train_images, "train_images"),
        "train_labels": arrays["is_iceberg"][chosen["train"]][: dataset.train_images],
        "test_images": first(test, dataset.test_images, "test_images"),
        "test_labels": arrays["is_iceberg"][chosen["test"]][: dataset.test_images],
    }
