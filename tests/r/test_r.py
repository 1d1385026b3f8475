"""The tests of the R code, run by testthat in R itself."""

import os
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "testthat"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("test-*.R")), ids=lambda path: path.stem)
def test_r_code(path):
    expression = f"testthat::test_file('{path.as_posix()}', reporter = 'check', stop_on_failure = TRUE)"
    environment = {**os.environ, "NODEKIT_ROOT": str(ROOT)}
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", expression], cwd=FOLDER, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL 0" in done.stdout, done.stdout
