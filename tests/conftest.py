"""What all tests share: they run from the repository's root; how many cases hypothesis tries; what is recorded."""

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.tiny_study import ROOT, copy_checkout, snakemake, without_network
from tests.trust import TABLE, counting

# Any test may be slow on a machine that others use, and none of ours depends on its fixtures' state.
settings.register_profile(
    "few", max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.register_profile("many", settings.get_profile("few"), max_examples=1000, derandomize=False)
settings.load_profile("few")


def pytest_addoption(parser):
    parser.addoption(
        "--record-trust", action="store_true", help="keep what tests tried and lost in data/reference/trust.csv"
    )


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Relative paths in tests are relative to the repository's root."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def trust(request):
    """Counts what a test tries: with trust(check, command) as count, see `tests.trust.counting`."""
    table = TABLE if request.config.getoption("--record-trust") else None
    return lambda check, command: counting(check, command, table)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished tiny study in a clean copy of this checkout, from a mirror; without a network, where Linux lets us."""
    folder, mirror = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("mirror")
    copy_checkout(folder)
    if "NODEKIT_MIRROR" not in os.environ:
        subprocess.run([sys.executable, "-m", "pipeline.data.fetch", mirror], cwd=ROOT, check=True)
    finished = snakemake(folder, under=without_network(), mirror=mirror)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return folder
