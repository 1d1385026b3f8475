"""The hash of the code that a run depends on: it changes with that code and with nothing else."""

import pytest

from pipeline.runs.code import ROOT, code_files, code_of
from pipeline.study import load_study

FILES = ["nodekit/_steps/control.py", "pipeline/models/net.py", "pipeline/fit/spiral.py", "pipeline/compute/primer.py"]


@pytest.fixture
def root(tmp_path):
    for name in [*FILES, "pipeline/report/page.py", "rscripts/runs/net.R"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a = 1\n", encoding="utf-8")
    return tmp_path


def run(**overrides):
    return load_study({"profile": "test", "experiments": ["P3"], "overrides": {"P3": overrides}}).run("P3", "main", 1)


@pytest.mark.parametrize("name", ["nodekit/_steps/control.py", "pipeline/models/net.py", "pipeline/compute/primer.py"])
def test_a_change_of_what_the_run_computes_with_changes_it(root, name):
    before = code_of(run(), root)
    (root / name).write_text("a = 2\n", encoding="utf-8")
    assert code_of(run(), root) != before


def test_a_file_more_changes_it(root):
    before = code_of(run(), root)
    (root / "nodekit/_new.py").touch()
    assert code_of(run(), root) != before


@pytest.mark.parametrize("name", ["pipeline/report/page.py", "pipeline/fit/spiral.py", "rscripts/runs/net.R"])
def test_what_it_does_not_compute_with_changes_nothing(root, name):
    before = code_of(run(), root)
    (root / name).write_text("a = 2\n", encoding="utf-8")
    assert code_of(run(), root) == before


def test_line_ends_change_nothing(root):
    before = code_of(run(), root)
    (root / "nodekit/_steps/control.py").write_bytes(b"a = 1\r\n")
    assert code_of(run(), root) == before


def test_the_run_s_own_settings_change_it_and_how_many_seeds_there_are_does_not(root):
    assert code_of(run(threads=2), root) != code_of(run(), root)
    assert code_of(run(seeds=7), root) == code_of(run(), root)


def test_the_files_are_those_of_this_checkout():
    names = {path.relative_to(ROOT).as_posix() for path in code_files("compute")}
    assert {"nodekit/_steps/control.py", "pipeline/compute/primer.py", "pipeline/train/loop.py"} <= names
    assert "rscripts/runs/hand_coded_network.R" in {path.relative_to(ROOT).as_posix() for path in code_files("r")}
