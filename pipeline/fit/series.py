"""Row D2's data: noisy spirals observed at irregular times (Chen et al. 2018, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Spirals:
    """Pieces of spirals, seen in part and to be continued.

    times: of the whole piece (2 T,), from 0. clean: where each spiral is (n, 2 T, 2).
    observed: the first half with noise (n, T, 2). mask: where it was observed (n, T).
    """

    times: Tensor
    clean: Tensor
    observed: Tensor
    mask: Tensor

    def seen_times(self) -> Tensor:
        """Those of the first half (T,)."""
        return self.times[: self.mask.shape[1]]

    def future_times(self) -> Tensor:
        """Those of the second half (T,)."""
        return self.times[self.mask.shape[1] :]

    def future(self) -> Tensor:
        """Where each spiral is in the second half (n, T, 2)."""
        return self.clean[:, self.mask.shape[1] :]

    def predictive_error(self, predicted: Tensor) -> float:
        """The root mean squared error of predictions (n, T, 2) of the second half, over all coordinates."""
        return (predicted - self.future()).square().mean().sqrt().item()


def draw_spirals(
    count: int, seen: int, random: np.random.Generator, *, end: float, points: int, piece: int, noise: float
) -> Spirals:
    """`count` pieces of two Archimedean spirals, one inwards clockwise, one outwards counter-clockwise, half of each.

    Both have `points` points at times 0…end, those of the torchdiffeq example: radius 0.3 · 50/φ with φ from end + 1
    down to 1, and 0.3 φ. A piece is 2 · `piece` points from a random place on, not before point `piece`; `seen` of
    its first `piece` points are observed, chosen without replacement (the first always), with normal noise.
    """
    t = np.linspace(0, end, points)
    inwards = end + 1 - t
    centred = {
        False: 0.3 * 50 / inwards[:, None] * np.stack([np.cos(inwards), np.sin(inwards)], axis=1) - [5.0, 0.0],
        True: 0.3 * t[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1) + [5.0, 0.0],
    }
    starts = random.integers(piece, points - 2 * piece + 1, count)
    clean = np.stack([centred[k % 2 == 1][start : start + 2 * piece] for k, start in enumerate(starts)])
    observed = clean[:, :piece] + noise * random.standard_normal((count, piece, 2))
    order = np.argsort(random.random((count, piece - 1)), axis=1)
    mask = np.zeros((count, piece), dtype=bool)
    mask[:, 0] = True
    np.put_along_axis(mask, 1 + order[:, : seen - 1], True, axis=1)
    values = (t[: 2 * piece], clean, observed)
    return Spirals(*(torch.from_numpy(value).float() for value in values), torch.from_numpy(mask))
