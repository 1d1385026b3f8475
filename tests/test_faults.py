"""A study killed at random moments and started again ends with the numbers of an undisturbed one.

Opt-in, because it runs the tiny study many times over: `make test OPTIONS="-m faults"`; FAULTS sets how many kills.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.tiny_study import copy_checkout, snakemake, study_command, study_environment

pytestmark = pytest.mark.faults


def numbers(folder: Path) -> dict[str, bytes]:
    """Every CSV of the results that holds no wall times."""
    results = folder / "results"
    tables = [path for part in ("runs", "tables") for path in (results / part).rglob("*.csv")]
    return {str(path.relative_to(results)): path.read_bytes() for path in tables if path.name != "timing.csv"}


def run_until_killed(folder: Path, seconds: float) -> bool:
    """Starts the study, kills its whole process group after some seconds; whether it had ended before."""
    process = subprocess.Popen(
        study_command(),
        cwd=folder,
        env=study_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


def test_a_killed_study_ends_with_the_same_numbers(study, tmp_path):
    undisturbed = numbers(study)
    started = time.monotonic()
    copy_checkout(tmp_path)
    kills, moments = int(os.environ.get("FAULTS", "20")), random.Random(25)
    killed = 0
    for _ in range(kills):
        if run_until_killed(tmp_path, moments.uniform(8.0, 40.0)):
            break
        killed += 1
    finished = snakemake(tmp_path)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    assert killed > 0
    differing = {name for name, content in numbers(tmp_path).items() if undisturbed.get(name) != content}
    # Seconds per epoch are wall times, and stand in the claims.
    assert differing <= {"tables/claims.csv"}
    assert numbers(tmp_path).keys() == undisturbed.keys()
    print(f"{killed} kills in {time.monotonic() - started:.0f} s, {len(undisturbed)} tables the same")
