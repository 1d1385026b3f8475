"""ulala's tables of accuracies against its own sentences about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errata.finding import Finding

Table = dict[str, list[float]]


def conclusion(published: dict[str, Table]) -> Finding:
    """3.4: "implicit slightly improves, Crank–Nicolson somewhat worse", in the tables of full size."""
    numbers: dict[str, float] = {}
    for place, table in published.items():
        explicit = np.array(table["explicit Euler"])
        for method in ("implicit Euler", "Crank Nicolson"):
            numbers[f"{place}, epochs in which {method} is ahead of explicit Euler"] = int(
                (table[method] > explicit).sum()
            )
            numbers[f"{place}, {method} less explicit Euler, mean, points"] = float(np.mean(table[method] - explicit))
            numbers[f"{place}, {method} less explicit Euler, last epoch, points"] = float(
                table[method][-1] - explicit[-1]
            )
    last = published[list(published)[-1]]
    behind = np.mean(last["implicit Euler"]) < np.mean(last["explicit Euler"])
    ahead = last["Crank Nicolson"][-1] > last["explicit Euler"][-1]
    return Finding(bool(behind and ahead), numbers)


def multiples_of_one_image(published: dict[str, Table], images: int) -> Finding:
    """Every accuracy is a whole number of 6000 images, to the three decimals that are printed."""
    values = np.array([value for table in published.values() for column in table.values() for value in column])
    gaps = np.abs(values - 100 * np.round(values * images / 100) / images)
    numbers = {"accuracies": values.size, "largest distance from a whole number of images, %": float(gaps.max())}
    return Finding(bool((gaps <= 0.0005 + 1e-9).all()), numbers)


def classes_of_the_small_sample(first_epoch: dict[str, float], singular: int, compound: int) -> Finding:
    """3.3: accuracies after one epoch beside the chance of three and of seven classes."""
    chance = {count: 100 / count for count in (singular, compound)}
    numbers = {f"epoch 1, {name}, %": value for name, value in first_epoch.items()}
    numbers |= {f"chance of {count} classes, %": value for count, value in chance.items()}
    near = all(abs(value - chance[singular]) < 1 for value in first_epoch.values())
    return Finding(near, numbers)


def classes_of_one_test_set(published: dict[str, Table], images: int, classes: int) -> Finding:
    """3.3 and 6.1: accuracies near chance that an epoch repeats to the image, and the classes that they would be.

    A network that answers one class for all images is right as often as that class occurs; in one test set the classes
    are no more than `classes`, and their numbers add up to all images.
    """
    numbers: dict[str, float] = {}
    sizes = []
    for place, table in published.items():
        repeated = sorted({v for column in table.values() for v in column if column.count(v) > 1 and v < 150 / classes})
        counts = [round(value * images / 100) for value in repeated]
        numbers[f"{place}, images of one class"] = str(counts)
        sizes += counts
    numbers |= {"classes": classes, "their images, together": sum(sizes), "images of a test set": images}
    return Finding(len(sizes) == classes and sum(sizes) != images, numbers)


def by_tolerance(tables: Path) -> Finding:
    """2.4.1: the share of test images that M3's trained network gets right, by the tolerance of its solver."""
    history = pd.read_csv(tables / "M6" / "history.csv")
    shares = history.groupby("tolerance")[["correct", "images"]].sum()
    right = shares.correct / shares.images
    tightest = right.iloc[0]
    error = float(np.sqrt(max(tightest * (1 - tightest), 1 / shares.images.iloc[0]) / shares.images.iloc[0]))
    numbers = {f"test accuracy at tolerance {tolerance:g}": float(share) for tolerance, share in right.items()}
    numbers |= {"test images": int(shares.images.iloc[0]), "standard error of one accuracy": error}
    return Finding(bool(right.max() - tightest <= 2 * error), numbers)
