"""The set-up on machines that lack things: it names what is missing, or turns to conda."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = ["sh", "cat", "cksum", "dirname", "id", "env", "printf", "mkdir", "chmod", "date", "du", "cut"]


@pytest.fixture
def bare(tmp_path):
    """A checkout on a machine with Python and the simplest commands, and nothing else."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in TOOLS:
        (commands / tool).symlink_to(shutil.which(tool))
    (commands / "python3").symlink_to(Path(sys._base_executable).resolve())
    (tmp_path / "pipeline").mkdir()
    for name in ("pipeline/setup.sh", "uv.lock", "environment.yml"):
        shutil.copy(name, tmp_path / name)
    return tmp_path


def set_up(folder):
    """Runs the set-up with the bare machine's commands only."""
    environment = {"PATH": str(folder / "bin"), "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        ["sh", "pipeline/setup.sh"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_what_is_missing_is_named_with_how_to_get_it(bare):
    done = set_up(bare)
    assert done.returncode == 1
    assert "missing: Rscript" in done.stderr
    assert "apt-get install r-base-core" in done.stderr
    assert "conda" in done.stderr


def test_where_there_is_conda_it_installs_from_environment_yml_once(bare):
    conda = bare / "bin" / "conda"
    # Stands for conda: notes its arguments, and makes the commands the set-up looks for.
    conda.write_text(
        '#!/bin/sh\necho "$@" >>asked\nmkdir -p .conda/bin\n'
        "for name in python Rscript; do printf '#!/bin/sh\\n' >.conda/bin/$name; chmod +x .conda/bin/$name; done\n"
    )
    conda.chmod(0o755)
    first, second = set_up(bare), set_up(bare)
    assert first.returncode == second.returncode == 0
    assert re.search(r"installed: \.conda \(\d\S*\), \d+ s after the start", first.stderr)
    assert second.stderr == ""
    assert (bare / "asked").read_text().splitlines() == ["env create --yes --prefix .conda --file environment.yml"]


def test_an_old_python_is_refused(bare):
    (bare / "bin" / "python3").unlink()
    (bare / "bin" / "python3").write_text('#!/bin/sh\necho "Python 3.9.2"; exit 1\n')
    (bare / "bin" / "python3").chmod(0o755)
    done = set_up(bare)
    assert done.returncode == 1
    assert "Python >= 3.11 (found: Python 3.9.2)" in done.stderr
