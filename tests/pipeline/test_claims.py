"""Claims: which of our numbers answer a published one, what is kept of larger runs, and the verdicts again."""

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.claims import clean, closing_words, evaluate, judged_again, key_of, load_claims, reproduced_values
from pipeline.claims.verdicts import is_one_run
from pipeline.study import load_study

PUBLISHED = "data/published/claims.csv"
DOCUMENTS = ("thind", "ulala", "homework", "slides", "reading")


@pytest.fixture
def tables(tmp_path):
    """A folder of tables for M1 whose test errors, one a seed, the test chooses."""

    def make(errors, origin="real", reduced="", data_source="images"):
        folder = tmp_path / "tables" / "M1"
        folder.mkdir(parents=True, exist_ok=True)
        labels = {"experiment": "M1", "variant": "euler", "data_source": data_source, "origin": origin}
        rows = [
            {**labels, "seed": seed, "quantity": "test_error", "value": error, "reduced": reduced}
            for seed, error in enumerate(errors, start=1)
        ]
        pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
        history = pd.DataFrame(rows).assign(epoch=1, test_accuracy=[100 - error for error in errors])
        history.to_csv(folder / "history.csv", index=False)
        return folder.parent

    return make


def evaluated(folder, kept=(), metric="test_error"):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    return evaluate(study, PUBLISHED, folder, list(kept)).query("metric == @metric").iloc[0]


def test_a_row_has_what_was_found_and_all_that_its_verdict_follows_from(tables):
    row = evaluated(tables([1.4, 1.5, 1.6]))
    assert (row.verdict, row.judged, row.n, row.repeats) == ("reproduced", "this run", 3, "seeds")
    assert (row.reproduced, row.origin, row.data_source, row.depends) == (1.5, "real", "images", "size seed")
    assert row.ci_high == pytest.approx(1.5 + 4.302653 * 0.1 / 3**0.5)
    assert row.command == "snakemake --cores --configfile pipeline/config/test.yaml -- results/tables/M1/metrics.csv"


def test_what_was_reduced_is_read_from_the_tables(tables):
    row = evaluated(tables([1.4, 1.5], reduced="100 of 60000 training images"))
    assert (row.verdict, row.reason) == ("not run at size", "100 of 60000 training images")


def test_a_number_of_an_epoch_is_that_epochs(tables):
    row = evaluated(tables([1.4, 1.5, 1.6]), metric="test_accuracy")
    assert (row.epoch, row.reproduced, row.verdict) == (1, 98.5, "reproduced")


def test_verdicts_can_be_computed_again_from_the_file_alone(tables, tmp_path):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    found = evaluate(study, PUBLISHED, tables([1.4, 1.5, 1.6]), [])
    found.assign(verdict="forged", reason="", judged="").to_csv(tmp_path / "claims.csv", index=False)
    again = judged_again(pd.read_csv(tmp_path / "claims.csv"))
    pd.testing.assert_frame_equal(again[["verdict", "reason", "judged"]], found[["verdict", "reason", "judged"]])


@pytest.mark.parametrize("changes", [{}, {"reduced": "2 of 3 epochs"}])
def test_what_is_kept_of_a_run_at_the_documents_size_judges_a_smaller_one(tables, tmp_path, changes):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    kept = evaluate(study, PUBLISHED, tables([1.4, 1.5, 1.6]), []).assign(**changes)
    (tmp_path / "full").mkdir()
    kept.to_csv(tmp_path / "full/claims.csv", index=False)
    row = evaluated(tables([40.0], reduced="2 of 60000 training images"), [tmp_path / "full/claims.csv"])
    if changes:
        assert (row.verdict, row.kept_n) == ("not run at size", 0)
    else:
        assert (row.verdict, row.judged) == ("reproduced", "kept run")
        assert (row.kept, row.kept_n, row.kept_in) == (1.5, 3, "full")


def test_what_is_kept_of_simulated_data_judges_nothing_that_is_about_the_real_ones(tmp_path):
    study = load_study({"profile": "test", "experiments": ["N3"]})
    (tmp_path / "tables/N3").mkdir(parents=True)
    labels = {"variant": "main", "quantity": "test_accuracy", "data_source": "made", "origin": "simulated"}
    runs = pd.DataFrame([{**labels, "seed": seed, "value": 90.0 + seed, "reduced": ""} for seed in (1, 2, 3)])
    runs.to_csv(tmp_path / "tables/N3/metrics.csv", index=False)
    kept = evaluate(study, PUBLISHED, tmp_path / "tables", [])
    kept.to_csv(tmp_path / "claims.csv", index=False)
    runs.assign(origin="real", reduced="3 of 150 epochs").to_csv(tmp_path / "tables/N3/metrics.csv", index=False)
    row = evaluate(study, PUBLISHED, tmp_path / "tables", [tmp_path / "claims.csv"]).iloc[0]
    assert (row.verdict, row.kept_n) == ("not run at size", 0)


def test_what_is_kept_of_a_measurement_judges_every_claim_about_it(tables, tmp_path):
    study = load_study({"profile": "test", "experiments": ["M1"]})
    kept = evaluate(study, PUBLISHED, tables([1.4, 1.5, 1.6]), []).assign(document="another", place="", quantity="same")
    (tmp_path / "full").mkdir()
    kept.to_csv(tmp_path / "full/claims.csv", index=False)
    assert evaluated(tables([40.0], reduced="2 images"), [tmp_path / "full/claims.csv"]).judged == "kept run"


@pytest.fixture
def two_variants(tmp_path):
    """Tables of two variants: errors of two seeds, and seconds of two epochs of each."""
    rows = [
        {"variant": variant, "seed": seed, "quantity": "test_error", "value": value + seed**2}
        for variant, value in (("deep", 5.0), ("shallow", 2.0))
        for seed in (2, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    times = [
        {"variant": variant, "seed": seed, "epoch": epoch, "seconds": seconds * seed * epoch}
        for variant, seconds in (("deep", 6.0), ("shallow", 2.0))
        for seed in (1, 2)
        for epoch in (1, 2)
    ]
    pd.DataFrame(times).to_csv(tmp_path / "timing.csv", index=False)
    return tmp_path


def claim(**changes):
    return load_claims(PUBLISHED)[0].model_copy(update=changes)


def test_a_claim_on_two_variants_is_of_their_difference_seed_by_seed(two_variants):
    values, repeats = reproduced_values(claim(variant="deep - shallow", metric="test_error"), two_variants)
    np.testing.assert_array_equal(values, [3.0, 3.0])
    assert repeats == "seeds"


def test_a_ratio_of_seconds_is_of_each_epoch_that_both_ran(two_variants):
    chosen = claim(variant="deep / shallow", metric="seconds_per_epoch")
    values, repeats = reproduced_values(chosen, two_variants)
    np.testing.assert_array_equal(values, [3.0] * 4)
    assert repeats == "epochs"
    shorter = pd.read_csv(two_variants / "timing.csv").query("not (variant == 'deep' and epoch == 2)")
    shorter.to_csv(two_variants / "timing.csv", index=False)
    assert len(reproduced_values(chosen, two_variants)[0]) == 2


def test_a_variant_that_was_not_run_has_no_values(two_variants):
    assert reproduced_values(claim(variant="wide - shallow", metric="test_error"), two_variants)[0].size == 0


def test_a_finished_study_says_what_came_out_and_where_to_read_it(tmp_path):
    assert closing_words(tmp_path) == ""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/claims.csv").write_text("id,verdict\nA,reproduced\nB,undecided\nC,reproduced\n")
    (tmp_path / "report.html").touch()
    words = closing_words(tmp_path)
    assert words.startswith(
        "3 numbers and statements: 2 reproduced, 0 not reproduced, 1 undecided, 0 not comparable, 0 not run at size."
    )
    assert str(tmp_path / "report.html") in words
    assert str(tmp_path / "report.pdf") in words


def test_every_published_number_names_a_known_experiment_and_variant_and_what_it_is_judged_by():
    with open("pipeline/config/full.yaml", encoding="utf-8") as file:
        study = load_study(yaml.safe_load(file))
    for one in load_claims(PUBLISHED):
        experiment = study.experiments[one.id]
        assert set(one.variants) <= set(experiment.variants), one
        # Not always the experiment's own: documents say different things of the same measurement.
        assert one.document in DOCUMENTS
        if one.relation == "=" and "machine" not in one.depends:
            known = experiment.reaches if is_one_run(one.model_dump()) else experiment.tolerances
            assert {one.metric, one.metric.partition("_at_")[0]} & set(known), one


def test_counts_that_no_seed_changes_are_held_to_the_number_itself(tmp_path):
    study = load_study({"profile": "test", "experiments": ["M3"]})
    (tmp_path / "M3").mkdir()
    labels = {"seed": 1, "quantity": "nfe_forward", "data_source": "images", "origin": "real", "reduced": "2 epochs"}
    runs = [{**labels, "variant": name, "value": 5.0} for name in study.experiments["M3"].variants]
    pd.DataFrame(runs).to_csv(tmp_path / "M3/metrics.csv", index=False)
    for table in ("history", "timing"):
        pd.DataFrame({"variant": [], "seed": [], "epoch": [], "seconds": []}).to_csv(
            tmp_path / f"M3/{table}.csv", index=False
        )
    found = evaluate(study, PUBLISHED, tmp_path, []).query("metric == 'nfe_forward'").set_index("variant").verdict
    assert found["adjoint_rk4"] == "not reproduced"
    assert found["adjoint_dopri5"] == "not run at size"


def test_no_two_claims_have_the_same_key():
    keys = [key_of(one.model_dump()) for one in load_claims(PUBLISHED)]
    assert len(keys) == len(set(keys))


def test_what_a_claim_may_depend_on_is_checked(tmp_path):
    table = pd.read_csv(PUBLISHED).head(1).assign(depends="size weather")
    table.to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(ValueError, match="not on weather"):
        load_claims(tmp_path / "claims.csv")


def test_the_kept_verdicts_are_those_of_the_rule():
    kept = pd.read_csv("data/reference/full/claims.csv")
    again = judged_again(kept)
    assert list(kept.columns) == list(again.columns)
    assert list(kept.verdict) == list(again.verdict)
    assert list(kept.reason) == list(again.reason)


def test_what_is_kept_is_of_claims_that_there_are():
    def said(row):
        return key_of(row), *(row[name] for name in ("kind", "relation", "published", "depends"))

    known = {said(one.model_dump()) for one in load_claims(PUBLISHED)}
    kept = clean(pd.read_csv("data/reference/full/claims.csv"))
    assert {said(row) for row in kept.to_dict("records")} <= known
