"""Simulated radar images of ships and icebergs, for machines that cannot have the Kaggle data.

Two bands in dB, 75×75 pixels, as the Statoil/C-CORE challenge has them: a sea whose brightness falls with the incidence
angle, one bright object near the middle, and multiplicative speckle of a few looks, correlated between neighbours.
Sizes, elongations and angles follow the published quantiles of the real set, and brightness overlaps so much that the
task is no easier than the real one (`tests/pipeline/test_data_simulated_sar.py` holds both to numbers).
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft

SIZE = 75
SEED = 1
ICEBERGS, SHIPS, WITHOUT_ANGLE = 753, 851, 133

# Gaussian impulse response: intensities of neighbours then correlate at exp(−1 / (2 · 0.9²)) = 0.54.
RESOLUTION = 0.9
LOOKS = (4, 5)
# The sea's mean in dB at 39°, its slope per degree, and its deviation with the weather, of each band.
SEA = np.array([-21.0, -27.3])
SEA_SLOPE = np.array([-0.6, -0.2])
SEA_DEVIATION = np.array([1.6, 0.8])
# By how many dB an object stands out of the sea at the rim that bounds its area.
RIM = 3.3

LEVELS = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)


@dataclass(frozen=True)
class Kind:
    """How ships, or icebergs, are distributed.

    area, eccentricity: quantiles at `LEVELS`, of the pixels and of the ellipse.
    angle: quantiles at 0, 5, 50, 95 and 100%, in degrees.
    contrast: mean and deviation of the middle's contrast to the sea in band 1, dB.
    depolarisation: mean and deviation of what band 2's contrast lacks of band 1's, dB.
    texture: mean and deviation of the object's own unevenness, dB.
    """

    area: tuple[float, ...]
    eccentricity: tuple[float, ...]
    angle: tuple[float, ...]
    contrast: tuple[float, float]
    depolarisation: tuple[float, float]
    texture: tuple[float, float]


SHIP = Kind(
    area=(20, 36, 68, 101, 131, 197, 320),
    eccentricity=(0.3, 0.58, 0.83, 0.91, 0.96, 0.98, 0.99),
    angle=(30, 32, 40, 45, 46),
    contrast=(23.8, 3.0),
    depolarisation=(7.5, 2.2),
    texture=(3, 1),
)
ICEBERG = Kind(
    area=(20, 37, 85, 119, 163, 279, 420),
    eccentricity=(0.3, 0.52, 0.74, 0.86, 0.92, 0.97, 0.985),
    angle=(31, 34, 39, 45, 46),
    contrast=(17.2, 3.0),
    depolarisation=(6, 2.2),
    texture=(2.2, 1),
)


def simulate(count: int | None = None, seed: int = SEED) -> dict[str, np.ndarray]:
    """The first `count` records (None: all 1604).

    Returns band_1 and band_2, float32 (n, 75, 75) in dB; is_iceberg, uint8 (n,); inc_angle, float32 (n,) in degrees,
    NaN where there is none. Each record has a random stream of its own, so that fewer records are a prefix.
    """
    # 0: a ship without an angle, 1: a ship, 2: an iceberg, in random order.
    kinds = np.repeat([0, 1, 2], [WITHOUT_ANGLE, SHIPS - WITHOUT_ANGLE, ICEBERGS])
    kinds = np.random.default_rng(seed).permutation(kinds)[:count]
    bands = np.empty((len(kinds), 2, SIZE, SIZE), np.float32)
    angles = np.empty(len(kinds), np.float32)
    for i, kind in enumerate(kinds):
        rng = np.random.default_rng((seed, i))
        bands[i], angles[i] = record(ICEBERG if kind == 2 else SHIP, rng)
    return {
        "band_1": bands[:, 0],
        "band_2": bands[:, 1],
        "is_iceberg": (kinds == 2).astype(np.uint8),
        "inc_angle": np.where(kinds == 0, np.float32(np.nan), angles),
    }


def record(kind: Kind, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Both bands, (2, 75, 75) in dB, and the incidence angle in degrees of one object."""
    angle = np.interp(rng.uniform(), (0, 0.05, 0.5, 0.95, 1), kind.angle)
    sea = SEA + SEA_SLOPE * (angle - 39) + SEA_DEVIATION * rng.normal(size=2)
    contrast = max(rng.normal(*kind.contrast), RIM + 3)
    contrasts = np.array([contrast, max(contrast - max(rng.normal(*kind.depolarisation), 0), RIM + 1)])
    unevenness = max(rng.normal(*kind.texture), 0) * smooth_field(1, rng)[0].real
    # Contrast in dB falls as a parabola from the middle to the rim, and on beyond it until the sea drowns it.
    body = contrasts[:, None, None] - (contrasts - RIM)[:, None, None] * squared_distance(kind, rng)
    intensity = 10 ** (sea / 10)[:, None, None] * (1 + 10 ** ((body + unevenness) / 10))
    return 10 * np.log10(intensity * speckle(2, rng)), angle


def squared_distance(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Squared elliptical distance, (75, 75), from the middle of an object of random size and heading: 1 at its rim."""
    area = np.interp(rng.uniform(), LEVELS, kind.area)
    flattening = np.sqrt(1 - np.interp(rng.uniform(), LEVELS, kind.eccentricity) ** 2)
    half_axes = np.sqrt(area / np.pi / flattening) * np.array([1, flattening])
    heading, (row, column) = rng.uniform(0, np.pi), (SIZE - 1) / 2 + rng.normal(0, 0.9, 2)
    rows, columns = np.ogrid[:SIZE, :SIZE]
    along = (columns - column) * np.cos(heading) + (rows - row) * np.sin(heading)
    across = (rows - row) * np.cos(heading) - (columns - column) * np.sin(heading)
    return (along / half_axes[0]) ** 2 + (across / half_axes[1]) ** 2


def speckle(bands: int, rng: np.random.Generator) -> np.ndarray:
    """Gamma-distributed speckle of mean 1, (bands, 75, 75): the mean intensity of a few looks at circular Gaussians."""
    looks = rng.choice(LOOKS)
    fields = smooth_field(bands * looks, rng).reshape(bands, looks, SIZE, SIZE)
    return (fields.real**2 + fields.imag**2).mean(1) / 2


def smooth_field(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` complex Gaussian fields, (count, 75, 75), as smooth as `RESOLUTION`, each part of unit variance."""
    white = rng.standard_normal((count, SIZE, SIZE, 2), np.float32).view(np.complex64)[..., 0]
    return fft.ifft2(white * TRANSFER, norm="ortho")


def transfer() -> np.ndarray:
    """The Gaussian impulse response in the frequency domain, (75, 75), of mean power 1."""
    frequency = fft.fftfreq(SIZE)
    response = np.exp(-2 * (np.pi * RESOLUTION) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    return (response / np.sqrt((response**2).mean())).astype(np.float32)


TRANSFER = transfer()
