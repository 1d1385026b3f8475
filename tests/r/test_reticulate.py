"""nodekit from R through plain reticulate, in R's own process."""

import os
import subprocess
import sys


def test_an_r_closure_is_solved_and_returns_an_r_array():
    environment = {**os.environ, "RETICULATE_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        ["Rscript", "tests/r/reticulate.R"], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "as expected" in run.stdout
