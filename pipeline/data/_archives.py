"""One member read out of an archive: by its exact name, up to a bound, and nothing else unpacked."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import py7zr
from py7zr.io import BytesIOFactory

from pipeline.data._errors import DataError

DAMAGE = (
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    py7zr.exceptions.ArchiveError,
    lzma.LZMAError,
)


def read_member(path: Path, members: Sequence[str], limit: int) -> bytes:
    """The content of the first of `members` that the archive `path` (.gz, .tgz, .tar.gz, .zip or .7z) holds.

    Raises DataError where the archive is damaged, has none of the members, or the member has over `limit` bytes.
    """
    try:
        content = reader(path)(path, members, limit)
    except DAMAGE as error:
        raise DataError(
            f"{path} cannot be unpacked ({error or type(error).__name__}): it is truncated or damaged; "
            "delete it and get it again"
        ) from error
    if content is None:
        raise DataError(f"{path} holds none of {', '.join(members)}: it is not the expected archive; delete it")
    if len(content) > limit:
        raise DataError(f"{path} unpacks to more than the {limit} bytes expected: it is not the official file")
    return content


def read_gzip(path: Path, members: Sequence[str], limit: int) -> bytes:
    with gzip.open(path) as stream:
        return stream.read(limit + 1)


def read_tar(path: Path, members: Sequence[str], limit: int) -> bytes | None:
    with tarfile.open(path) as archive:
        for entry in archive:
            if entry.name in members and entry.isfile():
                return archive.extractfile(entry).read(limit + 1)
    return None


def read_zip(path: Path, members: Sequence[str], limit: int) -> bytes | None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name in members:
                with archive.open(name) as stream:
                    return stream.read(limit + 1)
    return None


def read_7z(path: Path, members: Sequence[str], limit: int) -> bytes | None:
    with py7zr.SevenZipFile(path) as archive:
        for entry in archive.list():
            if entry.filename in members and entry.is_file:
                if entry.uncompressed > limit:
                    return bytes(limit + 1)
                memory = BytesIOFactory(limit + 1)
                archive.extract(targets=[entry.filename], factory=memory)
                return memory.get(entry.filename).read()
    return None


READERS = {".tgz": read_tar, ".tar.gz": read_tar, ".gz": read_gzip, ".zip": read_zip, ".7z": read_7z}


def reader(path: Path) -> Callable[[Path, Sequence[str], int], bytes | None] | None:
    """The reader of the file's kind of archive, or None where it is none."""
    return next((reads for suffix, reads in READERS.items() if path.name.endswith(suffix)), None)


def is_packed(path: Path) -> bool:
    """Whether the file's name is that of an archive."""
    return reader(path) is not None
