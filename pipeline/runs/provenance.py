"""Where results come from: commit, configuration, data, versions, device and run times."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.runs.exclusive import own_version

PACKAGES = ["torch", "torchvision", "numpy", "pandas", "snakemake", "rpy2", "lightning-fabric", "scikit-image"]


def provenance(config: dict[str, Any], data: list[Path], timing: list[Path], benchmarks: Path) -> dict[str, Any]:
    """Everything a reader needs to judge or repeat the results, as JSON-ready values."""
    runs = seconds_by_run(timing)
    stages = seconds_by_stage(benchmarks)
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain")),
        "profile": config["profile"],
        "configuration": config,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": {
            "nodekit": own_version(),
            "Python": platform.python_version(),
            "R": output("Rscript", "-e", "cat(as.character(getRversion()))"),
            **{package: version(package) for package in PACKAGES},
        },
        "data": [json.loads(path.read_text(encoding="utf-8")) for path in data],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": float(sum(stage["seconds"] for stage in stages)),
        "stages": stages,
        "derivative_seconds": float(sum(run["derivative_seconds"] for run in runs)),
        "runs": runs,
    }


def seconds_by_run(timing: list[Path]) -> list[dict[str, Any]]:
    """Seconds of every run, and how many of a training's its ODEs' derivatives took, with their gradients."""
    if not timing:
        return []
    keys = ["experiment", "variant", "variant_name", "seed", "device", "threads"]
    # What is not a training has no share.
    runs = pd.concat(map(pd.read_csv, timing)).reindex(columns=[*keys, "seconds", "derivative_share"])
    # Tables of runs that were never stacked name no variants.
    runs["variant_name"] = runs.variant_name.fillna(runs.variant)
    runs["derivative_seconds"] = runs.seconds * runs.derivative_share.fillna(0.0)
    return runs.groupby(keys, as_index=False, sort=False)[["seconds", "derivative_seconds"]].sum().to_dict("records")


def seconds_by_stage(benchmarks: Path) -> list[dict[str, Any]]:
    """Jobs, wall seconds and processor seconds of each stage, as Snakemake measured them; the longest first.

    Args:
        benchmarks: a folder a stage, below it a .tsv a job.
    """
    stages = []
    for folder in sorted(path for path in benchmarks.glob("*") if path.is_dir()):
        jobs = [pd.read_csv(path, sep="\t", na_values="-") for path in sorted(folder.rglob("*.tsv"))]
        if jobs:
            jobs = pd.concat(jobs)
            seconds = {"seconds": float(jobs.s.sum()), "cpu_seconds": float(jobs.cpu_time.sum())}
            stages.append({"stage": folder.name, "jobs": len(jobs), **seconds})
    return sorted(stages, key=lambda stage: -stage["seconds"])


def git(*arguments: str) -> str:
    """What git says of this checkout; empty where there is none."""
    # Without locks: a run that is stopped here would leave one behind, and several ask at once.
    return output("git", "--no-optional-locks", *arguments)


def output(*command: str) -> str:
    """The output of a command; empty where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_name() -> str:
    """The processor's name as the system tells it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
