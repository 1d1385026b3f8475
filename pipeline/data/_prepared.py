"""What a data set's `prepare` makes, to be written to data/processed."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prepared:
    """Arrays and their provenance.

    arrays: what `<name>.npz` will hold.
    data_source: the source in words, for every table.
    simulated: whether the images stand in for real data.
    files: path, bytes and sum of each file they were read from.
    records: what is in the arrays, by number.
    """

    arrays: dict[str, np.ndarray]
    data_source: str
    simulated: bool
    files: list[dict[str, Any]]
    records: dict[str, Any]

    @property
    def provenance(self) -> dict[str, Any]:
        """All but the arrays."""
        return {
            "data_source": self.data_source,
            "simulated": self.simulated,
            "files": self.files,
            "records": self.records,
        }
