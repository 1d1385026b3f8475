"""The verdict follows from the columns of a row, by the rule that the report prints; numbers computed by hand."""

import math

import numpy as np
import pytest

from pipeline.claims.verdicts import interval, judge

NOTHING = {"kept": math.nan, "kept_low": math.nan, "kept_high": math.nan, "kept_n": 0}


def row(values=(), relation="=", published=0.0, **changes):
    """A claim on our `values`, which a seed may change, of a run at the document's size on the document's data."""
    mean, low, high = interval(np.asarray(values, dtype=float))
    found = {"reproduced": mean, "ci_low": low, "ci_high": high, "n": len(values), "repeats": "seeds"}
    about = {"kind": "printed", "relation": relation, "published": published, "tolerance": 5.0, "depends": "size seed"}
    comparable = {"invented": "", "origin": "real", "data_source": "images", "reduced": ""}
    return {**about, **comparable, **found, **NOTHING, **changes}


def verdict(*values, **changes):
    return judge(row(values, **changes)).verdict


def test_the_interval_over_seeds_is_students():
    # Student's t with 2 degrees of freedom at 97.5% is 4.302653; the standard error of (1, 2, 3) is 1/sqrt(3).
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert high - mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)


def test_one_seed_has_no_interval():
    assert np.isnan(interval(np.array([1.0]))[1:]).all()


def test_a_published_run_is_judged_by_the_prediction_interval_of_one_more():
    # (9, 10, 11): mean 10, s = 1; 4.302653 · 1 · sqrt(1 + 1/3) = 4.968276 to either side.
    assert verdict(9, 10, 11, published=14.968) == verdict(9, 10, 11, published=5.032) == "reproduced"
    assert verdict(9, 10, 11, published=14.969) == verdict(9, 10, 11, published=5.031) == "not reproduced"
    # With two seeds, 12.706205 · sqrt(1/2) · sqrt(1 + 1/2) for (0, 1): 11.003896 to either side of 0.5.
    assert verdict(0, 1, published=11.503, tolerance=20) == "reproduced"
    assert verdict(0, 1, published=11.504, tolerance=20) == "not reproduced"


def test_a_prediction_interval_too_wide_to_say_anything_decides_nothing():
    assert verdict(9, 10, 11, published=10.0, tolerance=4.97) == "reproduced"
    assert verdict(9, 10, 11, published=10.0, tolerance=4.96) == "undecided"


def test_a_number_of_a_source_is_a_run_and_a_statement_is_not():
    # The mean's interval of (9, 10, 11) is 4.302653/sqrt(3) = 2.484138 to either side.
    assert verdict(9, 10, 11, published=13.0, kind="cited") == "reproduced"
    assert verdict(9, 10, 11, published=10.0, kind="statement", tolerance=2.485) == "reproduced"
    assert verdict(9, 10, 11, published=10.0, kind="statement", tolerance=2.484) == "undecided"
    assert verdict(9, 10, 11, published=13.0, kind="statement", tolerance=0.52) == "undecided"
    assert verdict(9, 10, 11, published=13.0, kind="statement", tolerance=0.51) == "not reproduced"


@pytest.mark.parametrize(
    ("relation", "published", "outcome"),
    [
        ("<", 12.49, "reproduced"),
        ("<", 12.48, "undecided"),
        ("<", 7.52, "undecided"),
        ("<", 7.51, "not reproduced"),
        (">", 7.51, "reproduced"),
        (">", 7.52, "undecided"),
        (">", 12.48, "undecided"),
        (">", 12.49, "not reproduced"),
    ],
)
def test_a_bound_is_decided_by_the_interval_of_the_mean(relation, published, outcome):
    # 10 ± 2.484138; a tolerance moves no bound.
    assert verdict(9, 10, 11, relation=relation, published=published) == outcome


def test_one_run_of_ours_decides_nothing_that_chance_changes():
    assert verdict(10.0, published=10.0) == "undecided"
    assert verdict(10.0, relation=">", published=-1000.0) == "undecided"
    assert verdict(10.0, published=10.0, depends="") == "reproduced"


@pytest.mark.parametrize(
    ("relation", "found", "outcome"),
    [("=", 54.9, True), ("=", 55.1, False), ("<", 53, True), ("<", 54, False), (">", 55, True), (">", 54, False)],
)
def test_what_no_chance_changes_is_compared_directly(relation, found, outcome):
    changes = {"relation": relation, "published": 54.0, "tolerance": 1.0, "depends": "size"}
    assert verdict(found, **changes) == ("reproduced" if outcome else "not reproduced")


def test_a_smaller_run_judges_only_what_no_size_changes():
    small = {"published": 4.0, "reduced": "2 of 160 epochs"}
    assert judge(row([4.0], depends="size", **small))[:2] == ("not run at size", "2 of 160 epochs")
    assert verdict(4.0, depends="", **small) == "reproduced"
    assert verdict(9, 10, 11, depends="seed", relation=">", published=0.0, reduced="2 of 160 epochs") == "reproduced"


def test_what_was_not_run_is_not_run_at_size():
    assert judge(row(published=1.0)) == ("not run at size", "not run so far", "")


KEPT = {"kept": 10.0, "kept_low": 10.0 - 2.484138, "kept_high": 10.0 + 2.484138, "kept_n": 3}


def test_a_kept_run_of_the_documents_size_judges_instead_of_a_smaller_one():
    smaller = row([66.2] * 9, published=66.0, reduced="500 of 2700 training images", **KEPT)
    assert judge(smaller) == (
        "not reproduced",
        "one more run of ours lies in 5.032 to 14.97; 66 must lie there, and the interval reach no further than 5",
        "kept run",
    )


def test_of_two_runs_at_the_documents_size_the_one_with_more_seeds_judges():
    assert judge(row([70.0], published=10.0, **KEPT)).judged == "kept run"
    assert judge(row([69.0, 70.0, 71.0], published=10.0, **KEPT)).judged == "this run"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depends": "machine"}, "another machine"),
        ({"depends": "data size seed", "origin": "simulated"}, "other data: images"),
        ({"depends": "data size seed", "origin": "incomplete"}, "other data: images"),
        ({"invented": "the document gives no network"}, "the document gives no network"),
    ],
)
def test_other_data_another_network_or_machine_are_not_comparable_and_say_why(changes, reason):
    assert judge(row([9, 10, 11], published=10.0, **changes))[:2] == ("not comparable", reason)


def test_a_statement_on_any_data_is_judged_on_simulated_ones_too():
    assert verdict(9, 10, 11, relation=">", published=0.0, origin="simulated") == "reproduced"
