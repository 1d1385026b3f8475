"""What all tests share: they run from the repository's root."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Relative paths in tests are relative to the repository's root."""
    monkeypatch.chdir(ROOT)
