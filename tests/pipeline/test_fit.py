"""Fits: reproducible to the bit, through kills, and with the tables that the study reads."""

import pandas as pd
import pytest
import torch
from torch import nn

from pipeline.fit import fit
from pipeline.fit.fitting import Job
from pipeline.fit.tables import rounded
from pipeline.study import Profile, Study, load_experiments
from pipeline.train import TrainingError

POINTS = {"iterations": 3, "log_every": 2, "samples": 16, "test_samples": 20, "grid": 9, "frames": 3, "shown": 8}
SMALL = {
    "D1": {"iterations": 6, "log_every": 2, "points": 40, "end": 4, "extrapolation_end": 4, "window": 5, "frames": 3},
    "D2": {"iterations": 3, "log_every": 2, "seen": [5, 10], "series": 8, "test_series": 6, "piece": 10, "shown": 2},
    "D3": {**POINTS, "depth": 3},
    "D4": {"NF": {"iterations": 3}, "CNF": {"iterations": 2}, "sizes": [1, 2], "grid": 9, "samples": 8, "log_every": 2},
    "D5": {**{k: v for k, v in POINTS.items() if k != "frames"}, "hidden": [8], "probes": 2, "dimensions": [2, 3]},
}
RUNS = [(name, variant) for name in SMALL for variant in load_experiments()[name].variants]


def small_run(name, variant="main", **arguments):
    """A run of an experiment made so small that it takes a moment."""
    known = load_experiments()
    profile = Profile(profile="small", experiments=[name], overrides={name: {"arguments": SMALL[name] | arguments}})
    return Study(profile=profile, experiments={name: known[name]}).run(name, variant, 1)


def contents(folder):
    """Every file of a run but the wall times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "timing.csv"}


@pytest.mark.parametrize(("name", "variant"), RUNS)
def test_tables_say_whose_they_are_and_where_the_data_come_from(name, variant, tmp_path):
    fit(small_run(name, variant), tmp_path / "run", tmp_path / "seed1.pt", device="cpu", progress=False)
    read = {path.stem: pd.read_csv(path) for path in (tmp_path / "run").iterdir()}
    assert set(read) == {"history", "metrics", "losses", "timing", "curves"}
    for table in read.values():
        assert list(table.columns[:3]) == ["experiment", "variant", "seed"]
        assert set(table.variant) == {variant}
    for table in (read["history"], read["metrics"]):
        assert table.data_source.str.len().min() > 10
        assert list(table.columns[-3:]) == ["data_source", "origin", "reduced"]
    assert read["metrics"].value.notna().all()
    assert read["metrics"].quantity.is_unique
    assert read["losses"].loss.notna().all()
    assert not list(tmp_path.glob("*.pt*")), "checkpoints of a complete run are removed"


@pytest.mark.parametrize(("name", "variant"), [("D1", "end_point"), ("D2", "latent_ode"), ("D5", "main")])
@pytest.mark.parametrize("steps", [2, 5])
def test_a_killed_run_goes_on_to_the_same_bytes(name, variant, steps, tmp_path, monkeypatch):
    run = small_run(name, variant)
    fit(run, tmp_path / "whole", tmp_path / "whole.pt", device="cpu", progress=False)

    class Killed(BaseException):
        pass

    done = []

    def advance(progress, count):
        done.append(count)
        if len(done) == steps:
            raise Killed

    # A run may find the random generator of its process in any state.
    torch.manual_seed(99)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.fit.fitting.Progress.advance", advance)
        with pytest.raises(Killed):
            fit(run, tmp_path / "killed", tmp_path / "killed.pt", device="cpu", checkpoint_seconds=0, progress=False)
    assert not (tmp_path / "killed").exists()
    fit(run, tmp_path / "killed", tmp_path / "killed.pt", device="cpu", progress=False)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_seeds_differ(tmp_path):
    run = small_run("D1", "end_point")
    for seed in (1, 2):
        fit(
            run.model_copy(update={"seed": seed}), tmp_path / str(seed), tmp_path / "c.pt", device="cpu", progress=False
        )
    losses = [pd.read_csv(tmp_path / str(seed) / "losses.csv").loss for seed in (1, 2)]
    assert not losses[0].equals(losses[1])


@pytest.fixture
def job(tmp_path):
    """A job whose fits minimise what they are given."""
    return Job(small_run("D1", "whole_path"), tmp_path / "seed1.pt", torch.device("cpu"), 30, False)


class Number(nn.Module):
    """One number to be learnt."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.ones(()))


def test_history_has_the_mean_loss_of_its_interval(job):
    fitted = job.fit("number", Number, lambda model: 1.0 * model.value, iterations=5, snapshots=[0, 4])
    losses = fitted.record.losses
    assert fitted.record.iterations == [0, 1, 2, 3, 4]
    assert [row["iteration"] for row in fitted.record.history] == [0, 2, 4, 5]
    assert [row["loss"] for row in fitted.record.history[1:]] == pytest.approx(
        [sum(losses[:2]) / 2, sum(losses[2:4]) / 2, losses[4]]
    )
    assert fitted.snapshots[0]["value"] == 1
    assert fitted.snapshots[4]["value"].item() == pytest.approx(losses[4])
    assert set(fitted.snapshots) == {0, 4, 5}


def test_a_loss_that_is_no_number_ends_the_run_with_its_place(job):
    def loss(model):
        return model.value * (float("nan") if len(seen) == 2 else 1.0)

    seen = []
    with pytest.raises(
        TrainingError, match=r"D1 whole_path seed 1, number, iteration 4: the loss of iteration 2 is nan"
    ):
        job.fit("number", Number, lambda model: [loss(model), seen.append(0)][0], iterations=4)


def test_what_a_fit_draws_does_not_depend_on_the_fits_before(job, tmp_path):
    def noisy(model):
        return model.value * torch.rand(())

    first = [job.fit(name, Number, noisy, iterations=3).record.losses for name in ("a", "b")]
    other = Job(job.run, tmp_path / "other.pt", torch.device("cpu"), 30, False)
    other.fit("a", Number, noisy, iterations=1)
    torch.rand(7)
    assert other.fit("b", Number, noisy, iterations=3).record.losses == first[1]
    assert first[0] != first[1]


def test_curves_keep_six_digits_of_each_column():
    table = rounded(pd.DataFrame({"x": [123.456789, 0.001], "y": [0.0012345678, 0.0], "n": [1, 2]}))
    assert table.x.tolist() == [123.457, 0.001]
    assert table.y.tolist() == [0.00123457, 0.0]
