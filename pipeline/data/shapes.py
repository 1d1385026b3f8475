"""Grey images of circles, triangles and rectangles for the ulala document's experiments, drawn from a seed.

The document gives neither the images' size nor their generator, only that its networks soon tell them apart without
a mistake: these are 28×28, bright on dark, with random place, size, rotation, grey level and a little noise. Image i
of a part is drawn from a random stream of its own, so that fewer images are a prefix.
"""

from logging import Logger
from pathlib import Path

import numpy as np
from skimage.draw import polygon
from skimage.transform import downscale_local_mean

from pipeline.data._prepared import Prepared
from pipeline.data._splits import first
from pipeline.study import Dataset

SIZE = 28
FINE = 3  # subpixels a side, for smooth edges
GAP = 2  # pixels at least between two shapes
SEED = 1
TRAIN_IMAGES, TEST_IMAGES = 2700, 6000

SHAPES = ("circle", "triangle", "rectangle")
PAIRS = (("circle", "triangle"), ("circle", "rectangle"), ("triangle", "rectangle"))
ARRANGEMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "single": tuple((shape,) for shape in SHAPES),
    # The document's labels: blank 0, circle 1, triangle 2, rectangle 3, a pair the sum of its labels + 1.
    "compound": ((), *((shape,) for shape in SHAPES), *PAIRS),
}


def prepare(raw: Path, mirror: Path | None, log: Logger) -> Prepared:
    """Both arrangements as uint8, (n, 28, 28), with their labels; nothing is read from `raw` or the mirror."""
    arrays = {}
    for arrangement in ARRANGEMENTS:
        for stream, (part, count) in enumerate((("train", TRAIN_IMAGES), ("test", TEST_IMAGES))):
            images, labels = generate(arrangement, stream, count)
            arrays |= {f"{arrangement}_{part}_images": images, f"{arrangement}_{part}_labels": labels}
    return Prepared(
        arrays=arrays,
        data_source=f"generated shapes (pipeline.data.shapes, seed {SEED})",
        origin="computed",
        files=[],
        records={"train": TRAIN_IMAGES, "test": TEST_IMAGES, "arrangements": list(ARRANGEMENTS)},
    )


def split(arrays: dict[str, np.ndarray], dataset: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Training and test images, (n, 1, 28, 28), from −1 (black) to 1 (white); the run's seed changes nothing."""
    parts = {}
    for part, count in (("train", dataset.train_images), ("test", dataset.test_images)):
        images = first(arrays[f"{dataset.arrangement}_{part}_images"], count, f"{part}_images")
        parts[f"{part}_images"] = images[:, None].astype(np.float32) / 127.5 - 1
        parts[f"{part}_labels"] = arrays[f"{dataset.arrangement}_{part}_labels"][:count]
    return parts


def class_names(arrangement: str) -> tuple[str, ...]:
    """What an image of each class shows."""
    return tuple(" + ".join(shapes) or "blank" for shapes in ARRANGEMENTS[arrangement])


def generate(arrangement: str, stream: int, count: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """`count` images, uint8 (count, 28, 28), and labels, uint8 (count,), of one independent stream.

    arrangement: "single" or "compound".
    stream: 0 for training, 1 for testing.
    """
    classes = ARRANGEMENTS[arrangement]
    images, labels = np.empty((count, SIZE, SIZE), np.uint8), np.empty(count, np.uint8)
    for i in range(count):
        rng = np.random.default_rng((seed, len(classes), stream, i))
        labels[i] = rng.integers(len(classes))
        images[i] = draw(classes[labels[i]], rng)
    return images, labels


def draw(shapes: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """One image, uint8 (28, 28), with the given shapes, lighter than the ground, none touching another or the edge."""
    ground = rng.uniform(0, 0.1)
    fine = np.full((SIZE * FINE, SIZE * FINE), ground)
    for shape, (row, column, radius) in zip(shapes, places(len(shapes), rng), strict=True):
        corners = OUTLINES[shape](rng)
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        rows, columns = (radius * corners @ turn.T + (row, column)).T * FINE
        fine[polygon(rows, columns, fine.shape)] = ground + rng.uniform(0.6, 0.9)
    image = downscale_local_mean(fine, (FINE, FINE)) + rng.normal(0, rng.uniform(0.01, 0.03), (SIZE, SIZE))
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)


def places(count: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Row, column and radius in pixels of `count` circles inside the image that do not overlap."""
    largest = 12.0 if count < 2 else 7.5
    while True:
        radii = rng.uniform(6.0, largest, count)
        centres = rng.uniform(radii, SIZE - radii, (2, count)).T
        if count < 2 or np.hypot(*(centres[0] - centres[1])) > radii.sum() + GAP:
            return [(row, column, radius) for (row, column), radius in zip(centres, radii, strict=True)]


def circle(rng: np.random.Generator) -> np.ndarray:
    """Corners, (32, 2), of a polygon that is a circle to the eye, inside the unit circle."""
    return on_circle(np.linspace(0, 2 * np.pi, 32, endpoint=False))


def triangle(rng: np.random.Generator) -> np.ndarray:
    """Corners, (3, 2), of a triangle with angles of at least 30°, on the unit circle."""
    halves = np.pi * (1 / 6 + rng.dirichlet((8, 8, 8)) / 2)
    return on_circle(2 * np.cumsum(halves))


def rectangle(rng: np.random.Generator) -> np.ndarray:
    """Corners, (4, 2), of a rectangle with sides up to about 1 : 2.1, on the unit circle."""
    half = rng.uniform(0.28, 0.5) * np.pi / 2
    return on_circle(np.array([half, np.pi - half, np.pi + half, -half]))


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Points, (n, 2), of the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


OUTLINES = {"circle": circle, "triangle": triangle, "rectangle": rectangle}
