"""The code that a run depends on, as one hash, so that what is kept can tell whether it is older than the code.

Of files, not of commits: it says the same in a source tree without git.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pipeline.study import Run

ROOT = Path(__file__).parents[2]
# What every run computes with; the folder of its kind, in which its function is, comes to that.
SHARED = ["nodekit", "pipeline/data", "pipeline/models", "pipeline/runs", "pipeline/train"]


def code_files(kind: str, root: Path = ROOT) -> list[Path]:
    """The files that a run of this kind depends on, in a fixed order."""
    own = root.glob("rscripts/**/*.R") if kind == "r" else root.glob(f"pipeline/{kind}/**/*.py")
    shared = (path for folder in SHARED for path in (root / folder).glob("**/*.py"))
    return sorted({*own, *shared})


def code_of(run: Run, root: Path = ROOT) -> str:
    """A hash of the run's function and settings and of the files that it depends on, by their names and lines."""
    settings = run.parameters()["settings"]
    digest = hashlib.sha256(json.dumps([run.kind, run.function, settings], sort_keys=True).encode())
    for path in code_files(run.kind, root):
        # As text: line ends differ between checkouts.
        digest.update(json.dumps([path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")]).encode())
    return digest.hexdigest()
