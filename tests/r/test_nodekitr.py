"""The R package nodekitr: installed into a folder of its own and tested by its testthat tests."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PACKAGE = Path("rscripts/nodekitr")
# With it set, `R CMD build` (vignettes included) and `R CMD check --no-manual` are run too: two minutes.
CHECK = "NODEKITR_CHECK"


def run(*command, **environment):
    """What a command prints; a failure fails the test with all of it."""
    environment = {**os.environ, "RETICULATE_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_testthat_tests(tmp_path):
    run("R", "CMD", "INSTALL", "--no-docs", f"--library={tmp_path}", PACKAGE)
    tests = f"""
        library(nodekitr, lib.loc = "{tmp_path}")
        testthat::test_dir("{PACKAGE}/tests/testthat", package = "nodekitr", load_package = "installed",
                           reporter = "check", stop_on_failure = TRUE)
    """
    printed = run("Rscript", "-e", tests, R_LIBS=str(tmp_path))
    assert "FAIL 0" in printed, printed
    assert "nodekit is not available" not in printed, printed


@pytest.mark.skipif(CHECK not in os.environ, reason=f"two minutes; set {CHECK}=1")
def test_r_cmd_check_has_no_error_and_no_warning_and_the_vignettes_are_computed(tmp_path, monkeypatch):
    package = PACKAGE.resolve()
    monkeypatch.chdir(tmp_path)
    run("R", "CMD", "build", package)
    (source,) = tmp_path.glob("nodekitr_*.tar.gz")
    with tarfile.open(source) as archive:
        pages = {
            Path(file.name).stem: archive.extractfile(file).read().decode()
            for file in archive
            if file.name.endswith(".html")
        }
    assert set(pages) == {path.stem for path in package.glob("vignettes/*.Rmd")}
    assert not [name for name, page in pages.items() if "nodekit was not available" in page]
    # Packages that are only suggested may be missing; R must not look for new versions of them anywhere.
    printed = run("R", "CMD", "check", "--no-manual", source, _R_CHECK_FORCE_SUGGESTS_="false")
    assert "ERROR" not in printed, printed
    assert "WARNING" not in printed, printed
