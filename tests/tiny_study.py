"""The tiny study of pipeline/config/ci.yaml, run in a copy of this checkout."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def study_command(*arguments, cores=2):
    """The tiny study's command line."""
    return ["snakemake", "--cores", str(cores), "--configfile", "pipeline/config/ci.yaml", *arguments]


def study_environment():
    """What this checkout has downloaded serves as the mirror of its copies."""
    downloads = ROOT / "data" / "raw"
    mirror = {"NODEKIT_MIRROR": str(downloads)} if downloads.is_dir() else {}
    return {**mirror, **os.environ}


def snakemake(folder, *arguments, cores=2):
    """Runs the tiny study of `folder` to its end."""
    command = study_command(*arguments, cores=cores)
    return subprocess.run(command, cwd=folder, env=study_environment(), capture_output=True, text=True, timeout=3600)


def copy_checkout(folder):
    """A clean copy of this checkout as it stands, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
