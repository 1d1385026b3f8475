"""What a study says of the time that it will take: by hand, for a machine whose speed is given."""

import pytest

from pipeline.cluster.estimate import EXPECTED_PROBE, announce_progress, announcement, left, probe, slowness
from pipeline.study import load_study


def study(results, **config):
    seconds = {"P1": 30, "P2": 90}
    config = {"profile": "test", "experiments": ["P1", "P2"], "expected_seconds": seconds, **config}
    return load_study({**config, "results": str(results)})


def finish(results, run, seconds):
    outcome = results / "runs" / run.folder / "metrics.csv"
    outcome.parent.mkdir(parents=True)
    outcome.touch()
    file = results / "benchmarks/runs" / run.experiment / run.variant / f"seed{run.seed}.tsv"
    file.parent.mkdir(parents=True)
    file.write_text(f"s\n{seconds}\n", encoding="utf-8")


def test_a_machine_half_as_fast_takes_twice_the_seconds(tmp_path):
    words = announcement(study(tmp_path), 1, measure=lambda: 2 * EXPECTED_PROBE)
    assert "2 of 2 runs are left" in words
    assert "takes 2 times the seconds" in words
    assert "about 4 minutes, 1 at a time" in words
    assert "the longest, P2/main/seed1, 3 minutes" in words


def test_runs_at_a_time_share_the_work(tmp_path):
    assert "about 2 minutes, 2 at a time" in announcement(study(tmp_path), 2, measure=lambda: EXPECTED_PROBE)


def test_what_is_there_is_not_left_and_its_seconds_say_how_fast_the_machine_is(tmp_path):
    whole = study(tmp_path)
    done = whole.runs("P2")[0]
    finish(tmp_path, done, 270)
    assert [run.experiment for run in left(whole, tmp_path)] == ["P1"]
    assert slowness(whole, tmp_path, measure=None) == (3.0, "by the runs that are finished")
    assert "1 of 2 runs are left" in announcement(whole, 1, measure=None)


def test_a_few_seconds_of_finished_runs_do_not_say_how_fast_a_machine_is(tmp_path):
    whole = study(tmp_path)
    finish(tmp_path, whole.runs("P1")[0], 600)
    assert slowness(whole, tmp_path, measure=lambda: EXPECTED_PROBE)[0] == 1


def test_a_study_that_is_there_says_so(tmp_path):
    whole = study(tmp_path)
    for run in whole.runs():
        finish(tmp_path, run, 1)
    assert "all 2 runs are there" in announcement(whole, 1)


def test_what_is_left_is_said_as_runs_end_and_at_no_other_time(tmp_path):
    whole = study(tmp_path)
    first, second = whole.runs()
    events = iter(
        [lambda: None, lambda: finish(tmp_path, second, 180), lambda: None, lambda: finish(tmp_path, first, 9)]
    )
    said = []

    def wait():
        next(events)()
        return False

    announce_progress(whole, 1, wait, said.append, measure=None)
    assert len(said) == 2  # and it ended, though `wait` never said so
    assert "1 of 2 runs are left. This machine takes 2 times the seconds" in said[0]
    assert "all 2 runs are there" in said[1]


def test_a_table_that_is_just_being_written_is_read_at_the_next_look(tmp_path):
    whole = study(tmp_path)
    run = whole.runs("P2")[0]
    table = tmp_path / "benchmarks/runs" / run.experiment / run.variant / "seed1.tsv"
    steps = iter([lambda: (finish(tmp_path, run, 180), table.write_text("")), lambda: table.write_text("s\n180\n")])
    said = []

    def wait():
        step = next(steps, None)
        return step is None or step() is None

    announce_progress(whole, 1, wait, said.append, measure=None)
    assert len(said) == 1
    assert "2 times the seconds" in said[0]


def test_what_is_left_is_no_longer_said_when_the_wait_says_so(tmp_path):
    announce_progress(study(tmp_path), 1, lambda: True, pytest.fail)


def test_the_probe_measures_some_processor_time():
    assert probe(0) == pytest.approx(EXPECTED_PROBE, rel=10)
