"""What a profile's runs have found so far, kept with the project in data/reference/<profile>.

`python -m pipeline.claims.reference pipeline/config/overnight.yaml`, which `make reference` calls, also after a run
that was stopped. A training that is under way counts for the epochs it has: its outcome is that of a shorter one, and
says so in the column `reduced`.

claims.csv      the published numbers that these runs answer, in the columns of results/tables/claims.csv
metrics.csv     every run's outcome
history.csv     accuracies, losses, evaluations and seconds of every training's epochs so far
made_by.csv     which commit began, or went on with, each run
provenance.json as results/provenance.json, of the last time that something was kept

What was kept before and is not among these results, of another machine perhaps, stays: a run that they lack or have
fewer epochs of counts as it was kept, and a published number that they do not answer keeps its row.
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

from pipeline.claims.claims import COLUMNS, clean, evaluate, key_of, load_claims
from pipeline.files import write_csv, write_text
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs import made_by
from pipeline.runs.columns import Source, Tables, labelled
from pipeline.runs.provenance import provenance
from pipeline.study import Run, Study, load_study, merge
from pipeline.train.tables import Record, history_table, metrics_table, timing_table

log = logging.getLogger(__name__)
TABLES = ("metrics", "history", "timing")
# What is kept of runs, a row naming its run: each table's file.
KEPT = {"metrics": "metrics.csv", "epochs": "history.csv", "made_by": "made_by.csv"}
RUN = ["experiment", "variant", "seed"]
SHOWN = [*RUN, "epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy", "nfe_forward", "nfe_backward"]
SHOWN += ["seconds", "epochs_planned", "data_source", "origin", "reduced"]


def keep(config: dict[str, Any], published: Path, reference: Path) -> Path | None:
    """Write what a profile's runs have found so far below `reference`; the folder, or None where there is nothing yet.

    Args:
        config: the profile's settings. published: the documents' numbers. reference: data/reference, or another folder.
    """
    study = load_study(config)
    target = reference / study.profile.profile
    found = [tables for run in study.runs() if (tables := complete_tables(study, run) or partial_tables(study, run))]
    if not found:
        return None
    new = {name: joined(found, name) for name in (*TABLES, "epochs")} | {"made_by": makers(study)}
    tables = with_kept(new, {name: read(target / file) for name, file in KEPT.items()})
    there = set(tables["metrics"].experiment)
    experiments = {name: experiment for name, experiment in study.experiments.items() if name in there}
    chosen = study.model_copy(update={"experiments": experiments})
    claims = with_kept_claims(answers(chosen, published, tables), read(target / "claims.csv"), published)
    record = provenance_with_kept(config, chosen, claims, tables["timing"], target / "provenance.json")
    write_csv(claims, target / "claims.csv")
    for name, file in KEPT.items():
        if len(tables[name]):
            write_csv(tables[name], target / file)
    write_text(json.dumps(record, indent=2), target / "provenance.json")
    return target


def joined(found: list[Tables], name: str) -> pd.DataFrame:
    """One table of all runs that have it."""
    parts = [tables[name] for tables in found if name in tables]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=RUN)
    return table[[column for column in SHOWN if column in table]] if name == "epochs" else table


def read(path: Path) -> pd.DataFrame:
    """A table that was kept; an empty one where none was."""
    return pd.read_csv(path, float_precision="round_trip") if path.is_file() else pd.DataFrame(columns=RUN)


def with_kept(new: Tables, kept: Tables) -> Tables:
    """The tables of these results, and what was kept of the runs that they lack or have fewer epochs of."""
    before, now = (tables["epochs"].groupby(RUN).size() for tables in (kept, new))
    shorter = {run for run, epochs in before.items() if epochs > now.get(run, 0)}
    replaced = (runs_of(new["metrics"]) | runs_of(new["made_by"])) - shorter
    older = {name: without(table, replaced) for name, table in kept.items()}
    older |= {"history": older["epochs"], "timing": pd.DataFrame(columns=RUN)}
    both = {name: [part for part in (older[name], without(table, shorter)) if len(part)] for name, table in new.items()}
    return {name: pd.concat(parts, ignore_index=True) if parts else new[name] for name, parts in both.items()}


def runs_of(table: pd.DataFrame) -> set[tuple]:
    """The runs that a table has rows of."""
    return set(table[RUN].itertuples(index=False, name=None))


def without(table: pd.DataFrame, runs: set[tuple]) -> pd.DataFrame:
    """The rows of other runs."""
    return table[[run not in runs for run in table[RUN].itertuples(index=False, name=None)]]


def answers(study: Study, published: Path, tables: Tables) -> pd.DataFrame:
    """The published numbers that the tables of a study's runs answer."""
    with tempfile.TemporaryDirectory() as folder:
        for experiment in tables["metrics"].experiment.unique():
            # Of an experiment that only another machine ran no seconds are kept.
            write_csv(pd.DataFrame(columns=[*RUN, "epoch", "seconds"]), Path(folder) / experiment / "timing.csv")
        for name in TABLES:
            for experiment, rows in tables[name].groupby("experiment"):
                write_csv(rows, Path(folder) / str(experiment) / f"{name}.csv")
        claims = evaluate(study, published, Path(folder), kept=[])
    # Runs side by side share the machine, and some are stopped and go on: their seconds are no measurement.
    return claims[(claims.n > 0) & (claims.metric != "seconds_per_epoch")]


def with_kept_claims(new: pd.DataFrame, kept: pd.DataFrame, published: Path) -> pd.DataFrame:
    """The answers of these results, and those kept before that they do not give, or give by fewer runs."""
    rows = {key_of(row): row for row in clean(kept).to_dict("records")} if len(kept) else {}
    for row in clean(new).to_dict("records"):
        if row["n"] >= rows.get(key_of(row), row)["n"]:
            rows[key_of(row)] = row
    known = [key_of(claim.model_dump()) for claim in load_claims(published)]
    return pd.DataFrame([rows[key] for key in known if key in rows], columns=COLUMNS)


def provenance_with_kept(
    config: dict[str, Any], chosen: Study, claims: pd.DataFrame, timing: pd.DataFrame, path: Path
) -> dict[str, Any]:
    """Where these results come from; of what else is kept, the experiments and the seconds of each run."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"runs": [], "data": []}
    names = {run.settings.dataset.name for run in chosen.runs() if run.settings.dataset}
    data = [Path(chosen.profile.data) / "processed" / f"{name}.json" for name in sorted(names)]
    experiments = list(dict.fromkeys([*chosen.experiments, *claims.id]))
    with tempfile.TemporaryDirectory() as folder:
        write_csv(timing, Path(folder) / "timing.csv")
        record = provenance(
            config | {"experiments": experiments},
            data=[path for path in data if path.is_file()],
            timing=[Path(folder) / "timing.csv"],
            benchmarks=Path(chosen.profile.results) / "benchmarks",
        )
    for name, keys in {"runs": RUN, "data": ["name"]}.items():
        there = [[entry.get(key) for key in keys] for entry in record[name]]
        record[name] += [entry for entry in before[name] if [entry.get(key) for key in keys] not in there]
    return record


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
