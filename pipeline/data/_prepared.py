"""What a data set's `prepare` makes, to be written to data/processed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.study import Origin


@dataclass(frozen=True)
class Prepared:
    """Arrays and their provenance.

    arrays: what `<name>.npz` will hold.
    data_source: the source in words, for every table.
    origin: whether the images are real, simulated in place of real ones, an incomplete part of them, or computed.
    files: path, bytes and sum of each file they were read from.
    records: what is in the arrays, by number.
    """

    arrays: dict[str, np.ndarray]
    data_source: str
    origin: Origin
    files: list[dict[str, Any]]
    records: dict[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """All but the arrays."""
        return {
            "data_source": self.data_source,
            "origin": self.origin,
            "files": self.files,
            "records": self.records,
        }
