"""What comes from elsewhere is neither run nor unpickled, and nothing that it names decides where a file is written."""

import ast
import hashlib
import io
import logging
import os
import pickle
from pathlib import Path

import pytest
import torch

from pipeline.data import _downloads
from pipeline.runs import checkpoint as checkpoints
from tests.tiny_study import ROOT

CODE = sorted(path for folder in ("nodekit", "pipeline", "rscripts") for path in (ROOT / folder).rglob("*.py"))
# Functions that run or unpickle what they are given, or unpack an archive to the paths that it names.
FORBIDDEN = {
    *("eval", "exec", "os.system", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
    *("pickle.load", "pickle.loads", "joblib.load", "pd.read_pickle", "torch.hub.load", "torch.jit.load"),
    *("shutil.unpack_archive", "zipfile.extractall", "tarfile.extractall"),
}
# Arguments that such functions must or must not have.
NEEDED = {"torch.load": ("weights_only", True)}
UNWANTED = {"np.load": ("allow_pickle", True), "subprocess.run": ("shell", True), "subprocess.Popen": ("shell", True)}


def calls(path: Path):
    """Every call of a file: its name as written, and its keyword arguments that are constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            constants = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            yield ast.unparse(node.func), constants, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_runs_or_unpickles_what_it_reads(path):
    for name, constants, place in calls(path):
        assert name not in FORBIDDEN, place
        assert not name.endswith((".extractall", ".extract")) or "7z" in path.read_text(encoding="utf-8"), place
        if name in NEEDED:
            assert NEEDED[name] in constants.items(), place
        if name in UNWANTED:
            assert UNWANTED[name] not in constants.items(), place


def test_r_evaluates_no_file_but_its_own():
    found = [
        (path.name, line.strip())
        for path in (ROOT / "rscripts").rglob("*.R")
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#'")
        and any(f"{function}(" in line for function in ("eval(parse", "readRDS", "unserialize", "download.file"))
    ]
    # draw.R reads the functions beside it; training.R of nodekitr goes on from a file that its user names.
    assert sorted(name for name, _ in found) == ["draw.R", "training.R"]


class Attack:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_that_would_run_code_is_passed_over(tmp_path, caplog):
    buffer = io.BytesIO()
    torch.save({"fingerprint": "run", "state": Attack(tmp_path / "attacked")}, buffer)
    for payload in (buffer.getvalue(), pickle.dumps(Attack(tmp_path / "attacked")), b"PK"):
        path = tmp_path / "seed1.pt"
        path.write_bytes(hashlib.sha256(payload).digest() + payload)
        assert checkpoints.load(path, "run", logging.getLogger("test")) is None
    assert "is no checkpoint of ours" in caplog.text
    assert not (tmp_path / "attacked").exists()


def test_npm_is_told_to_run_no_scripts(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(_downloads.subprocess, "run", lambda command, **how: commands.append(command))
    place = _downloads.Npm(kind="npm", package="thing@1.0.0", path="thing/thing.tgz")
    _downloads.fetch_npm(place, ["a.bin"], tmp_path, limit=1000)
    assert "--ignore-scripts" in commands[0]
