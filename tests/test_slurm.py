"""The tiny study through Slurm: the numbers of one machine, also when a job fails or the node is lost.

Opt-in, because it needs Debian's packages: `apt-get install slurm-wlm munge`, then `make test OPTIONS="-m slurm"`.
SLURM_EXPERIMENTS names those of the tiny study that run, or `all`.
"""

import os
import subprocess
import time

import pytest
import yaml

from pipeline.study import merge
from tests.one_node_slurm import OneNodeSlurm, missing_commands
from tests.tiny_study import copy_checkout, study_environment

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(missing_commands()), reason=f"not installed: {', '.join(missing_commands())}"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = OneNodeSlurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def checkout(tmp_path):
    """A clean copy of this checkout, with a configuration of its own."""
    copy_checkout(tmp_path)
    return tmp_path


def configure(folder, overrides=None):
    """The tiny study's configuration, on the CPU, and of fewer experiments where not all are wanted."""
    config = yaml.safe_load((folder / "pipeline/config/ci.yaml").read_text(encoding="utf-8"))
    wanted = os.environ.get("SLURM_EXPERIMENTS", "P1,N1,S4")
    if wanted != "all":
        config["experiments"] = wanted.split(",")
    config = merge(config, {"device": "cpu", "overrides": overrides or {}})
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


TABLES = ["results/tables/claims.csv", "tables"]
COMMAND = 'make test OPTIONS="-n0 -m slurm --record-trust"'


def command(profile, *arguments):
    return ["snakemake", "--workflow-profile", f"profiles/{profile}", "--configfile", "config.yaml", *arguments]


def start(folder, slurm):
    """The study through the Slurm of this test, which has no accounting."""
    arguments = ["--slurm-no-account", "--slurm-status-command", "squeue", "--seconds-between-status-checks", "5"]
    arguments += ["--slurm-init-seconds-before-status-checks", "5", *TABLES]
    with (folder / "study.log").open("w") as log:
        environment = study_environment() | slurm.environment
        return subprocess.Popen(command("slurm", *arguments), cwd=folder, env=environment, stdout=log, stderr=log)


def said(folder):
    """What the study of `folder` said."""
    return (folder / "study.log").read_text(encoding="utf-8")


def numbers(folder):
    """Every CSV of the results that holds no wall times."""
    found = [path for part in ("runs", "tables") for path in (folder / "results" / part).rglob("*.csv")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.name != "timing.csv"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The numbers of the same study on one machine without Slurm."""
    folder = tmp_path_factory.mktemp("local")
    copy_checkout(folder)
    configure(folder)
    done = subprocess.run(
        command("default", "--cores", "1", *TABLES), cwd=folder, env=study_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return numbers(folder)


def test_a_lost_node_costs_time_and_nothing_else(checkout, slurm, undisturbed, trust):
    configure(checkout)
    with trust("a study on Slurm whose node is lost while jobs run: tables as on one machine", COMMAND) as count:
        count.tried = 1
        study = start(checkout, slurm)
        deadline = time.monotonic() + 1800
        while not slurm.run("squeue", "--noheader", "--states=RUNNING") and time.monotonic() < deadline:
            time.sleep(0.5)
        slurm.lose_node()
        slurm.start_node()
        assert study.wait(timeout=3600) == 0, said(checkout)
        jobs = said(checkout).count("SLURM jobid")
        assert jobs > 0
        assert numbers(checkout) == undisturbed
        count.figure = f"{len(undisturbed)} tables equal to the bit, {jobs} jobs"


def test_a_failing_job_is_named_and_the_others_end(checkout, slurm, undisturbed, trust):
    configure(checkout, {"S4": {"optimizer": {"arguments": {"lr": 1e30}}}})
    with trust("a study on Slurm with jobs that fail: their logs are named, the other runs end", COMMAND) as count:
        study = start(checkout, slurm)
        assert study.wait(timeout=3600) != 0
        logs = (checkout / "results/logs/runs/S4").rglob("*.log")
        failed = [log for log in logs if "Try a smaller learning rate (now 1e+30)" in log.read_text()]
        assert failed
        count.tried = len(failed)
        assert all(str(log.relative_to(checkout)) in said(checkout) for log in failed)
        unharmed = {name: content for name, content in undisturbed.items() if "/N1/" in name or "/P1/" in name}
        assert unharmed.items() <= numbers(checkout).items()
        assert "results/tables/S4/metrics.csv" not in numbers(checkout)
