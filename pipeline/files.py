"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

# What a disk says that takes no more: it is full, so is the user's share of it, or the file, or it is read-only.
REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class DiskRefuses(OSError):
    """A disk takes no more; the message names the file and the remedy."""

    def __str__(self) -> str:
        return (
            f"cannot write {self.filename}: {self.strerror}. The file is as it was before. "
            "Make room there, or choose another folder for the results, and run it again"
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when it does not.

    Raises DiskRefuses where there is no room for it.
    """
    try:
        with beside(path) as temporary:
            yield temporary
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise DiskRefuses(error.errno, os.strerror(error.errno), str(path)) from error


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of `path`, which is made where it is missing; it is removed in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write `table` to `path` as CSV with every digit its numbers have, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_between(text: str, page: Path, begin: str, end: str) -> None:
    """Replace what stands on a page between two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    write_text(before + begin + text + end + rest.partition(end)[2], page)
