"""The R package nodekitr: built with its vignettes and checked as CRAN does, its testthat tests included."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PACKAGE = Path("rscripts/nodekitr").resolve()


def run(*command, folder):
    """Exit status and everything printed. R finds this Python, and nodekit's source where it stands."""
    environment = {
        **os.environ,
        "RETICULATE_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1",
        # Packages that are only suggested may be missing.
        "_R_CHECK_FORCE_SUGGESTS_": "false",
    }
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The package as `R CMD build` makes it."""
    folder = tmp_path_factory.mktemp("build")
    status, printed = run("R", "CMD", "build", PACKAGE, folder=folder)
    assert status == 0, printed
    (source,) = folder.glob("nodekitr_*.tar.gz")
    return source


def test_all_vignettes_are_computed(source):
    with tarfile.open(source) as archive:
        pages = {
            Path(file.name).stem: archive.extractfile(file).read().decode()
            for file in archive
            if file.name.endswith(".html")
        }
    assert set(pages) == {path.stem for path in PACKAGE.glob("vignettes/*.Rmd")}
    assert not [name for name, page in pages.items() if "nodekit was not available" in page]


def test_r_cmd_check_finds_no_error_and_no_warning_and_runs_the_tests_with_python(source):
    status, printed = run("R", "CMD", "check", "--no-manual", source, folder=source.parent)
    (report,) = source.parent.glob("nodekitr.Rcheck/tests/testthat.Rout*")
    tests = report.read_text()
    assert status == 0, printed + tests
    assert "WARNING" not in printed, printed
    assert "FAIL 0" in tests, tests
    assert "nodekit is not available" not in tests, tests
