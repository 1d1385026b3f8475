"""Some images of each data set, as the networks get them (row Q4; thind Fig. 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.data import ImageSplits
from pipeline.runs.columns import Source, Tables, tables
from pipeline.study import Run


def sample_images(run: Run, splits: ImageSplits) -> Tables:
    """Q4: the first training images row by row, each pixel from 0 to 255, their classes, and how large they are.

    `scaled` by "image" (each one's least value black and its largest white, as radar images need) or by all that are
    shown.
    """
    given = run.settings.arguments
    images = splits.train_images[: given["images"]]
    count, channels, height, _ = images.shape
    over = (1, 2, 3) if given["scaled"] == "image" else None
    low, high = (extreme(images, axis=over, keepdims=True) for extreme in (np.min, np.max))
    levels = (255 * (images - low) / np.maximum(high - low, np.finfo(np.float32).tiny)).round().astype(int)
    rows = [
        {
            "series": run.variant,
            "image": k + 1,
            "label": splits.classes[splits.train_labels[k]],
            "row": i + 1,
            **{f"channel{c + 1}": " ".join(map(str, levels[k, c, i])) for c in range(channels)},
        }
        for k in range(count)
        for i in range(height)
    ]
    metrics = {"side": (height, "pixels"), "channels": (channels, ""), "images": (count, "")}
    return tables(run, [pd.DataFrame(rows)], metrics, Source(splits.data_source, splits.origin))
