"""Simulated colour images of ten classes, for machines that cannot have CIFAR-10: coloured clouds, not objects.

Each class has a cloud of its own, smooth at the scale of a few pixels; an image shows it moved, mirrored and dimmed,
under another cloud that is stronger. A network learns them as it learns real images, but its accuracy says nothing
of those.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

SIZE, CLASSES, SEED = 32, 10, 1
TRAIN_IMAGES, TEST_IMAGES = 5000, 2000
SMOOTHNESS = 3.0  # deviation of the smoothing, pixels
LARGEST_SHIFT = 4  # pixels to either side


def simulate() -> dict[str, np.ndarray]:
    """Images, uint8 (n, 3, 32, 32), and labels, uint8 (n,), to train and to test on."""
    rng = np.random.default_rng(SEED)
    classes = clouds(CLASSES, rng)
    arrays = {}
    for part, count in (("train", TRAIN_IMAGES), ("test", TEST_IMAGES)):
        labels = rng.integers(CLASSES, size=count, dtype=np.uint8)
        shown = np.stack([changed(classes[label], rng) for label in labels])
        mixed = 128 + 40 * (shown + clouds(count, rng)) + rng.normal(0, 8, shown.shape)
        arrays |= {f"{part}_images": mixed.clip(0, 255).astype(np.uint8), f"{part}_labels": labels}
    return arrays


def clouds(count: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (count, 3, 32, 32), of unit deviation, going on from each edge at the opposite one."""
    noise = gaussian_filter(rng.normal(size=(count, 3, SIZE, SIZE)), (0, 0, SMOOTHNESS, SMOOTHNESS), mode="wrap")
    return noise / noise.std(axis=(1, 2, 3), keepdims=True)


def changed(cloud: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One cloud, (3, 32, 32), moved, perhaps mirrored, and dimmed."""
    moved = np.roll(cloud, tuple(rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2)), axis=(1, 2))
    return rng.uniform(0.3, 0.6) * (moved[:, :, ::-1] if rng.random() < 0.5 else moved)
