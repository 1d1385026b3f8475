"""Rows of times of which some are shorter than others."""

from __future__ import annotations

import torch
from torch import Tensor


def without_padding(times: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of times whose padding is the last time again, and which of them are given, not padding.

    Padding begins with the first NaN, or the first time that is the one before it. Whether nothing else follows is for
    the caller to check, by `increases`.

    Args:
        times: shape (rows, times).
    """
    missing = times.isnan()
    new = ~missing
    new[:, 1:] &= times[:, 1:] != times[:, :-1]
    given = new.cumprod(1).bool()
    last = times.gather(1, (given.sum(1, keepdim=True) - 1).clamp(min=0))
    return torch.where(missing, last, times), given


def increases(times: Tensor, given: Tensor) -> Tensor:
    """Which rows of times increase strictly as far as they are given, and then stay."""
    before, after = times[:, :-1], times[:, 1:]
    return torch.where(given[:, 1:], after > before, after == before).all(1)
