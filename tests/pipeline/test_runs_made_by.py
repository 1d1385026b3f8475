"""Which code made a run: who begins anew is alone, who goes on leaves those before named."""

from pathlib import Path

import pytest

from pipeline.runs import made_by


@pytest.fixture
def commit(monkeypatch):
    """Sets what git says: a commit, and changes of the working tree."""

    def say(head, changes=""):
        monkeypatch.setattr(made_by, "git", lambda command, *_: head if command == "rev-parse" else changes)

    return say


def test_a_run_that_begins_anew_names_its_commit_alone(tmp_path, commit):
    for head, changes in (("a" * 40, ""), ("b" * 40, " M nodekit/x.py")):
        commit(head, changes)
        made_by.sign(tmp_path / "run.csv", tmp_path / "seed1.pt")
    found = made_by.read(tmp_path / "run.csv")
    assert list(found["commit"]) == ["b" * 40]
    assert list(found["dirty"]) == [True]


@pytest.mark.parametrize("left", ["seed1.pt", "seed1-CNF 2.pt"])
def test_a_run_that_goes_on_leaves_those_before_named(tmp_path, commit, left):
    Path(tmp_path, left).touch()
    for head in "ab":
        commit(head)
        made_by.sign(tmp_path / "run.csv", tmp_path / "seed1.pt")
    assert list(made_by.read(tmp_path / "run.csv")["commit"]) == ["a", "b"]


def test_a_file_from_before_hashes_were_kept_has_an_empty_one_and_goes_on(tmp_path, commit):
    Path(tmp_path, "run.csv").write_text("commit,dirty,began\na,False,2000-01-01\n", encoding="utf-8")
    Path(tmp_path, "seed1.pt").touch()
    commit("b")
    made_by.sign(tmp_path / "run.csv", tmp_path / "seed1.pt", code="1f")
    assert list(made_by.read(tmp_path / "run.csv")["code"]) == ["", "1f"]


def test_another_seed_s_checkpoint_is_not_this_one_s(tmp_path):
    Path(tmp_path, "seed10.pt").touch()
    assert not made_by.goes_on(tmp_path / "seed1.pt")
