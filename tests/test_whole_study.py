"""The whole study, tiny, in a clean copy of the repository: every rule runs, every result is there."""

import re
import subprocess

import pandas as pd
import pytest

from pipeline.claims import judged_again
from pipeline.claims.verdicts import VERDICTS
from tests.tiny_study import snakemake, without_network


def test_every_experiment_has_runs_claims_and_tables(study):
    claims = pd.read_csv(study / "results/tables/claims.csv")
    assert {"P3", "N1", "N2", "N3", "M1", "S1"} <= set(claims.id)
    assert list((study / "results/figures").glob("*.gif"))
    assert set(claims.verdict) <= set(VERDICTS)
    for path in (study / "results/runs").rglob("metrics.csv"):
        assert pd.read_csv(path).data_source.notna().all(), path


def test_what_needs_no_training_is_reproduced_even_in_the_tiny_study(study):
    claims = pd.read_csv(study / "results/tables/claims.csv")
    assert (claims[claims.id == "P3"].verdict == "reproduced").all()


def test_reduced_and_simulated_runs_are_said_to_be_so(study):
    claims = pd.read_csv(study / "results/tables/claims.csv").set_index("id")
    shown = claims.loc["M1"].dropna(subset=["reproduced"])
    assert len(shown)
    assert shown.reduced.str.contains("of 60000 training images").all()
    # A run so small judges nothing; one of the document's size that is kept may.
    assert (shown.judged.isna() | (shown.judged == "kept run")).all()
    assert set(pd.read_csv(study / "results/tables/N2/metrics.csv").origin) <= {"simulated", "real"}


def test_every_verdict_can_be_computed_again_from_its_row(study):
    claims = pd.read_csv(study / "results/tables/claims.csv")
    again = judged_again(claims)
    assert list(again.verdict) == list(claims.verdict)
    assert list(again.reason) == list(claims.reason)


def test_the_report_loads_nothing_from_elsewhere(study):
    report = (study / "results/report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|img|iframe|source)[^>]+src=[\"'](?:https?:)?//", report)
    assert not re.findall(r"<link[^>]+href=[\"'](?:https?:)?//", report)


def test_the_study_needs_no_network_beside_its_mirror(study):
    alone = without_network()
    if not alone:
        pytest.skip("this machine cannot run a command without a network: no `unshare --net`")
    routes = subprocess.run([*alone, "cat", "/proc/net/route"], capture_output=True, text=True, check=True)
    assert len(routes.stdout.splitlines()) <= 1  # The study ran so: the table's head, and no way out.
    mnist = (study / "results/logs/data/mnist.log").read_text(encoding="utf-8")
    assert "trying" not in mnist


def test_a_finished_study_has_nothing_left_to_do(study):
    again = snakemake(study, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_more_seeds_train_none_anew(study):
    again = snakemake(study, "--dry-run", "--config", "overrides={M3: {seeds: 2}, M4: {seeds: 2}, D1: {seeds: 2}}")
    planned = set(re.findall(r"wildcards: experiment=(M3|M4|D1), variant=\w+, seed=(\d)", again.stdout))
    assert planned == {("M3", "2"), ("M4", "2"), ("D1", "2")}


def test_figures_and_report_are_made_again_without_training(study):
    again = snakemake(study, "--dry-run", "--forcerun", "draw_figure", "render_report", "--", "report")
    planned = set(re.findall(r"^(?:local)?rule (\w+):", again.stdout, flags=re.MULTILINE))
    assert {"draw_figure", "render_report"} <= planned
    assert planned <= {"draw_figure", "write_provenance", "render_report", "print_report", "report"}
