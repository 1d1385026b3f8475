"""The mirror for machines without a network: whole, verified, and all that the study's data need."""

import gzip
import hashlib
import logging
import subprocess

import pytest

from pipeline.data import DataError, prepare
from pipeline.data._registry import Source
from pipeline.data._sources import obtain
from pipeline.data.fetch import fetch

LOG = logging.getLogger(__name__)
CONTENT = b"what everyone needs"


def source(path="first/{file}.gz", content=CONTENT):
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return Source(title="A set", homepage="-", licence="-", files={"a": entry}, layouts=[{"path": path}])


def place(folder, path, content=CONTENT):
    target = folder / path
    target.parent.mkdir(parents=True)
    target.write_bytes(gzip.compress(content))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **named):
        raise OSError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def test_a_mirror_alone_has_the_data_and_their_sums(tmp_path, no_network):
    place(tmp_path / "raw", "first/a.gz")
    assert fetch(tmp_path / "mirror", tmp_path / "raw", {"first": source()}) == []
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "mirror", capture_output=True)
    assert checked.stdout == b"first/a.gz: OK\n"
    elsewhere = obtain(source(), tmp_path / "other_machine", tmp_path / "mirror", LOG)
    assert elsewhere["a"].content == CONTENT


def test_the_software_is_named(tmp_path, no_network):
    place(tmp_path / "raw", "first/a.gz")
    fetch(tmp_path / "mirror", tmp_path / "raw", {"first": source()})
    words = (tmp_path / "mirror/SOFTWARE.md").read_text(encoding="utf-8")
    assert all(name in words for name in ("r-cran-ggplot2", "pandoc", "uv.lock", "NODEKIT_MIRROR"))


def test_a_damaged_file_never_comes_into_a_mirror(tmp_path):
    place(tmp_path / "raw", "first/a.gz", b"another")
    with pytest.raises(DataError, match=r"first/a\.gz"):
        fetch(tmp_path / "mirror", tmp_path / "raw", {"first": source()})
    assert not list((tmp_path / "mirror").rglob("*.gz"))


def test_only_data_that_can_be_simulated_may_be_missing(tmp_path):
    assert fetch(tmp_path / "mirror", tmp_path / "raw", {"iceberg": source()}) == ["iceberg"]
    with pytest.raises(DataError, match="could not be had"):
        fetch(tmp_path / "mirror", tmp_path / "raw", {"mnist": source()})


def test_every_data_set_is_prepared_from_a_mirror_without_a_network(tmp_path, no_network):
    """With what this checkout has downloaded; without it there is nothing to mirror."""
    try:
        fetch(tmp_path / "mirror")
    except DataError:
        pytest.skip("this checkout has not downloaded MNIST")
    prepare("mnist", tmp_path / "raw", tmp_path / "processed", tmp_path / "mirror", LOG)
    assert (tmp_path / "processed/mnist.npz").is_file()
