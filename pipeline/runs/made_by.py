"""Which code made a run: a row each time that work on it began, in a file of its own beside its log.

A training that goes on from its checkpoint may have been begun by other code: then all that had a part are named.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pipeline.files import write_csv
from pipeline.runs.provenance import git

# code: the hash by `pipeline.runs.code` of what the run depends on; empty where it was not kept.
COLUMNS = ["commit", "dirty", "began", "code"]
# What computes: a change elsewhere makes no run dirty.
CODE = ["nodekit", "pipeline", "rscripts", "data/published"]


def sign(path: Path | str, checkpoint: Path | str | None = None, code: str = "") -> None:
    """Write this checkout's commit and the hash of the run's code into the file of a run that begins now.

    checkpoint: of the run; where it or one of its parts is there, the run goes on, and those before stay named.
    """
    path, row = Path(path), [git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", *CODE)), now(), code]
    before = read(path) if checkpoint and goes_on(Path(checkpoint)) else pd.DataFrame(columns=COLUMNS)
    write_csv(pd.DataFrame([*before.to_numpy().tolist(), row], columns=COLUMNS), path)


def read(path: Path) -> pd.DataFrame:
    """The rows of a run's file, none where there is no file."""
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path, keep_default_na=False)
    return table if "code" in table else table.assign(code="")


def goes_on(checkpoint: Path) -> bool:
    """Whether a run left a checkpoint, in one piece or in several named after it."""
    return checkpoint.exists() or any(checkpoint.parent.glob(f"{checkpoint.stem}-*{checkpoint.suffix}"))


def now() -> str:
    """The time, as tables have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sign(sys.argv[1])
