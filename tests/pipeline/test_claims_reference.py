"""What a profile's runs have found so far is kept: complete ones, and trainings by the epochs that they have."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from pipeline.claims.reference import keep
from pipeline.files import write_csv
from pipeline.runs import checkpoint as checkpoints
from pipeline.runs import made_by
from pipeline.runs.function import function_of
from pipeline.study import load_study

PUBLISHED = Path("data/published/claims.csv")
EPOCH = {"train_loss": 0.2, "test_loss": 0.1, "train_accuracy": 95.0, "test_accuracy": 97.5, "most_predicted": 12.0}
EPOCH |= {"nfe_forward": 1.0, "nfe_backward": 1.0, "learning_rate": 0.1}


def begin_training(config, history, seconds):
    """Leave a training by its checkpoint after the epochs of `history`."""
    run = load_study(config).run("M3", "adjoint_euler", 1)
    results = Path(config["results"])
    made_by.sign(results / "made_by" / f"{run.folder}.csv")
    record = {"epoch": len(history) + 1, "history": history, "timing": seconds}
    state = {"fingerprint": checkpoints.fingerprint(run, "MNIST", "32-true"), "record": record}
    checkpoints.save(state | {"model": {"w": torch.zeros(7)}}, results / "checkpoints" / f"{run.folder}.pt")


@pytest.fixture
def config(tmp_path):
    """A study of which one run is complete, one is in its third epoch, and the others did not begin."""
    config = {"profile": "night", "experiments": ["P3", "M3"], "overrides": {"M3": {"seeds": 1, "epochs": 10}}}
    config |= {"results": str(tmp_path / "results"), "data": str(tmp_path / "data")}
    study = load_study(config)
    computed = study.run("P3", "main", 1)
    for name, table in function_of(computed)(computed).items():
        write_csv(table, tmp_path / "results" / "runs" / computed.folder / f"{name}.csv")
    source = {"name": "mnist", "data_source": "MNIST", "origin": "real"}
    path = tmp_path / "data" / "processed" / "mnist.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(source))
    begin_training(config, [EPOCH, EPOCH | {"test_accuracy": 98.25}], [30.0, 20.0])
    return config


def test_complete_runs_and_epochs_so_far_are_kept(config, tmp_path):
    folder = keep(config, PUBLISHED, tmp_path / "kept")
    assert folder == tmp_path / "kept" / "night"
    claims = pd.read_csv(folder / "claims.csv")
    assert set(claims.id) == {"P3", "M3"}
    assert set(claims[claims.id == "M3"].variant) == {"adjoint_euler"}
    assert claims[claims.id == "M3"].reduced.str.contains("2 of 160 epochs").all()
    assert claims[claims.id == "P3"].reduced.isna().all()
    history = pd.read_csv(folder / "history.csv")
    assert history.test_accuracy.tolist() == [97.5, 98.25]
    assert history.seconds.tolist() == [30.0, 20.0]
    assert set(history.epochs_planned) == {10}
    made = pd.read_csv(folder / "made_by.csv")
    assert made.variant.tolist() == ["adjoint_euler"]
    assert json.loads((folder / "provenance.json").read_text())["configuration"]["experiments"] == ["P3", "M3"]


@pytest.fixture
def elsewhere(config, tmp_path):
    """The same study on another machine, where the training is in its second epoch only and P3 did not run."""
    other = config | {"results": str(tmp_path / "elsewhere")}
    begin_training(other, [EPOCH | {"test_accuracy": 90.0}], [70.0])
    return other


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(folder / f"{name}.csv") for name in ("claims", "history", "metrics", "made_by")}


def test_what_was_kept_before_stays_where_another_machine_has_less(config, elsewhere, tmp_path):
    before = tables_of(keep(config, PUBLISHED, tmp_path / "kept"))
    after = tables_of(keep(elsewhere, PUBLISHED, tmp_path / "kept"))
    for name, table in before.items():  # the command names the folder of results
        columns = [column for column in table if column != "command"]
        pd.testing.assert_frame_equal(table[columns], after[name][columns])


def test_what_was_kept_before_stays_where_another_machine_has_no_epoch_yet(config, tmp_path):
    before = tables_of(keep(config, PUBLISHED, tmp_path / "kept"))
    begun = config | {"results": str(tmp_path / "elsewhere")}
    begin_training(begun, [], [])
    computed = load_study(config).run("P3", "main", 1).folder
    shutil.copytree(tmp_path / "results" / "runs" / computed, tmp_path / "elsewhere" / "runs" / computed)
    after = tables_of(keep(begun, PUBLISHED, tmp_path / "kept"))
    assert set(after["claims"].id) == set(before["claims"].id)
    pd.testing.assert_frame_equal(after["history"], before["history"])


def test_an_experiment_that_only_another_machine_ran_stays(config, tmp_path):
    before = tables_of(keep(config, PUBLISHED, tmp_path / "kept"))
    computed = load_study(config).run("P3", "main", 1).folder
    shutil.copytree(tmp_path / "results" / "runs" / computed, tmp_path / "elsewhere" / "runs" / computed)
    after = tables_of(keep(config | {"results": str(tmp_path / "elsewhere")}, PUBLISHED, tmp_path / "kept"))
    assert set(after["claims"].id) == {"P3", "M3"}
    pd.testing.assert_frame_equal(after["history"], before["history"])


def test_what_was_kept_before_gives_way_to_more_epochs(config, elsewhere, tmp_path):
    first = tables_of(keep(elsewhere, PUBLISHED, tmp_path / "kept"))
    assert first["history"].test_accuracy.tolist() == [90.0]
    after = tables_of(keep(config, PUBLISHED, tmp_path / "kept"))
    assert after["history"].test_accuracy.tolist() == [97.5, 98.25]
    assert len(after["made_by"]) == 1
    alone = tables_of(keep(config, PUBLISHED, tmp_path / "alone"))
    pd.testing.assert_frame_equal(after["claims"], alone["claims"])


def test_an_answer_by_more_runs_stays(config, tmp_path):
    folder = keep(config, PUBLISHED, tmp_path / "kept")
    claims = pd.read_csv(folder / "claims.csv")
    trained = (claims.id == "M3") & (claims.metric == "nfe_forward")
    assert trained.any()
    claims.loc[trained, ["n", "reproduced"]] = [3, 123.0]
    write_csv(claims, folder / "claims.csv")
    again = pd.read_csv(keep(config, PUBLISHED, tmp_path / "kept") / "claims.csv")
    assert set(again[trained].reproduced) == {123.0}
    assert set(again[~trained].n) == set(claims[~trained].n)


def test_the_checkpoint_of_other_settings_is_left_where_it_is(config, tmp_path, caplog):
    keep(config | {"overrides": {"M3": {"seeds": 1, "epochs": 11}}}, PUBLISHED, tmp_path / "kept")
    assert not (tmp_path / "kept" / "night" / "history.csv").exists()
    assert "other settings" in caplog.text
    assert [path.name for path in (tmp_path / "results" / "checkpoints").rglob("*.pt*")] == ["seed1.pt"]


def test_nothing_found_keeps_nothing(tmp_path):
    config = {"profile": "night", "experiments": ["P3"], "results": str(tmp_path / "r"), "data": str(tmp_path / "d")}
    assert keep(config, PUBLISHED, tmp_path / "kept") is None
    assert not (tmp_path / "kept").exists()
