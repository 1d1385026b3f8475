"""One study at a time in a folder, and of one version.

The lock is one that the system releases when its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import tomllib
from pathlib import Path
from typing import TextIO

from pipeline.files import write_text


class StudyRunning(RuntimeError):
    """Another study runs in the folder."""


class OtherVersion(RuntimeError):
    """The folder holds results of another version."""


def hold(folder: Path) -> TextIO:
    """Hold `folder` until the returned file is closed or the process ends.

    Raises:
        StudyRunning: naming the process that holds it.
        OtherVersion: naming the version that made what is in it, of which nothing is changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise StudyRunning(
            f"another study (process {holder}) is running in {folder.resolve()}; wait for it to end, or run this one "
            "in another folder: --config results=<folder>"
        ) from None
    refuse_other_version(folder)
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def own_version() -> str:
    """The version of this checkout, which need not be installed: conda's environment of a rule holds only the rest."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["version"]


def refuse_other_version(folder: Path) -> None:
    """Write this version into `folder`, or raise `OtherVersion` where another one's results are in it.

    Their numbers would stand among ours: Snakemake runs again what has other settings, not what other code computed.
    """
    ours, mark = own_version(), folder / ".version"
    theirs = mark.read_text(encoding="utf-8").strip() if mark.exists() else ours
    if theirs != ours:
        raise OtherVersion(
            f"{folder.resolve()} holds results of version {theirs or 'unknown'}, this is {ours}; move or remove them "
            "(make clean), or run this study in another folder: --config results=<folder>"
        )
    write_text(f"{ours}\n", mark)
