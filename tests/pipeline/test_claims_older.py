"""Whether what is kept of a run is older than its code: the rule, and which runs it asks about."""

import json

import pandas as pd
import pytest

from pipeline.claims import evaluate
from pipeline.claims.older import older_by_variant, older_than_code, worst
from pipeline.runs.code import code_of
from pipeline.study import load_study


@pytest.mark.parametrize(
    ("kept", "now", "answer"),
    [
        (["a"], "a", "no"),
        (["a", "a"], "a", "no"),
        (["b"], "a", "yes"),
        (["a", "b"], "a", "yes"),  # begun by one, gone on with by the other
        ([""], "a", "unknown"),
        (["", "a"], "a", "unknown"),
        (["", "b"], "a", "yes"),
        (["a"], "", "yes"),  # there is no such run any more
        ([""], "", "unknown"),
        ([], "a", "unknown"),
    ],
)
def test_the_rule(kept, now, answer):
    assert older_than_code(kept, now) == answer


def test_a_number_of_several_parts_is_as_old_as_the_oldest():
    assert worst(["no", "no"]) == "no"
    assert worst(["no", "unknown"]) == "unknown"
    assert worst(["unknown", "no", "yes"]) == "yes"
    assert worst([]) == "unknown"


def kept(folder, rows, experiments):
    """A folder as of data/reference, of which each row is (experiment, variant, seed, code)."""
    folder.mkdir(parents=True)
    table = pd.DataFrame(rows, columns=["experiment", "variant", "seed", "code"])
    table.assign(commit="c", dirty=False, began="2000-01-01").to_csv(folder / "made_by.csv", index=False)
    record = {"configuration": {"profile": folder.name, "experiments": experiments}}
    (folder / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_one_older_seed_makes_a_variant_older(tmp_path):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    names = list(study.experiments["M1"].variants)
    rows = [("M1", names[0], 1, "now"), ("M1", names[0], 2, "then"), ("M1", "no such", 1, "now")]
    found = older_by_variant(kept(tmp_path / "night", rows, ["M1"]), code=lambda run: "now")
    assert found == {("M1", names[0]): "yes", ("M1", "no such"): "yes"}


def test_a_measurement_is_as_old_as_the_training_whose_network_it_measures(tmp_path):
    study = load_study({"profile": "test", "experiments": ["M3", "M4"]})
    run = study.runs("M4")[0]
    trained = study.trained(run)
    rows = [("M4", run.variant, 1, "now"), (trained.experiment, trained.variant, 1, "then")]
    found = older_by_variant(kept(tmp_path / "night", rows, ["M3", "M4"]), code=lambda run: "now")
    assert found["M4", run.variant] == "yes"


def test_what_was_kept_without_its_code_is_unknown(tmp_path):
    folder = kept(tmp_path / "night", [("M1", "euler", 1, "")], ["M1"])
    pd.read_csv(folder / "made_by.csv").drop(columns="code").to_csv(folder / "made_by.csv", index=False)
    assert older_by_variant(folder) == {("M1", "euler"): "unknown"}
    assert older_by_variant(tmp_path) == {}


@pytest.mark.parametrize(("code", "columns"), [("then", ("night", "")), ("", ("", "night")), (None, ("", ""))])
def test_a_claim_s_row_names_the_profiles_that_are_older(tmp_path, code, columns):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    tables = tmp_path / "tables"
    (tables / "M1").mkdir(parents=True)
    labels = {"variant": "euler", "data_source": "", "origin": "real", "reduced": "", "seed": 1}
    labels |= {"epoch": 1, "test_accuracy": 98.0, "quantity": "test_error", "value": 2.0}
    for name in ("metrics", "history"):
        pd.DataFrame([labels]).to_csv(tables / "M1" / f"{name}.csv", index=False)
    published = "data/published/claims.csv"
    code = code_of(study.run("M1", "euler", 1)) if code is None else code
    folder = kept(tmp_path / "night", [("M1", "euler", 1, code)], ["M1"])
    evaluate(study, published, tables, []).to_csv(folder / "claims.csv", index=False)
    row = evaluate(study, published, tables, [folder / "claims.csv"]).query("metric == 'test_error'").iloc[0]
    assert (row.older_than_code, row.unknown_code) == columns
