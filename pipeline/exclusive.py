"""One study at a time in a folder, by a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO


class StudyRunning(RuntimeError):
    """Another study runs in the folder."""


def hold(folder: Path) -> TextIO:
    """Hold `folder` until the returned file is closed or the process ends.

    Raises:
        StudyRunning: naming the process that holds it.
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
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
