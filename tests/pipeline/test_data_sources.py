"""Where files are looked for, that their sums are verified, and what is said when something is wrong."""

import base64
import errno
import gzip
import hashlib
import io
import json
import logging
import os
import tarfile
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import py7zr
import pytest

from pipeline.data import DataError, _downloads
from pipeline.data._registry import Source, load_registry
from pipeline.data._sources import Found, Missing, obtain
from pipeline.data._storage import atomic, read_processed, write_processed

CONTENT = b"seventy-five by seventy-five\n" * 40
LOG = logging.getLogger("test")
ARCHIVES = ("tgz", "zip", "7z")


def source(*downloads, checksum=None):
    return Source.model_validate(
        {
            "title": "Thing",
            "homepage": "https://example.org/",
            "licence": "none",
            "files": {"a.bin": {"bytes": len(CONTENT), "md5": checksum or hashlib.md5(CONTENT).hexdigest()}},
            "layouts": [
                {"path": "thing/{file}"},
                {"path": "thing/{file}.gz"},
                *({"path": f"thing/thing.{kind}", "members": ["in/{file}"]} for kind in ARCHIVES),
            ],
            "downloads": list(downloads),
        }
    )


def packed(path, member="in/a.bin", content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    elif path.suffix == ".tgz":
        with tarfile.open(path, "w:gz") as archive:
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content)
    elif path.suffix == ".7z":
        with py7zr.SevenZipFile(path, "w") as archive:
            archive.writestr(content, member)
    else:
        path.write_bytes(content)
    return path


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def server():
    """A local HTTP server: `pages` by path; the requests' Authorization headers are kept."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.authorizations.append(self.headers.get("Authorization"))
            page = state.pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            if not state.endless:
                self.send_header("Content-Length", str(len(page or b"") + state.missing))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(page or b"")
                while state.endless and not state.over.wait(state.pause):
                    self.wfile.write(bytes(1024 if state.pause else 65536))
            if state.missing and state.stalls:
                self.wfile.flush()
                state.over.wait(20)

        def log_message(self, *arguments):
            pass

    state = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.pages, state.authorizations, state.over = {}, [], threading.Event()
    state.missing, state.stalls = 0, False  # bytes promised and not sent; whether the connection stays open meanwhile
    state.endless, state.pause = False, 0  # whether zeros follow for ever, and the seconds between them
    state.url = f"http://127.0.0.1:{state.server_port}"
    thread = threading.Thread(target=state.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    state.over.set()
    state.shutdown()
    state.server_close()


@pytest.mark.parametrize("name", ["a.bin", "a.bin.gz", "thing.tgz", "thing.zip", "thing.7z"])
def test_a_file_is_found_plain_or_packed(tmp_path, name):
    path = packed(tmp_path / "raw" / "thing" / name)
    found = obtain(source(), tmp_path / "raw", None, LOG)["a.bin"]
    assert (found.content, found.path, found.official) == (CONTENT, path, True)


def test_raw_comes_before_the_mirror(tmp_path):
    packed(tmp_path / "mirror/thing/a.bin")
    assert obtain(source(), tmp_path / "raw", tmp_path / "mirror", LOG)["a.bin"].path.is_relative_to(
        tmp_path / "mirror"
    )
    packed(tmp_path / "raw/thing/a.bin.gz")
    assert obtain(source(), tmp_path / "raw", tmp_path / "mirror", LOG)["a.bin"].path.is_relative_to(tmp_path / "raw")


def test_a_truncated_file_is_named_with_its_remedy(tmp_path):
    path = packed(tmp_path / "thing/a.bin", content=CONTENT[:100])
    with pytest.raises(DataError, match=rf"a\.bin is truncated: 100 of {len(CONTENT)} bytes. Delete it") as error:
        obtain(source(), tmp_path, None, LOG)
    assert str(path) in str(error.value)


def test_another_content_of_the_same_size_is_refused(tmp_path):
    packed(tmp_path / "thing/a.bin", content=CONTENT.replace(b"five", b"FIVE"))
    with pytest.raises(DataError, match="wrong checksum: md5"):
        obtain(source(), tmp_path, None, LOG)


def test_another_content_is_accepted_when_the_user_writes_down_its_sum(tmp_path):
    other = b"my own data"
    path = packed(tmp_path / "thing/a.bin", content=other)
    (tmp_path / "thing/a.bin.sha256").write_text(f"{hashlib.sha256(other).hexdigest()}  a.bin\n")
    found = obtain(source(), tmp_path, None, LOG)["a.bin"]
    assert (found.content, found.official) == (other, False)
    path.write_bytes(other + b"!")
    with pytest.raises(DataError, match="wrong checksum: sha256"):
        obtain(source(), tmp_path, None, LOG)


@pytest.mark.parametrize("name", ["a.bin.gz", "thing.tgz", "thing.zip", "thing.7z"])
def test_a_truncated_archive_is_named(tmp_path, name):
    path = packed(tmp_path / "thing" / name, content=np.random.default_rng(0).bytes(len(CONTENT)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cannot be unpacked.*truncated or damaged; delete it"):
        obtain(source(), tmp_path, None, LOG)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archive_members_are_taken_by_exact_name_only(tmp_path, kind):
    packed(tmp_path / f"thing/thing.{kind}", member="elsewhere/a.bin")
    with pytest.raises(DataError, match=r"holds none of in/a.bin"):
        obtain(source(), tmp_path, None, LOG)


@pytest.mark.parametrize("name", ["a.bin.gz", "thing.tgz", "thing.zip", "thing.7z"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, name):
    packed(tmp_path / "thing" / name, content=CONTENT + bytes(1_000_000))
    with pytest.raises(DataError, match=f"more than the {len(CONTENT)} bytes expected"):
        obtain(source(), tmp_path, None, LOG)


def test_a_mirror_that_does_not_exist_is_an_error(tmp_path):
    packed(tmp_path / "raw/thing/a.bin")
    with pytest.raises(DataError, match=r"mirror folder .*nowhere does not exist: correct NODEKIT_MIRROR"):
        obtain(source(), tmp_path / "raw", tmp_path / "nowhere", LOG)


def test_a_download_is_verified_and_kept_in_raw(tmp_path, server):
    server.pages["/a.bin.gz"] = gzip.compress(CONTENT)
    place = {"kind": "http", "url": server.url + "/{file}.gz", "path": "thing/{file}.gz"}
    found = obtain(source(place), tmp_path, None, LOG)["a.bin"]
    assert (found.content, found.path) == (CONTENT, tmp_path / "thing/a.bin.gz")
    assert everything_below(tmp_path) == ["thing", "thing/a.bin.gz"]


def test_a_false_download_is_thrown_away_and_the_next_place_is_tried(tmp_path, server):
    server.pages |= {"/false/a.bin": b"<html>please log in</html>", "/true/a.bin": CONTENT}
    places = [
        {"kind": "http", "url": f"{server.url}/{where}/{{file}}", "path": "thing/{file}"}
        for where in ("missing", "false", "true")
    ]
    assert obtain(source(*places), tmp_path, None, LOG)["a.bin"].content == CONTENT
    with pytest.raises(Missing, match=r"404 Not Found.*what came is not genuine"):
        obtain(source(*places[:2]), tmp_path / "empty", None, LOG)
    assert everything_below(tmp_path / "empty") == []


@pytest.mark.parametrize(("stalls", "words"), [(True, "ConnectionError"), (False, "")])
def test_a_network_that_stalls_or_breaks_off_is_given_up_and_nothing_is_kept(
    tmp_path, monkeypatch, server, stalls, words
):
    monkeypatch.setattr(_downloads, "TIMEOUT", (1, 0.3))
    server.pages["/a.bin"], server.missing, server.stalls = CONTENT[:500], len(CONTENT) - 500, stalls
    place = {"kind": "http", "url": server.url + "/{file}", "path": "thing/{file}"}
    with pytest.raises(Missing, match=f"{server.url}/.*{words}.*NODEKIT_MIRROR"):
        obtain(source(place), tmp_path, None, LOG)
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize(
    ("pause", "words"),
    [(0, rf"sends more than the {2 * len(CONTENT) + 1_000_000} bytes that may be expected"), (0.05, "too slow")],
    ids=["fast", "slow"],
)
def test_a_server_that_sends_for_ever_is_cut_off_and_nothing_is_kept(tmp_path, monkeypatch, server, pause, words):
    if pause:
        monkeypatch.setattr(_downloads, "PATIENCE", 0.3)
        monkeypatch.setattr(_downloads, "SLOWEST", 1e6)
    server.pages["/a.bin"], server.endless, server.pause = b"", True, pause
    place = {"kind": "http", "url": server.url + "/{file}", "path": "thing/{file}"}
    with pytest.raises(Missing, match=words):
        obtain(source(place), tmp_path, None, LOG)
    assert everything_below(tmp_path) == []


def test_without_a_network_the_message_says_what_was_tried_and_what_to_do(tmp_path):
    place = {"kind": "http", "url": "http://127.0.0.1:9/{file}", "path": "thing/{file}"}
    with pytest.raises(Missing) as error:
        obtain(source(place), tmp_path / "raw", None, LOG)
    message = str(error.value)
    for part in ("a.bin", "raw: not there", "127.0.0.1:9", "ConnectionError", "NODEKIT_MIRROR", "raw/thing/<file>"):
        assert part in message
    assert everything_below(tmp_path / "raw") == []


def fake_npm(folder, script):
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


def test_an_npm_package_is_packed_verified_and_kept(tmp_path, monkeypatch):
    package = packed(tmp_path / "package.tgz")
    monkeypatch.setenv(
        "PATH", fake_npm(tmp_path / "bin", f'echo "$1 $2" > ../asked; cp {package} thing.tgz'), prepend=":"
    )
    place = {"kind": "npm", "package": "thing@1.0.0", "path": "thing/thing.tgz"}
    assert obtain(source(place), tmp_path / "raw", None, LOG)["a.bin"].path == tmp_path / "raw/thing/thing.tgz"
    assert (tmp_path / "raw/asked").read_text() == "pack thing@1.0.0\n"


def test_a_failing_npm_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", "echo 'npm error code ENOTFOUND' >&2; exit 1"), prepend=":")
    with pytest.raises(Missing, match=r"npm thing@1.0.0: npm error code ENOTFOUND"):
        obtain(source({"kind": "npm", "package": "thing@1.0.0", "path": "thing/thing.tgz"}), tmp_path, None, LOG)


KAGGLE = {"kind": "kaggle", "competition": "things", "file": "a.bin.gz", "path": "thing/a.bin.gz"}


def test_kaggle_is_asked_with_the_users_credentials(tmp_path, monkeypatch, server):
    server.pages["/things/a.bin.gz"] = gzip.compress(CONTENT)
    monkeypatch.setattr(_downloads, "KAGGLE_API", server.url)
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "kaggle.json").write_text(json.dumps({"username": "me", "key": "secret"}))
    assert obtain(source(KAGGLE), tmp_path / "raw", None, LOG)["a.bin"].content == CONTENT
    assert server.authorizations == ["Basic " + base64.b64encode(b"me:secret").decode()]


def test_kaggle_without_credentials_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(Missing, match=r"KAGGLE_USERNAME and KAGGLE_KEY.*kaggle\.json"):
        obtain(source(KAGGLE), tmp_path / "raw", None, LOG)


FULL_DISK = "/dev/full"


@pytest.mark.skipif(not os.path.exists(FULL_DISK), reason="needs /dev/full")
def test_a_full_disk_leaves_nothing_behind(tmp_path):
    (tmp_path / ".thing.npz.part").symlink_to(FULL_DISK)
    with pytest.raises(DataError, match=r"cannot write .*thing\.npz: No space left on device; free some space"):
        write_processed(tmp_path, "thing", {"x": np.zeros(100_000)}, {})
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "Read-only file system.*read-only"), (errno.EACCES, "Permission denied")]
)
def test_an_unwritable_folder_is_named(tmp_path, monkeypatch, number, words):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=f"cannot write .*thing.*: {words}.*configuration"):
        write_processed(tmp_path, "thing", {"x": np.zeros(3)}, {})
    assert everything_below(tmp_path) == []


@pytest.mark.skipif(not os.path.exists(FULL_DISK), reason="needs /dev/full")
def test_a_full_disk_during_a_download_leaves_nothing_behind(tmp_path, monkeypatch, server):
    server.pages["/a.bin"] = CONTENT

    def retrieve_to_full_disk(url, target, limit, auth=None):
        target.parent.mkdir(parents=True)
        (target.parent / "half").write_bytes(b"half")
        with open(FULL_DISK, "wb", buffering=0) as stream:
            stream.write(CONTENT)

    monkeypatch.setattr(_downloads, "retrieve", retrieve_to_full_disk)
    place = {"kind": "http", "url": server.url + "/{file}", "path": "thing/{file}"}
    with pytest.raises(DataError, match="No space left on device"):
        obtain(source(place), tmp_path, None, LOG)
    assert everything_below(tmp_path) == []


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def interrupted():
        with atomic(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert everything_below(tmp_path) == ["kept.txt"]


def test_damaged_processed_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"thing\.npz does not exist: run"):
        read_processed(tmp_path, "thing")
    write_processed(tmp_path, "thing", {"x": np.arange(1000)}, {"data_source": "here", "origin": "real"})
    arrays, provenance = read_processed(tmp_path, "thing")
    np.testing.assert_array_equal(arrays["x"], np.arange(1000))
    assert provenance == {"name": "thing", "data_source": "here", "origin": "real"}
    npz = tmp_path / "thing.npz"
    whole = npz.read_bytes()
    for damaged in (whole[:500], whole[:1000] + b"?" + whole[1001:], b""):
        npz.write_bytes(damaged)
        with pytest.raises(DataError, match=r"thing\.npz is damaged.*delete it"):
            read_processed(tmp_path, "thing")


def test_the_registry_agrees_with_torchvision():
    """Its table is read, not imported: importing torchvision takes seconds."""
    table = (Path(find_spec("torchvision").origin).parent / "datasets/mnist.py").read_text(encoding="utf-8")
    mnist = load_registry()["mnist"]
    for name in mnist.files:
        assert f'"{name}.gz"' in table
    addresses = [place.url.removesuffix("{file}.gz") for place in mnist.downloads if place.kind == "http"]
    assert len(addresses) == 2
    for address in addresses:
        assert f'"{address}"' in table


@pytest.mark.parametrize(("path", "shown"), [("data/raw/a", "data/raw/a"), ("/home/somebody/mirror/a", "a")])
def test_the_provenance_names_no_folder_outside_the_project(path, shown):
    assert Found(b"", Path(path), "a mirror", official=True).described("a")["path"] == shown
