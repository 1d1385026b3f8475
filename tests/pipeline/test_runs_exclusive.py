"""Two studies in one folder: the second is told so; a killed one leaves the folder free."""

import signal
import subprocess
import sys

import pytest

from pipeline.runs.exclusive import OtherVersion, StudyRunning, hold

HOLDER = (
    "import sys, time; from pathlib import Path; from pipeline.runs.exclusive import hold; "
    "lock = hold(Path(sys.argv[1]));"
)


@pytest.fixture
def holder(tmp_path):
    """A process that holds tmp_path."""
    command = [sys.executable, "-c", HOLDER + "print('held', flush=True); time.sleep(60)", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_study_is_told_which_process_holds_the_folder(holder, tmp_path):
    with pytest.raises(StudyRunning, match=f"process {holder.pid}"):
        hold(tmp_path)


def test_a_killed_study_leaves_the_folder_free(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    hold(tmp_path).close()


def test_results_of_another_version_are_refused_and_left_alone(tmp_path):
    hold(tmp_path).close()
    hold(tmp_path).close()
    (tmp_path / ".version").write_text("0.0.1\n")
    (tmp_path / "kept.csv").write_text("x\n")
    with pytest.raises(OtherVersion, match=r"results of version 0\.0\.1, this is .*move or remove them"):
        hold(tmp_path)
    assert (tmp_path / ".version").read_text() == "0.0.1\n"
    assert (tmp_path / "kept.csv").read_text() == "x\n"
