"""What all tests share: they run from the repository's root."""

import pytest

from tests.tiny_study import ROOT, copy_checkout, snakemake


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Relative paths in tests are relative to the repository's root."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished tiny study in a clean copy of this checkout."""
    folder = tmp_path_factory.mktemp("study")
    copy_checkout(folder)
    finished = snakemake(folder)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return folder
