"""What a study needs on 1, 8 and 64 workers: its runs, their measured or estimated seconds, and a list schedule.

`python -m pipeline.cluster.scale --results results --measured pipeline/config/default.yaml
--wanted pipeline/config/full.yaml` writes the table of docs/scale.md.
"""

from __future__ import annotations

import argparse
import heapq
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.files import write_between
from pipeline.study import WHOLE, Run, Study, flattened, load_study

PAGE = Path("docs/scale.md")
BEGIN, END = "<!-- scale: begin -->\n", "<!-- scale: end -->\n"
WORKERS = (1, 8, 64)
# Settings that a run's time grows with, and with which power of them; a step's size with the inverse.
POWERS = {"epochs": 1, "dataset.train_images": 1, "solver.step_size": -1, "model.arguments.filters": 2}
POWERS |= {"arguments.iterations": 1, "arguments.samples": 1}
# A run that needs no training, and of which nothing is measured or expected.
LEAST_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """One run: its name, its seconds on one worker, and the names of the jobs that must end before it starts."""

    name: str
    seconds: float
    needs: tuple[str, ...] = ()


def schedule(jobs: list[Job], workers: int) -> float:
    """The seconds until the last job ends when a free worker takes the longest job that may start.

    Raises ValueError where jobs wait for each other, or for one that is not there.
    """
    waiting = {job.name: set(job.needs) for job in jobs}
    ready = [(-job.seconds, job.name) for job in jobs if not job.needs]
    heapq.heapify(ready)
    by_name = {job.name: job for job in jobs}
    running: list[tuple[float, str]] = []
    now, ended = 0.0, 0
    while ready or running:
        while ready and len(running) < workers:
            seconds, name = heapq.heappop(ready)
            heapq.heappush(running, (now - seconds, name))
        now, done = heapq.heappop(running)
        ended += 1
        for name, needs in waiting.items():
            if done in needs:
                needs.remove(done)
                if not needs:
                    heapq.heappush(ready, (-by_name[name].seconds, name))
    if ended < len(jobs):
        raise ValueError(f"these jobs can never start: {', '.join(name for name, needs in waiting.items() if needs)}")
    return now


def growth(wanted: Run, measured: Run) -> float:
    """How many times longer `wanted` takes than `measured`, another size of the same variant, by `POWERS`."""
    before, after = sizes(measured), sizes(wanted)
    factor = 1.0
    for path, power in POWERS.items():
        if before.get(path) and after.get(path):
            factor *= (after[path] / before[path]) ** power
    return factor


def sizes(run: Run) -> dict[str, Any]:
    """The settings of a run by dotted path; where all images are trained on, their number."""
    flat = flattened(run.settings.model_dump())
    # Where the parts of a run have iterations of their own, their sum.
    parts = [value for path, value in flat.items() if path.endswith(".iterations")]
    if parts:
        flat["arguments.iterations"] = sum(parts)
    if run.settings.dataset:
        flat["dataset.train_images"] = flat["dataset.train_images"] or WHOLE[run.settings.dataset.name]["train_images"]
    return flat


def measured_seconds(results: Path, run: Run) -> tuple[float, float] | None:
    """The seconds of a run that grow with its sizes, and those that do not; None where it was not measured.

    Both are Snakemake's benchmark of it; what grows are its epochs, where they were timed.
    """
    path = results / "benchmarks" / "runs" / run.experiment / run.variant / f"seed{run.seed}.tsv"
    if not path.is_file():
        return None
    whole = float(pd.read_csv(path, sep="\t").s.sum())
    timing = results / "runs" / run.folder / "timing.csv"
    growing = min(whole, float(pd.read_csv(timing).seconds.sum())) if timing.is_file() else whole
    return growing, whole - growing


def jobs_of(wanted: Study, measured: Study, results: Path) -> tuple[list[Job], int]:
    """The runs of `wanted` as jobs, and how many of their times are grown from a measured one of the same variant."""
    jobs, known = [], 0
    for run in wanted.runs():
        seconds, was_measured = grown_seconds(run, measured, results)
        known += was_measured
        trained = wanted.trained(run)
        jobs.append(Job(run.folder, seconds, (trained.folder,) if trained else ()))
    return jobs, known


def grown_seconds(run: Run, measured: Study, results: Path) -> tuple[float, bool]:
    """The seconds of a run, grown with the sizes from one of `measured`, and whether that was of the same variant.

    Of a variant that was left out, the longest of the experiment's other variants stands for it; where none was
    measured, the seconds that the measured profile expects.
    """
    same = measured.run(run.experiment, run.variant, 1)
    others = [measured.run(run.experiment, variant, 1) for variant in measured.experiments[run.experiment].variants]
    for smaller in ([same], others):
        grown = []
        for small in smaller:
            if seconds := measured_seconds(results, small):
                growing, fixed = seconds
                grown.append(fixed + growing * growth(run, small))
        if grown:
            return max(grown), smaller == [same]
    return (measured.expected_seconds(same) or LEAST_SECONDS) * growth(run, same), False


def table(jobs: list[Job], known: int, wanted: str, measured: str) -> str:
    """What the jobs need on each number of workers, in Markdown."""
    busy = sum(job.seconds for job in jobs)
    longest = max(jobs, key=lambda job: job.seconds)
    lines = [
        f"Profile `{wanted}`: {len(jobs)} runs, {hours(busy)} of work; the longest is {longest.name} with "
        f"{hours(longest.seconds)}. The times of {known} runs are measured at the sizes of profile `{measured}` and "
        f"grown to these; of {len(jobs) - known} that it leaves out, the longest of the same experiment is, or what it "
        "expects.",
        "",
        "| workers | until the last run ends | worker-hours paid | of them busy |",
        "|---:|---:|---:|---:|",
    ]
    for workers in WORKERS:
        end = schedule(jobs, workers)
        lines.append(f"| {workers} | {hours(end)} | {workers * end / 3600:.1f} | {100 * busy / workers / end:.0f}% |")
    return "\n".join(lines) + "\n"


def hours(seconds: float) -> str:
    """Seconds in words: hours, or minutes where there are few."""
    minutes = math.ceil(seconds / 60)
    return f"{seconds / 3600:.1f} hours" if minutes >= 60 else "a minute" if minutes <= 1 else f"{minutes} minutes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--measured", type=Path, default=Path("pipeline/config/default.yaml"))
    parser.add_argument("--wanted", type=Path, default=Path("pipeline/config/full.yaml"))
    parser.add_argument("--page", type=Path, default=PAGE)
    chosen = parser.parse_args()
    wanted, measured = (
        load_study(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in (chosen.wanted, chosen.measured)
    )
    jobs, known = jobs_of(wanted, measured, chosen.results)
    text = table(jobs, known, wanted.profile.profile, measured.profile.profile)
    write_between(text, chosen.page, BEGIN, END)
    print(text)


if __name__ == "__main__":
    main()
