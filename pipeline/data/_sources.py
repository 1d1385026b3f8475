"""Every file of a data set, from the first place that has it, verified before use."""

import hashlib
import shutil
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Any

from pipeline.data._archives import is_packed, read_member
from pipeline.data._downloads import Unavailable, fetch
from pipeline.data._errors import DataError
from pipeline.data._registry import Http, Kaggle, Layout, Npm, Source, SourceFile
from pipeline.data._storage import on_disk

# A user's own file may be larger than the official one, but not without bound.
OWN_FILE_FACTOR = 4
# An address gives files or an archive of them: at most twice what all are unpacked, and room for an archive's own data.
DOWNLOAD_FACTOR, ARCHIVE_BYTES = 2, 1_000_000


@dataclass(frozen=True)
class Found:
    """A verified file: its content, where it was read, its origin in words, and whether it is the official one."""

    content: bytes
    path: Path
    origin: str
    official: bool

    def described(self, name: str) -> dict[str, Any]:
        """The file as an entry of the provenance."""
        # Of a folder elsewhere, such as a mirror, only the name: the provenance is published.
        path = self.path.name if self.path.is_absolute() else str(self.path)
        return {
            "path": path,
            "file": name,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "official": self.official,
        }


def obtain(source: Source, raw: Path, mirror: Path | None, log: Logger) -> dict[str, Found]:
    """All files of `source` by name: from `raw`, the mirror, the official places, a package registry, in this order.

    What is downloaded is kept in `raw`. Raises DataError where a file that lies in `raw` or the mirror is damaged or
    another, and `Missing` where no place has it.
    """
    if mirror is not None and not mirror.is_dir():
        raise DataError(f"the mirror folder {mirror} does not exist: correct NODEKIT_MIRROR or `mirror`, or unset it")
    found: dict[str, Found] = {}
    for name, file in source.files.items():
        for root in (raw, mirror):
            if name not in found and root is not None and (hit := find(source, name, file, root)):
                log.info("%s: %s", name, hit.path)
                found[name] = hit
    tried = [f"{raw}: not there", f"{mirror}: not there" if mirror else "mirror: none is set (NODEKIT_MIRROR)"]
    for place in source.downloads:
        missing = [name for name in source.files if name not in found]
        if not missing:
            break
        try:
            found |= download(source, place, missing, raw, log)
        except Unavailable as error:
            log.warning("%s", error)
            tried.append(str(error))
    missing = [name for name in source.files if name not in found]
    if missing:
        places = " or ".join(dict.fromkeys(str(raw / layout.path) for layout in source.layouts[:2]))
        raise Missing(
            f"{source.title}: {', '.join(missing)} could not be had. Tried "
            + "; ".join(tried)
            + f". Get the files from {source.homepage} on a machine with internet access and put them at "
            f"{places.replace('{file}', '<file>')}, or set NODEKIT_MIRROR to a folder laid out like that.",
            found,
        )
    return found


class Missing(DataError):
    """No place has all the files; `found` are those that some place had."""

    def __init__(self, message: str, found: dict[str, Found]):
        super().__init__(message)
        self.found = found


def find(source: Source, name: str, file: SourceFile, root: Path) -> Found | None:
    """The file `name` below `root` in the first layout that is there, verified."""
    for layout in source.layouts:
        path = root / layout.path.format(file=name)
        if path.is_file():
            return read(path, layout, name, file)
    return None


def read(path: Path, layout: Layout, name: str, file: SourceFile) -> Found:
    """The verified content of `path`: its sum is the official one, or the one the user wrote in `<path>.sha256`."""
    own = path.with_name(f"{path.name}.sha256")
    with on_disk(path, "read"):
        words = own.read_text(encoding="utf-8").split() if own.is_file() else []
        algorithm, expected = ("sha256", words[0].lower()) if words else file.checksum
        limit = file.bytes * (OWN_FILE_FACTOR if words else 1)
        if is_packed(path):
            content = read_member(path, [member.format(file=name) for member in layout.members], limit)
        else:
            content = read_plain(path, limit)
    actual = hashlib.new(algorithm, content).hexdigest()
    if actual == expected:
        return Found(content, path, layout.origin, official=not words)
    if not words and len(content) < file.bytes:
        problem = f"is truncated: {len(content)} of {file.bytes} bytes"
    else:
        problem = f"has the wrong checksum: {algorithm} {actual}, not {expected}"
    raise DataError(
        f"{path} {problem}. Delete it to have it fetched again, or replace it with the official file; if this other "
        f"content is meant, write the sha256 of {name}, {hashlib.sha256(content).hexdigest()}, into {own}"
    )


def read_plain(path: Path, limit: int) -> bytes:
    """The file's bytes, at most one more than `limit`."""
    with path.open("rb") as stream:
        return stream.read(limit + 1)


def download(source: Source, place: Http | Kaggle | Npm, names: list[str], raw: Path, log: Logger) -> dict[str, Found]:
    """The files `names` fetched from one place, verified, and only then moved into `raw`."""
    staging = raw / f".download-{place.path.split('/')[0]}"
    with on_disk(raw, "write to"):
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir(parents=True)
            limit = DOWNLOAD_FACTOR * sum(file.bytes for file in source.files.values()) + ARCHIVE_BYTES
            fetch(place, names, staging, limit, log)
            found = {}
            for name in names:
                try:
                    found[name] = find(source, name, source.files[name], staging)
                except DataError as error:
                    raise Unavailable(f"{place.words}: what came is not genuine: {error}") from error
            for path in sorted(path for path in staging.rglob("*") if path.is_file()):
                target = raw / path.relative_to(staging)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    kept = {name: raw / hit.path.relative_to(staging) for name, hit in found.items()}
    return {name: Found(hit.content, kept[name], hit.origin, hit.official) for name, hit in found.items()}
