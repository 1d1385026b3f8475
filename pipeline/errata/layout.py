"""What thind's first iceberg listing (7.1.2) does to its images: the mis-shaped array rebuilt, and the scaling."""

from __future__ import annotations

import numpy as np

from pipeline.errata.finding import Finding


def poured_bands(records: int, size: int, trained: int, seed: int) -> Finding:
    """`c(band_1, band_2)` of every record poured into (size, size, records), column by column as R does.

    Every value is the number of its record and band, so that each image of the array tells where it comes from.
    """
    pixels = size * size
    origin = np.repeat(np.arange(2 * records), pixels)  # record 0 band 1, record 0 band 2, record 1 band 1, …
    array = origin[: pixels * records].reshape((size, size, records), order="F")
    whole = (array == array[:1, :1]).all(axis=(0, 1))
    record, band = array[0, 0] // 2, array[0, 0] % 2
    own = record == np.arange(records)
    draw = np.random.default_rng(seed)
    labels, train = draw.integers(0, 2, records), draw.permutation(records)[:trained]
    test = np.setdiff1d(np.arange(records), train)
    numbers = {
        "values": origin.size,
        "places": array.size,
        "records that are used": np.unique(record).size,
        "odd images that are band 1": int((band[::2] == 0).sum()),
        "even images that are band 2": int((band[1::2] == 1).sum()),
        "images that have the label of their record": int(own.sum()),
        "share of random labels that agree with the record's": float((labels == labels[record]).mean()),
        "test images whose other band is trained on": int(np.isin(record[test], record[train]).sum()),
        "test images": test.size,
    }
    confirmed = bool(whole.all()) and np.unique(record).size == records // 2 and own.sum() == 1
    return Finding(confirmed, numbers)


def scaled_test_images(low: float, high: float, seed: int) -> Finding:
    """`test / max(abs(train))` after `train / max(abs(train))`, on values in decibels such as radar images have."""
    draw = np.random.default_rng(seed)
    train, test = draw.uniform(low, high, 1000), draw.uniform(low, high, 1000)
    train = train / np.abs(train).max()
    divisor = np.abs(train).max()
    numbers = {
        "test is divided by": divisor,
        "largest value of train": np.abs(train).max(),
        "largest value of test": np.abs(test / divisor).max(),
    }
    return Finding(divisor == 1.0, {name: float(value) for name, value in numbers.items()})


def values_of_a_band(size: int, records: int, trained: int, tested: int, arranged: list[int]) -> Finding:
    """thind 2.2.1 and 3.2: the counts of the listings' arrays are those of two-band images and of no passengers."""
    values = int(np.prod(arranged))
    numbers = {
        "values of an array": values,
        "of a record": values // records,
        "of a record and a band": values // records // 3,
        "pixels": size * size,
        "trained and tested on": trained + tested,
        "records": records,
    }
    return Finding(values == 3 * size * size * records and trained + tested == records, numbers)
