"""Verdicts follow from the published number, ours, the tolerance and what was reduced or simulated."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.claims import LESS, closing_words, evaluate, interval, load_claims, reproduced_values, within
from pipeline.study import load_study

PUBLISHED = "data/published/claims.csv"
DOCUMENTS = ("thind", "ulala", "homework", "slides", "reading")


@pytest.fixture
def results(tmp_path):
    """A folder of tables for M1 whose test error the test chooses."""

    def make(error, seeds=1, simulated=False, data_source="images"):
        tables = tmp_path / "tables" / "M1"
        tables.mkdir(parents=True, exist_ok=True)
        rows = [
            {"experiment": "M1", "variant": "euler", "seed": seed, "quantity": "test_error", "value": error}
            for seed in range(1, seeds + 1)
        ]
        pd.DataFrame(rows).to_csv(tables / "metrics.csv", index=False)
        history = pd.DataFrame(rows).assign(epoch=1, test_accuracy=100 - error)
        history.to_csv(tables / "history.csv", index=False)
        (tmp_path / "mnist.json").write_text(json.dumps({"simulated": simulated, "data_source": data_source}))
        return tmp_path

    return make


def verdict(folder, metric="test_error", which=0, **overrides):
    study = load_study({"profile": "test", "experiments": ["M1"], "overrides": {"M1": {"seeds": 1, **overrides}}})
    row = evaluate(study, PUBLISHED, folder / "tables", folder).query("metric == @metric").iloc[which]
    return row.verdict, row.reason


def test_a_claim_that_holds_is_reproduced(results):
    assert verdict(results(1.4)) == ("reproduced", "must be below 2")


def test_a_claim_that_fails_at_full_size_is_not_reproduced(results):
    assert verdict(results(2.4))[0] == "not reproduced"


def test_a_claim_that_fails_at_reduced_size_is_not_comparable(results):
    outcome, reason = verdict(results(2.4), dataset={"train_images": 100})
    assert outcome == "not comparable"
    assert "100 of 60000 training images" in reason


def test_a_claim_that_holds_at_reduced_size_is_reproduced_and_says_so(results):
    outcome, reason = verdict(results(1.4), dataset={"train_images": 100})
    assert outcome == "reproduced"
    assert reason == "although reduced: 100 of 60000 training images; must be below 2"


def test_a_number_of_an_epoch_is_that_epochs_and_none_where_the_run_as_listed_ends_before(results):
    folder = results(1.4)
    assert verdict(folder, metric="test_accuracy", which=0)[0] == "reproduced"
    assert verdict(folder, metric="test_accuracy", which=1) == ("not comparable", "the run as listed ends before")


def test_simulated_data_are_never_comparable(results):
    assert verdict(results(1.4, simulated=True)) == ("not comparable", "data not available: images")


def test_incomplete_data_are_not_comparable(results):
    source = "MNIST, incomplete: tested on half"
    assert verdict(results(1.4, data_source=source)) == ("not comparable", source)


def test_a_claim_on_two_variants_is_of_their_difference_seed_by_seed(tmp_path):
    rows = [
        {"variant": variant, "seed": seed, "quantity": "test_error", "value": value + seed**2}
        for variant, value in (("deep", 5.0), ("shallow", 2.0))
        for seed in (1, 2)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    claim = load_claims(PUBLISHED)[0].model_copy(update={"variant": "deep - shallow", "metric": "test_error"})
    np.testing.assert_array_equal(reproduced_values(claim, tmp_path), [3.0, 3.0])


def test_a_finished_study_says_what_came_out_and_where_to_read_it(tmp_path):
    assert closing_words(tmp_path) == ""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/claims.csv").write_text(
        "id,verdict,reason\nA,reproduced,must be 1\nB,not comparable,reduced: 1\nC,reproduced,although reduced: 1\n"
    )
    (tmp_path / "report.html").touch()
    words = closing_words(tmp_path)
    assert words.startswith(
        "3 published numbers: 2 reproduced (1 although reduced), 0 not reproduced, 1 not comparable."
    )
    assert str(tmp_path / "report.html") in words
    assert str(tmp_path / "report.pdf") in words


def test_the_interval_over_seeds_is_students():
    # Student's t with 2 degrees of freedom at 97.5% is 4.302653; the standard error of (1, 2, 3) is 1/sqrt(3).
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert high - mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)


def test_one_seed_has_no_interval():
    assert np.isnan(interval(np.array([1.0]))[1:]).all()


@pytest.mark.parametrize(
    ("relation", "reproduced", "holds"),
    [
        ("=", 54.9, True),
        ("=", 55.1, False),
        ("<", 54.9, True),
        ("<", 55.0, False),
        (">", 53.1, True),
        (">", 53.0, False),
    ],
)
def test_relations(relation, reproduced, holds):
    assert within(relation, 54.0, reproduced, 1.0) is holds


def test_every_published_number_names_a_known_experiment_and_variant():
    with open("pipeline/config/full.yaml", encoding="utf-8") as file:
        study = load_study(yaml.safe_load(file))
    for claim in load_claims(PUBLISHED):
        assert set(claim.variant.split(LESS)) <= set(study.experiments[claim.id].variants), claim
        # Not always the experiment's own: documents say different things of the same measurement.
        assert claim.document in DOCUMENTS
