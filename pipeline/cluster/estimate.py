"""How long a profile's runs will still take on this machine, said as a study starts and goes on, and by `make left`.

A profile expects seconds of its runs on one machine; how this one compares is measured: by the runs that it has
finished, or else in a few seconds with a convolution and its gradient, of which most of those seconds are made.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from pipeline.cluster.scale import LEAST_SECONDS, Job, hours, measured_seconds, schedule
from pipeline.study import Run, Study, load_study

# Processor seconds of the probe on the machine whose seconds the profiles expect.
EXPECTED_PROBE = 0.0058
PROBE_SECONDS = 3.0
# Fewer expected seconds in finished runs than this say less than the probe does.
ENOUGH_SECONDS = 60.0


@functools.cache
def probe(seconds: float = PROBE_SECONDS) -> float:
    """Processor seconds of the gradient of a convolution, 64 filters on 32 images of 14 × 14, by one thread: the least.

    Processor seconds, and the least of them: what else the machine does now is not its speed.
    Measured once in a process: what is said later is compared with what was said before.
    """
    import torch  # here: a study that has all its runs starts without it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        layer, images = torch.nn.Conv2d(64, 64, 3, padding=1), torch.randn(32, 64, 14, 14, requires_grad=True)
        times, began = [], time.process_time()
        while len(times) < 3 or time.process_time() - began < seconds:
            before = time.process_time()
            layer(images).sum().backward()
            times.append(time.process_time() - before)
    finally:
        torch.set_num_threads(threads)
    return min(times)


def slowness(study: Study, results: Path, measure=probe) -> tuple[float, str]:
    """How many times the expected seconds this machine takes, and by what that was measured."""
    finished = [(study.expected_seconds(run), measured_seconds(results, run)) for run in study.runs()]
    pairs = [(expected, sum(found)) for expected, found in finished if expected and found]
    expected = sum(pair[0] for pair in pairs)
    if expected >= ENOUGH_SECONDS:
        return sum(pair[1] for pair in pairs) / expected, "by the runs that are finished"
    return measure() / EXPECTED_PROBE, "by a convolution and its gradient"


def left(study: Study, results: Path) -> list[Run]:
    """The runs whose outcome is not there yet."""
    return [run for run in study.runs() if not (results / "runs" / run.folder / "metrics.csv").is_file()]


def announcement(study: Study, workers: int, measure=probe) -> str:
    """What is left of a study and how long it will take here, in words; a run under way counts whole.

    Args:
        workers: runs at a time, such as cores.
        measure: gives the probe's seconds.
    """
    results = Path(study.profile.results)
    runs = left(study, results)
    name = f"Profile {study.profile.profile}"
    if not runs:
        return f"{name}: all {len(study.runs())} runs are there."
    ahead = {run.folder for run in runs}
    factor, how = slowness(study, results, measure)
    jobs = []
    for run in runs:
        trained = study.trained(run)
        needs = (trained.folder,) if trained and trained.folder in ahead else ()
        jobs.append(Job(run.folder, factor * (study.expected_seconds(run) or LEAST_SECONDS), needs))
    longest = max(jobs, key=lambda job: job.seconds)
    return (
        f"{name}: {len(runs)} of {len(study.runs())} runs are left. This machine takes {factor:.2g} times the seconds "
        f"that the profile expects ({how}): about {hours(schedule(jobs, workers))}, {workers} at a time; the longest, "
        f"{longest.name}, {hours(longest.seconds)}. Figures and report come after that."
    )


def announce_progress(
    study: Study, workers: int, wait: Callable[[], bool], say: Callable[[str], None] = print, measure=probe
) -> None:
    """Say what is left when runs have ended since it was last said, until none is.

    Args:
        workers: as of `announcement`.
        wait: returns when it is time to look again; True ends it.
    """
    results = Path(study.profile.results)
    before = len(left(study, results))
    while before and not wait():
        now = len(left(study, results))
        if now < before:
            try:
                say(announcement(study, workers, measure))
            except (AttributeError, OSError, ValueError):
                continue  # A table is just being written: it is said at the next look.
        before = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", type=Path, nargs="?", default=Path("pipeline/config/default.yaml"))
    parser.add_argument("--workers", default="all", help="runs at a time; all: as many as there are cores")
    chosen = parser.parse_args()
    workers = os.cpu_count() or 1 if chosen.workers == "all" else int(chosen.workers)
    print(announcement(load_study(yaml.safe_load(chosen.profile.read_text(encoding="utf-8"))), workers))


if __name__ == "__main__":
    main()
