"""A run that was killed goes on and ends with the bytes of an undisturbed one; only its own sound checkpoints count."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import SCENARIOS, TABLES, tiny_run, tiny_splits, tiny_train

from pipeline.train import TrainingError, loop


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The tables of a run that was left alone."""
    folder = tiny_train(tmp_path_factory.mktemp("undisturbed") / "run")
    return {name: (folder / name).read_bytes() for name in TABLES}


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


class Stopped(Exception):
    """Stands for whatever ends a process."""


def stop_in_batch(monkeypatch, folder, count):
    """Train until the `count`-th batch of this call begins."""
    calls = iter(range(1, 1000))
    original = loop.Training.train_batch

    def train_batch(self, *batch):
        if next(calls) == count:
            raise Stopped
        original(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "train_batch", train_batch)
        with pytest.raises(Stopped):
            tiny_train(folder)


def test_killed_at_many_moments_and_restarted_ends_with_the_same_bytes(tmp_path, undisturbed):
    command = [sys.executable, Path(__file__).with_name("tiny_training.py"), tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    killed = [int(count) for count in finished.stdout.split()]
    for name, count in zip(SCENARIOS, killed, strict=True):
        assert count >= len(SCENARIOS[name][1].split())
        assert tables(tmp_path / name) == undisturbed
        assert list(tmp_path.glob(f"{name}.pt*")) == []


def test_goes_on_in_the_middle_of_an_epoch(tmp_path, undisturbed, monkeypatch, caplog):
    caplog.set_level("INFO")
    stop_in_batch(monkeypatch, tmp_path / "run", 9)
    assert list((tmp_path / "run").iterdir()) == []
    assert tables(tiny_train(tmp_path / "run")) == undisturbed
    assert "goes on from epoch 2, batch 2" in caplog.text
    assert not (tmp_path / "run.pt").exists()


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-100], lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:], lambda b: b""]
)
def test_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, undisturbed, monkeypatch, caplog, damage):
    caplog.set_level("INFO")
    stop_in_batch(monkeypatch, tmp_path / "run", 9)
    checkpoint = tmp_path / "run.pt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    assert tables(tiny_train(tmp_path / "run")) == undisturbed
    assert "run.pt is damaged" in caplog.text
    assert "goes on from epoch 2, batch 1" in caplog.text


def test_begins_anew_when_every_checkpoint_is_damaged(tmp_path, undisturbed, monkeypatch):
    stop_in_batch(monkeypatch, tmp_path / "run", 9)
    for checkpoint in tmp_path.glob("run.pt*"):
        checkpoint.write_bytes(b"no checkpoint")
    assert tables(tiny_train(tmp_path / "run")) == undisturbed


@pytest.mark.parametrize(
    "other",
    [{"run": tiny_run(optimizer={"name": "SGD", "arguments": {"lr": 0.1}})}, {"splits": tiny_splits("other numbers")}],
    ids=["settings", "data"],
)
def test_checkpoint_of_other_settings_or_data_is_set_aside(tmp_path, monkeypatch, caplog, other):
    stop_in_batch(monkeypatch, tmp_path / "run", 9)
    resumed = tiny_train(tmp_path / "run", **other)
    assert "made with other settings or data" in caplog.text
    assert (tmp_path / "run.pt.other-settings").exists()
    assert tables(resumed) == tables(tiny_train(tmp_path / "fresh", **other))


def test_number_of_seeds_does_not_matter_to_a_checkpoint(tmp_path, undisturbed, monkeypatch, caplog):
    caplog.set_level("INFO")
    stop_in_batch(monkeypatch, tmp_path / "run", 9)
    assert tables(tiny_train(tmp_path / "run", run=tiny_run(seeds=7))) == undisturbed
    assert "goes on" in caplog.text


def test_full_disk_is_one_clear_message_and_loses_nothing(tmp_path, undisturbed, monkeypatch):
    stop_in_batch(monkeypatch, tmp_path / "run", 9)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match=r"T1 tiny seed 1: cannot write .*No space left.*Make room"):
            tiny_train(tmp_path / "run")
    assert list(tmp_path.glob(".run.pt*")) == []
    assert tables(tiny_train(tmp_path / "run")) == undisturbed
