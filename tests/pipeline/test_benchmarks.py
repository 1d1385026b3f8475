"""Benchmarks: ratios, slopes, and goals beside what was measured."""

import logging
import os
import runpy
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torchdiffeq
from test_data_mnist import small as small_mnist  # noqa: F401

import nodekit
from pipeline.benchmarks import Goal, evaluate, first_call, growth, images, in_r, iterations, load_goals, small
from pipeline.benchmarks.table import Measured
from pipeline.benchmarks.timing import Quiet, difference, interleaved, ratio, ratio_beyond
from pipeline.compute.orders import slope_with_interval
from pipeline.data import prepare


def test_a_ratio_is_that_of_medians_and_its_interval_holds_it():
    rng = np.random.default_rng(1)
    own = rng.lognormal(0, 0.1, 200)
    samples = pd.DataFrame({"own": own, "peer": 3 * rng.permutation(own)})
    samples.loc[0] = 1000.0  # one interruption moves no median
    value, low, high = ratio(samples, "peer", "own")
    assert value == pytest.approx(3, rel=0.05)
    assert low < 3 < high


def test_a_difference_is_that_of_medians():
    rng = np.random.default_rng(1)
    samples = pd.DataFrame({"own": 5 + rng.normal(0, 0.1, 100), "alone": 2 + rng.normal(0, 0.1, 100)})
    value, low, high = difference(samples, "own", "alone")
    assert value == pytest.approx(3, abs=0.05)
    assert low < value < high


def test_a_ratio_beyond_what_both_contain_leaves_that_out():
    rng = np.random.default_rng(1)
    samples = pd.DataFrame({"own": 7 + rng.normal(0, 0.1, 100), "peer": 9 + rng.normal(0, 0.1, 100)})
    samples["layers"] = 5 + rng.normal(0, 0.1, 100)
    value, low, high = ratio_beyond(samples, "peer", "own", "layers")
    assert value == pytest.approx(2, abs=0.05)
    assert low < 2 < high


@pytest.mark.parametrize("name", iterations.ITERATIONS)
def test_both_libraries_compute_the_same_training_iteration(name):
    iteration = iterations.ITERATIONS[name]()
    exact = iteration.exact_gradient()
    own = iteration.gradient(nodekit.odeint, **iteration.given)
    peer = iteration.gradient(torchdiffeq.odeint, **{**iteration.given, "method": iteration.peer})
    assert max(small.relative_error(found, exact) for found in (own, peer)) < 1e-3


def test_a_first_call_is_timed_in_a_process_of_its_own(tmp_path):
    assert 0 < first_call.seconds("gradient", False, str(tmp_path)) < 60


def timed_in_r() -> pd.DataFrame:
    """Three rounds: nodekitr takes 4 ms and lsoda 1 ms for 100 evaluations, the function alone 0.5 ms."""
    works = {
        work: {"nodekitr": 4e-3, "lsoda": 1e-3, "function alone": 0.5e-3}
        for work in (in_r.SMALL, in_r.CALLED, in_r.DOSES)
    }
    works[in_r.START] = {"nodekitr": 0.2, "nodekitr, steps from Python": 3.0}
    rows = [
        {"work": work, "series": series, "round": round_, "seconds": seconds, "evaluations": 100, "error": seconds}
        for work, times in works.items()
        for series, seconds in times.items()
        for round_ in range(3)
    ]
    return pd.DataFrame(rows)


def test_times_in_r_become_ratios_and_microseconds_an_evaluation():
    found = in_r.measured(timed_in_r())
    assert found["r_solve"].value == pytest.approx(4)
    assert (found["r_doses"].own_error, found["r_doses"].peer_error) == (4e-3, 1e-3)
    assert found["r_evaluation"].value == pytest.approx(35)
    assert found["r_start_python"].value == pytest.approx(3)
    assert set(found) == {name for name in load_goals() if name.startswith("r_")}


def test_r_times_its_solves_with_their_errors(tmp_path):
    if not shutil.which("Rscript"):
        pytest.skip("R is not installed")
    output = tmp_path / "times.csv"
    command = ["Rscript", "rscripts/runs/solve_times.R", "--output", output, "--seconds", "0"]
    environment = {**os.environ, "RETICULATE_PYTHON": sys.executable}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    rows = pd.read_csv(output)
    found = in_r.measured(rows)
    assert found["r_solve"].own_error <= found["r_solve"].peer_error < 1e-4
    assert found["r_doses"].own_error <= found["r_doses"].peer_error < 1e-4
    assert rows[rows.work == in_r.CALLED].evaluations.max() > 100
    assert rows.groupby(["work", "series"]).size().min() >= 5


def test_a_slope_is_the_exponent_of_a_power_law():
    x = np.array([10, 100, 1000, 10_000])
    noise = np.array([1.01, 0.99, 1.02, 0.98])
    value, low, high = slope_with_interval(np.log(x), np.log(5 * x**0.5 * noise))
    assert value == pytest.approx(0.5, abs=0.02)
    assert low < 0.5 < high


def test_computations_are_timed_in_turn():
    order = []
    samples = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=0, least=3)
    assert order == ["a", "b"] * 4  # once untimed, then three rounds
    assert samples.shape == (3, 2)


def test_how_quiet_the_machine_was_is_what_others_took_of_all_processors(monkeypatch):
    """In 10 seconds four processors worked for 12, of which 8 for this process."""
    readings = iter([(100.0, 50.0, 3.0), (110.0, 62.0, 11.0)])
    monkeypatch.setattr(Quiet, "_seconds", lambda self: next(readings))
    monkeypatch.setattr("psutil.cpu_count", lambda: 4)
    assert Quiet().share_of_others() == pytest.approx(0.1)


def test_own_work_is_not_that_of_others():
    quiet = Quiet()
    wall, busy, own = quiet.began
    sum(n * n for n in range(2_000_000))
    after = quiet._seconds()
    assert after[0] > wall
    assert after[2] > own
    assert after[1] >= busy


@pytest.mark.parametrize("series", growth.SERIES)
def test_peers_compute_the_gradients_whose_growth_is_measured(series):
    """torchdiffeq's steps are the same; diffrax and torchode are there only where benchmarks are measured."""
    values, given, solvers = growth.SERIES[series]
    if "torchdiffeq" not in solvers:
        pytest.importorskip("torchode")
    peer = solvers[1]
    case = growth.Case(**{**given, "batch" if series == "samples" else series: values[0]})
    own, other = (growth.SOLVERS[solver][1](case)() for solver in ("nodekit", peer))
    assert small.relative_error(own, other) < (1e-3 if case.independent else 1e-4)


def test_a_goal_is_reached_on_its_side_only_and_a_miss_is_explained():
    fast = Goal(id="f", work="w", against="p", relation="at least", goal=2, unit="times", attempts="tried")
    small = Goal(id="s", work="w", against="p", relation="at most", goal=0.5, unit="of", attempts="tried too")
    goals = {"f": fast, "s": small, "missing": fast}
    table = evaluate(goals, {"f": Measured(value=3), "s": Measured(value=0.7)}, "a device").set_index("id")
    assert table.loc["f", "met"]
    assert not table.loc["s", "met"]
    assert table.loc["s", "reason"] == "tried too"
    assert table.loc["f", "reason"] == ""
    assert table.loc["missing", "met"] is None
    assert table.loc["missing", "reason"] == "not measured"


def test_a_goal_bought_with_a_larger_error_is_not_reached():
    goal = {"f": Goal(id="f", work="w", against="p", relation="at least", goal=2, unit="times", attempts="tried")}
    bought = Measured(value=3, own_error=1e-3, peer_error=1e-5)
    assert not evaluate(goal, {"f": bought}, "a device").loc[0, "met"]


def test_every_goal_is_valid():
    for goal in load_goals().values():
        assert goal.work
        assert goal.against


class Given(list):
    """The inputs of a rule, some of which have names."""


def test_the_rule_measures_on_the_data_that_it_asks_for(small_mnist, tmp_path, monkeypatch):  # noqa: F811
    """All of it in small, but what is compiled, or measured beside peers that only `make benchmarks` installs."""
    prepare("mnist", tmp_path / "raw", tmp_path / "processed", None, logging.getLogger("test"))
    for module, sizes in {
        images: {"BATCH": 2, "WARM_UP": 2},
        small: {"END": 1.0, "OUTPUTS": 5},
        growth: {"SERIES": {"batch": ((2, 4, 8), {"steps": 2}, ("nodekit", "torchdiffeq"))}, "STEPS": (4, 8, 16)},
    }.items():
        for name, value in sizes.items():
            monkeypatch.setattr(module, name, value)
    a_round = pd.DataFrame({"work": ["MLP forward"], "series": ["nodekit"], "round": [0], "seconds": [1.0]})
    monkeypatch.setattr(small, "measure", lambda seconds: (small.backward_evaluations(), a_round))
    monkeypatch.setattr(iterations, "measure", lambda seconds: ({}, a_round))
    monkeypatch.setattr(first_call, "measure", lambda: ({}, a_round))
    monkeypatch.setattr(logging, "basicConfig", lambda **how: None)
    timed_in_r().to_csv(tmp_path / "in_r.csv", index=False)
    given = Given([str(tmp_path / "processed" / "mnist.npz")])
    given.in_r = str(tmp_path / "in_r.csv")
    job = SimpleNamespace(threads=1, input=given, log=[tmp_path / "log"])
    job.params = SimpleNamespace(seconds=0, folder=tmp_path / "benchmarked")
    runpy.run_path("pipeline/scripts/measure_benchmarks.py", init_globals={"snakemake": job})
    goals = pd.read_csv(tmp_path / "benchmarked" / "goals.csv").set_index("id")
    left_out = {name for name in load_goals() if name.startswith(("mlp_", "first_")) or "_iteration" in name}
    assert set(goals.index[goals.value.isna()]) == left_out | {"overhead_mlp"}
    assert goals.loc["nfe_outputs", "value"] > 0
    assert set(pd.read_csv(tmp_path / "benchmarked" / "growth.csv").gradient) > {"checkpoint", "reversible"}
    assert len(pd.read_csv(tmp_path / "benchmarked" / "samples.csv")) > 10
