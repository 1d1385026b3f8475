"""The whole study, tiny, in a clean copy of the repository: every rule runs, every result is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def snakemake(folder, *arguments):
    """Runs the study of `folder`; what this checkout has downloaded serves as its mirror."""
    environment = {**os.environ, "NODEKIT_MIRROR": os.environ.get("NODEKIT_MIRROR", str(ROOT / "data" / "raw"))}
    command = ["snakemake", "--cores", "2", "--configfile", "pipeline/config/ci.yaml", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A finished tiny study in a clean copy of this checkout."""
    folder = tmp_path_factory.mktemp("study")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    finished = snakemake(folder)
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-6000:]
    return folder


def test_every_experiment_has_runs_claims_and_tables(study):
    claims = pd.read_csv(study / "results/tables/claims.csv")
    assert {"P3", "N1", "N2", "N3", "M1", "S1"} <= set(claims.id)
    assert set(claims.verdict) <= {"reproduced", "not reproduced", "not comparable"}
    for path in (study / "results/runs").rglob("metrics.csv"):
        assert pd.read_csv(path).data_source.notna().all(), path


def test_what_needs_no_training_is_reproduced_even_in_the_tiny_study(study):
    claims = pd.read_csv(study / "results/tables/claims.csv")
    assert (claims[claims.id == "P3"].verdict == "reproduced").all()


def test_reduced_and_simulated_runs_are_said_to_be_so(study):
    claims = pd.read_csv(study / "results/tables/claims.csv").set_index("id")
    assert "reduced" in claims.loc["M1"].reason
    assert "imulated" in pd.read_csv(study / "results/tables/N2/metrics.csv").data_source[0]


def test_the_report_loads_nothing_from_elsewhere(study):
    report = (study / "results/report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|img|iframe|source)[^>]+src=[\"'](?:https?:)?//", report)
    assert not re.findall(r"<link[^>]+href=[\"'](?:https?:)?//", report)


def test_a_finished_study_has_nothing_left_to_do(study):
    again = snakemake(study, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_figures_and_report_are_made_again_without_training(study):
    again = snakemake(study, "--dry-run", "--forcerun", "draw_figure", "render_report", "--", "report")
    planned = set(re.findall(r"^(?:local)?rule (\w+):", again.stdout, flags=re.MULTILINE))
    assert planned == {"draw_figure", "render_report"} | (planned & {"report"})
