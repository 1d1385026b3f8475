"""What a profile's runs have found so far, kept with the project in data/reference/<profile>.

`python -m pipeline.claims.reference pipeline/config/overnight.yaml`, which `make reference` calls, also after a run
that was stopped. A training that is under way counts for the epochs it has: its outcome is that of a shorter one, and
says so in the column `reduced`.

claims.csv      the published numbers that these runs answer, in the columns of results/tables/claims.csv
history.csv     accuracies, losses, evaluations and seconds of every training's epochs so far
made_by.csv     which commit began, or went on with, each run
provenance.json as results/provenance.json
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pipeline.claims.claims import evaluate
from pipeline.files import write_csv, write_text
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs import made_by
from pipeline.runs.columns import Source, Tables, labelled
from pipeline.runs.provenance import provenance
from pipeline.study import Run, Study, load_study, merge
from pipeline.train.tables import Record, history_table, metrics_table, timing_table

log = logging.getLogger(__name__)
TABLES = ("metrics", "history", "timing")
SHOWN = ["experiment", "variant", "seed", "epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy"]
SHOWN += ["nfe_forward", "nfe_backward", "seconds", "epochs_planned", "data_source", "origin", "reduced"]


def keep(config: dict[str, Any], published: Path, reference: Path) -> Path | None:
    """Write what a profile's runs have found so far below `reference`; the folder, or None where there is nothing yet.

    Args:
        config: the profile's settings. published: the documents' numbers. reference: data/reference, or another folder.
    """
    study = load_study(config)
    with tempfile.TemporaryDirectory() as folder:
        tables, found = Path(folder), {}
        for run in study.runs():
            made = complete_tables(study, run) or partial_tables(study, run)
            if made:
                found.setdefault(run.experiment, []).append(made)
        if not found:
            return None
        for experiment, parts in found.items():
            for name in TABLES:
                rows = [part[name] for part in parts if name in part]
                if rows:
                    write_csv(pd.concat(rows, ignore_index=True), tables / experiment / f"{name}.csv")
        chosen = study.model_copy(update={"experiments": {name: study.experiments[name] for name in found}})
        claims = evaluate(chosen, published, tables, kept=[])
        data = sorted({run.settings.dataset.name for run in chosen.runs() if run.settings.dataset})
        record = provenance(
            {**config, "experiments": list(found)},
            data=[Path(study.profile.data) / "processed" / f"{name}.json" for name in data],
            timing=sorted(tables.glob("*/timing.csv")),
            benchmarks=Path(study.profile.results) / "benchmarks",
        )
    target = reference / study.profile.profile
    # Runs side by side share the machine, and some are stopped and go on: their seconds are no measurement.
    write_csv(claims[(claims.n > 0) & (claims.metric != "seconds_per_epoch")], target / "claims.csv")
    epochs = [part["epochs"] for parts in found.values() for part in parts if "epochs" in part]
    if epochs:
        table = pd.concat(epochs, ignore_index=True)
        write_csv(table[[column for column in SHOWN if column in table]], target / "history.csv")
    write_csv(makers(study), target / "made_by.csv")
    write_text(json.dumps(record, indent=2), target / "provenance.json")
    return target


def complete_tables(study: Study, run: Run) -> Tables:
    """The tables of a run that ended; none of one that did not."""
    folder = Path(study.profile.results) / "runs" / run.folder
    if not (folder / "metrics.csv").is_file():
        return {}
    tables = {table: pd.read_csv(path) for table in TABLES if (path := folder / f"{table}.csv").is_file()}
    return with_epochs(run, tables)


def partial_tables(study: Study, run: Run) -> Tables:
    """The tables of a training under way, of its complete epochs; none where there is none."""
    path = Path(study.profile.results) / "checkpoints" / f"{run.folder}.pt"
    dataset = run.settings.dataset
    source = Path(study.profile.data) / "processed" / f"{dataset.name}.json" if dataset else None
    if run.kind != "train" or not path.exists() or not source.is_file():
        return {}
    words = json.loads(source.read_text(encoding="utf-8"))
    wanted = checkpoints.fingerprint(run, words["data_source"], study.profile.precision)
    state = checkpoints.load(path, wanted, log, aside=False)
    if state is None or not state["record"]["history"]:
        return {}
    record, source = Record(**state["record"]), Source(words["data_source"], words["origin"])
    shorter = of_epochs(study, run, len(record.history))
    parameters = sum(parameter.numel() for parameter in state["model"].values())
    tables = {
        "metrics": metrics_table(shorter, source, record, parameters),
        "history": history_table(shorter, source, record),
        "timing": timing_table(run, record, float("nan"), "cpu", run.settings.threads),
    }
    return with_epochs(run, tables)


def with_epochs(run: Run, tables: Tables) -> Tables:
    """The tables, and of a training also its epochs with their seconds and how many were planned."""
    if run.kind != "train":
        return tables
    seconds = tables["timing"].set_index("epoch").seconds
    history = tables["history"]
    return tables | {"epochs": history.assign(seconds=history.epoch.map(seconds), epochs_planned=run.settings.epochs)}


def of_epochs(study: Study, run: Run, epochs: int) -> Run:
    """The run with fewer epochs, which its `reduced` says."""
    overrides = merge(study.profile.overrides, {f"{run.experiment}/{run.variant}": {"epochs": epochs}})
    profile = study.profile.model_copy(update={"overrides": overrides})
    return study.model_copy(update={"profile": profile}).run(run.experiment, run.variant, run.seed)


def makers(study: Study) -> pd.DataFrame:
    """Which commits made each run that began."""
    folder = Path(study.profile.results) / "made_by"
    parts = [labelled(run, made_by.read(folder / f"{run.folder}.csv")) for run in study.runs()]
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Keep what the profiles named on the command line have found so far."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for path in map(Path, sys.argv[1:]):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        target = keep(config, Path("data/published/claims.csv"), Path("data/reference"))
        log.info("%s: %s", path, f"kept in {target}" if target else "no run has ended an epoch yet")


if __name__ == "__main__":
    main()
