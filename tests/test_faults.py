"""A study killed at random moments and started again ends with the numbers of an undisturbed one, to the bit.

Opt-in, because it runs a study many times over: `make test OPTIONS="-m faults"`; FAULTS sets how many kills. The study
is the tiny one with one experiment of every kind. It is left alone with one core and killed with two: that their
numbers are equal shows also that these do not depend on the cores that Snakemake is given.
"""

import io
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny_study import copy_checkout, snakemake, study_command, study_environment

pytestmark = pytest.mark.faults
# Of the kinds compute, r, train, measure of what was trained, and fit.
EXPERIMENTS = "experiments=[P3,N1,N4,M3,M4,D1]"
COMMAND = 'make test OPTIONS="-m faults -n0"'


def numbers(folder: Path) -> dict[str, bytes]:
    """Every CSV of the results, without wall times: those of timing.csv, and what the claims say of seconds."""
    results = folder / "results"
    tables = [path for part in ("runs", "tables") for path in (results / part).rglob("*.csv")]
    found = {str(path.relative_to(results)): path.read_bytes() for path in tables if path.name != "timing.csv"}
    claims = pd.read_csv(io.BytesIO(found["tables/claims.csv"]))
    found["tables/claims.csv"] = claims[claims.unit != "s"].to_csv().encode()
    return found


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """The names of the tables that are not the same, or missing, or too many."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def run_until_killed(folder: Path, jobs: int, seconds: float) -> bool:
    """Starts the study, kills its process group some seconds after so many jobs; whether the study ended before."""
    log = folder / "snakemake.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            study_command("--config", EXPERIMENTS),
            cwd=folder,
            env=study_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None and log.read_text().count(" steps (") < jobs:
        time.sleep(0.05)
    try:
        assert process.wait(timeout=seconds) == 0, log.read_text()[-6000:]
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The numbers of a study on one core, how many jobs it had and the seconds each took in the mean."""
    folder = tmp_path_factory.mktemp("undisturbed")
    copy_checkout(folder)
    started = time.monotonic()
    finished = snakemake(folder, "--config", EXPERIMENTS, cores=1)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    jobs = int(re.search(r" of (\d+) steps", finished.stdout + finished.stderr)[1])
    return numbers(folder), jobs, (time.monotonic() - started) / jobs


def test_a_killed_study_ends_with_the_same_numbers(undisturbed, tmp_path, trust):
    expected, jobs, seconds = undisturbed
    check = "a study killed at random moments (SIGKILL to the process group) and started again: tables as undisturbed"
    kills, moments = int(os.environ.get("FAULTS", "20")), random.Random(25)
    copy_checkout(tmp_path)
    different = []
    with trust(check, COMMAND) as count:
        count.figure = f"{len(expected)} tables equal to the bit, killed on two cores and undisturbed on one"
        while count.tried < kills:
            # So many jobs that the kills spread over one study; where it ends before the next, it begins anew.
            if run_until_killed(tmp_path, moments.randint(0, 2 * jobs // kills), moments.uniform(0, 2 * seconds)):
                different += differing(expected, numbers(tmp_path))
                for name in ("results", ".snakemake"):
                    shutil.rmtree(tmp_path / name)
            else:
                count.tried += 1
        finished = snakemake(tmp_path, "--config", EXPERIMENTS)
        assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
        different += differing(expected, numbers(tmp_path))
        count.lost = len(different)
        assert different == []
