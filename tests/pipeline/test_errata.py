"""Errata: each is confirmed by its check, and the checks would not confirm it of a document that is right."""

import inspect
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.errata import (
    accuracies,
    adjoints,
    classification,
    counts,
    depth,
    evaluate,
    flows,
    formulas,
    images,
    listings,
    load_disagreements,
    load_errata,
    positions_table,
    recurrence,
    references,
    timings,
)
from pipeline.errata.evaluation import check_function, words_of
from pipeline.errata.finding import Finding
from pipeline.study import ConfigurationError, load_experiments

ERRATA = load_errata()
NOTHING = Path("nothing")
SYMMETRIC = [[-0.1, 0.2], [0.2, -0.1]]
SHORTCUTS = {"kind": "sigmoid", "depth": 12, "width": 16, "shortcut": True}


@pytest.fixture(scope="module")
def evaluated():
    alone = [erratum for erratum in ERRATA if not erratum.needs and not erratum.data]
    return evaluate(alone, set(), NOTHING, NOTHING)


def test_every_check_confirms_its_erratum(evaluated):
    assert list(evaluated[evaluated.confirmed != True].id) == []  # noqa: E712


def test_every_entry_shows_numbers(evaluated):
    assert evaluated.numbers.str.contains(r"\d").all()


@pytest.mark.parametrize("erratum", ERRATA, ids=lambda erratum: erratum.id)
def test_entries_name_checks_that_take_their_arguments_and_known_experiments(erratum):
    folders = {"tables", "processed"} & set(inspect.signature(check_function(erratum.check)).parameters)
    inspect.signature(check_function(erratum.check)).bind(**erratum.arguments, **dict.fromkeys(folders))
    assert set(erratum.needs) <= set(load_experiments())


@pytest.mark.parametrize(
    "finding",
    [
        counts.flattened_inputs(28, 28, said=784),
        counts.steps_of_a_grid(51, said=50, rate=5.0),
        counts.evaluations_of_an_epoch(256, 128, {"dopri5": 26.2}),
        counts.cross_references([[22, 22], [23, 23]]),
        formulas.first_euler_step(said=1.0),
        formulas.root_is_no_change(current=0.0, best=3.0),
        timings.backward_share(20.0, 10.0, said=0.5),
        timings.adjoint_time(backprop=45.0, adjoint=33.0),
        timings.gain_in_points(80.0, 86.0, said=6.0),
        timings.implied_evaluations({"a": {"explicit Euler": 60, "implicit Euler": 130}}, {"a": 1}, {"a": 1}),
        accuracies.multiples_of_one_image({"a": {"b": [33.334]}}, images=60),
        accuracies.classes_of_the_small_sample({"a": 14.3}, singular=3, compound=7),
        classification.labels_of_pairs({"blank": 0, "one": 1, "two": 2, "four": 4}),
        accuracies.classes_of_one_test_set({"a": {"b": [30.0, 30.0, 33.0, 33.0, 37.0, 37.0]}}, images=600, classes=3),
        adjoints.column_or_row(SYMMETRIC, [1.0, 0.0], [0.0, 0.5], 1.0, 201, {"lr": 0.01, "momentum": 0.95}),
        adjoints.through_adaptive_steps([1e-9, 1e-3]),
        counts.iterations_of_an_epoch(60000, 32, over=2000),
        depth.blocks_without_the_step(points=2, width=16, seed=1),
        depth.evaluations_back_to([0.5, 1.0], step=10.0),
        depth.layers_without_end(start=4.98, layers=[5, 10, 20]),
        depth.where_gradients_vanish({"a": SHORTCUTS, "b": {**SHORTCUTS, "shortcut": False}}, batch=8, seed=1),
        flows.best_increasing_fit(power=3, points=21),
        formulas.gradient_and_descent(current=3.0, best=3.0, lr=0.1),
        formulas.one_step_further(rate=0.0, steps=10),
        formulas.slope_alone(slope=3.0, intercept=0.0, points=21),
        listings.arguments_in_another_order(rate=0.0),
        listings.recycled_outputs(150, 100, seed=25),
        listings.undefined_names("a = 1\nprint(a, tf)", ["tf"]),
        listings.units_of_the_output(said=1),
        recurrence.layers_used_once(depth=4, length=1),
        recurrence.weights_by_length(3, 8, [10, 10]),
        references.never_cited([1, 2], listed=2),
        references.other_article("Euler method", "https://en.wikipedia.org/w/index.php?title=Euler_method"),
        references.other_paper("1806.07366", "Neural Equations", "1806.07366", "Neural Equations"),
        references.section_of({2: "A", 3: "B"}, {3: "B"}),
        references.shown_by_figure("the loss", "Loss by epoch", ["loss", "accuracy"]),
        timings.decrease_in_proportion({"a": 2700, "b": 500}, {"a": 0.05, "b": 0.02}, whole="a"),
        timings.rate_of_the_example(0.1, said=0.1),
        timings.two_times(46.0, 45.2),
    ],
)
def test_of_a_document_that_is_right_nothing_is_confirmed(finding):
    assert not finding.confirmed


def test_what_is_not_run_is_left_open_and_says_why(tmp_path):
    (tmp_path / "cifar10.json").write_text(json.dumps({"origin": "simulated"}))
    open_ones = [erratum for erratum in ERRATA if erratum.needs or erratum.data]
    table = evaluate(open_ones, set(), NOTHING, tmp_path).set_index("id")
    assert table.confirmed.isna().all()
    assert "N1 is not part" in table.numbers["thind_biases"]
    assert "M6 is not part" in table.numbers["ulala_overfitting"]
    assert "mnist is not part" in table.numbers["homework_mnist_size"]
    assert "simulated" in table.numbers["homework_normalization"]


def test_the_biases_are_read_from_the_runs(tmp_path):
    erratum = next(erratum for erratum in ERRATA if erratum.id == "thind_biases")
    (tmp_path / "N1").mkdir()
    accuracy = pd.DataFrame(
        {"variant": ["as_listed", "biases_read"], "quantity": "accuracy_after", "value": [0.9, 1.0]}
    )
    rows = pd.concat([accuracy, accuracy.assign(quantity="first_epoch_all_right", value=[52, 6])])
    rows.to_csv(tmp_path / "N1" / "metrics.csv")
    evaluated = evaluate([erratum], {"N1"}, tmp_path, NOTHING)
    assert evaluated.confirmed[0]
    assert "first epoch with accuracy 1, as listed: 52" in evaluated.numbers[0]
    rows.assign(value=1.0).to_csv(tmp_path / "N1" / "metrics.csv")
    assert not evaluate([erratum], {"N1"}, tmp_path, NOTHING).confirmed[0]


@pytest.mark.parametrize(("correct_at_one", "confirmed"), [(80, True), (99, False)])
def test_accuracy_by_tolerance_is_read_from_the_runs(tmp_path, correct_at_one, confirmed):
    (tmp_path / "M6").mkdir()
    rows = {"tolerance": [1e-3, 1.0], "correct": [81, correct_at_one], "images": [100, 100]}
    pd.DataFrame(rows).to_csv(tmp_path / "M6" / "history.csv")
    finding = accuracies.by_tolerance(tmp_path)
    assert finding.numbers["test accuracy at tolerance 0.001"] == 0.81
    assert finding.confirmed == confirmed


def test_statistics_are_those_of_the_pixels(tmp_path):
    pixels = np.zeros((2, 3, 2, 2), dtype=np.uint8)
    pixels[1] = 255
    np.savez(tmp_path / "cifar10.npz", train_images=pixels)
    finding = images.statistics_of_cifar10(tmp_path, mean=[0.5] * 3, deviation=[0.5] * 3)
    assert (finding.numbers["mean, red"], finding.numbers["deviation, blue"]) == (0.5, 0.5)
    assert not finding.confirmed


def test_an_unknown_key_is_refused(tmp_path):
    entry = {"id": "x", "document": "thind", "place": "1", "words": "w", "so": "s", "shown": "h", "check": "a.b"}
    (tmp_path / "errata.yaml").write_text(yaml.safe_dump({"errata": [{**entry, "worsd": "w"}]}))
    with pytest.raises(ConfigurationError, match="worsd"):
        load_errata(tmp_path / "errata.yaml")


def test_an_id_stands_for_one_entry(tmp_path):
    entry = {"id": "x", "document": "thind", "place": "1", "words": "w", "so": "s", "shown": "h", "check": "a.b"}
    (tmp_path / "errata.yaml").write_text(yaml.safe_dump({"errata": [entry, entry]}))
    with pytest.raises(ValueError, match="more than once: x"):
        load_errata(tmp_path / "errata.yaml")


def test_numbers_are_written_with_their_names():
    numbers = {"a": 1 / 3, "b": 5, "c": "six", "d": [-0.5, 0.800000011920929, 2]}
    assert words_of(Finding(True, numbers)) == "a: 0.333333; b: 5; c: six; d: [-0.5, 0.8, 2]"


def test_disagreements_are_between_documents_and_named_errata_and_experiments_exist():
    table = positions_table(load_disagreements(), ERRATA)
    assert (table.groupby("id").document.nunique() > 1).all()
    assert {name for cell in table.see for name in cell.split()} <= set(load_experiments())
    assert table.groupby("id").so.nunique().eq(1).all()


def test_a_disagreement_that_names_no_erratum_is_refused():
    disagreements = load_disagreements()
    named = {name for disagreement in disagreements for name in disagreement.errata}
    with pytest.raises(ConfigurationError, match=disagreements[0].id):
        positions_table(disagreements, [erratum for erratum in ERRATA if erratum.id not in named])
