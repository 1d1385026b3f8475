"""The tiny study of pipeline/config/ci.yaml, run in a copy of this checkout."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def without_network():
    """The beginning of a command that runs the rest without any network; empty where the machine has no such means."""
    for command in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return []


def study_command(*arguments, cores=2):
    """The tiny study's command line."""
    return ["snakemake", "--cores", str(cores), "--configfile", "pipeline/config/ci.yaml", *arguments]


def study_environment(mirror=ROOT / "data" / "raw"):
    """What this checkout has downloaded serves as the mirror of its copies, unless another is named."""
    return {**({"NODEKIT_MIRROR": str(mirror)} if mirror.is_dir() else {}), **os.environ}


def snakemake(folder, *arguments, cores=2, under=(), **named):
    """Runs the tiny study of `folder` to its end, `under` another command; named: of `study_environment`."""
    command = [*under, *study_command(*arguments, cores=cores)]
    environment = study_environment(**named)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600)


def copy_checkout(folder):
    """A clean copy of this checkout as it stands, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
