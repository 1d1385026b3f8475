"""Files written whole or not at all."""

import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data._errors import DataError

REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or ask for a larger quota",
    errno.EROFS: "the file system is read-only: choose another folder (`data` in the configuration) or remount it",
    errno.EACCES: "make it accessible to this user, or choose another folder (`data` in the configuration)",
    errno.EPERM: "make it accessible to this user, or choose another folder (`data` in the configuration)",
}


@contextmanager
def on_disk(path: Path, doing: str) -> Iterator[None]:
    """Turns any OSError of the block into a DataError that names the path and the remedy.

    `doing` is the failed verb in words, for instance "write".
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno, "see that the path exists and the disk is healthy")
        reason = error.strerror or str(error)
        raise DataError(f"cannot {doing} {path}: {reason}; {remedy}, then run again") from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: it replaces `path` when the block ends well and is removed when it does not."""
    part = path.with_name(f".{path.name}.part")
    with on_disk(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            os.replace(part, path)
        except BaseException:
            if os.path.lexists(part):
                os.unlink(part)
            raise


def write_processed(
    processed: Path, name: str, arrays: Mapping[str, np.ndarray], provenance: Mapping[str, Any]
) -> None:
    """Writes `<name>.npz` and `<name>.json` into `processed`, both or neither."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    with atomic(processed / f"{name}.npz") as npz, atomic(processed / f"{name}.json") as described:
        text = json.dumps({"name": name, **provenance}, indent=2, ensure_ascii=False)
        described.write_text(text + "\n", encoding="utf-8")
        with on_disk(processed / f"{name}.npz", "write"):
            npz.write_bytes(packed.getbuffer())


def read_processed(processed: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the provenance that `write_processed` wrote.

    Raises DataError where they are missing or damaged (npz files carry a CRC-32 of every array).
    """
    npz, described = processed / f"{name}.npz", processed / f"{name}.json"
    again = f"delete it and run `snakemake --cores 1 {npz}`"
    for path in (npz, described):
        if not path.exists():
            raise DataError(f"{path} does not exist: run `snakemake --cores 1 {npz}`")
    with on_disk(npz, "read"):
        try:
            with np.load(npz, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except OSError:
            raise
        except Exception as error:  # a changed byte makes zipfile and numpy raise errors of a dozen kinds
            raise DataError(f"{npz} is damaged ({error or type(error).__name__}): {again}") from error
        try:
            provenance = json.loads(described.read_text(encoding="utf-8"))
            missing = {"name", "data_source", "origin"} - provenance.keys()
        except (ValueError, RecursionError, AttributeError) as error:
            raise DataError(f"{described} is damaged ({error}): {again}") from error
    if missing:
        raise DataError(f"{described} does not say {', '.join(sorted(missing))}: {again}")
    return arrays, provenance
