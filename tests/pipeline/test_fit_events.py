"""D6: events come as often as their intensity says, and the likelihood is that of a Poisson process."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.fit import fit
from pipeline.fit.events import EventfulLatentODE, draw_events
from pipeline.study import Solver, load_study

SIZES = {"end": 10.0, "rate": 2.0, "period": 5.0, "noise": 0.1}


@pytest.fixture(scope="module")
def events():
    return draw_events(300, np.random.default_rng(1), **SIZES)


@pytest.fixture
def model():
    torch.manual_seed(1)
    return EventfulLatentODE(3, 8, 6, 0.1, Solver(method="dopri5", rtol=1e-6, atol=1e-6, gradient="backprop"))


def test_rows_hold_the_start_the_middle_and_the_end_and_events_in_between(events):
    assert (events.times.diff(dim=1) >= 0).all()
    assert (events.times[:, 0] == 0).all()
    assert ((events.times == 5.0).sum(1) == 1).all()
    assert (events.times[:, -1] == events.end).all()
    inside = (events.times > 0) & (events.times < 10) & (events.times != 5)
    assert torch.equal(events.happened, inside)


def test_there_are_as_many_events_as_the_intensity_says(events):
    # Over whole periods exp(a cos) averages to the Bessel function I0(a).
    expected = 10 * 2.0 * torch.special.i0(events.amplitude)
    counted = events.happened.sum()
    assert abs(counted - expected.sum()) < 4 * expected.sum().sqrt()
    # And where it says: above the mean more than below.
    often = events.intensity(events.times) > 2.0
    assert (events.happened & often).sum() > 2 * (events.happened & ~often).sum()


def test_values_are_the_oscillation_with_the_noise_asked_for(events):
    # The intensity is a function of the first coordinate alone.
    clean = (events.intensity(events.times) / 2.0).log()
    assert (events.values[..., 0] - clean).std().item() == pytest.approx(0.1, rel=0.05)


def test_with_a_constant_intensity_the_likelihood_is_that_of_a_homogeneous_process(model, events):
    with torch.no_grad():
        model.log_rate[2].weight.zero_()
        model.log_rate[2].bias.fill_(math.log(1.7))
        found = model.new_events(events)
    late = (events.happened & (events.times > 5)).sum(1)
    torch.testing.assert_close(found, late * math.log(1.7) - 1.7 * 5, rtol=1e-4, atol=1e-3)


def test_the_integral_solved_along_is_that_of_the_intensity(model):
    t = torch.linspace(0, 4, 801)
    with torch.no_grad():
        _, log_rate, integral = model.solve(torch.randn(5, 3), t)
    torch.testing.assert_close(integral[:, -1], torch.trapezoid(log_rate.exp(), t, dim=1), rtol=1e-4, atol=1e-4)


def test_nothing_of_the_second_half_is_read(model, events):
    later = events.times >= 5
    changed = replace(events, values=torch.where(later[..., None], 99.0, events.values))
    with torch.no_grad():
        for before, after in zip(model.encode(events), model.encode(changed), strict=True):
            assert torch.equal(before, after)


def test_the_bound_has_the_gradient_of_difference_quotients(model):
    few = draw_events(4, np.random.default_rng(2), **SIZES)
    bias = model.log_rate[2].bias

    def bound():
        torch.manual_seed(3)
        return model.elbo(few).sum()

    (gradient,) = torch.autograd.grad(bound(), bias)
    with torch.no_grad():
        bias += 1e-2
        above = bound()
        bias -= 2e-2
        below = bound()
    assert gradient.item() == pytest.approx((above - below).item() / 2e-2, rel=0.02, abs=0.05)


def test_the_run_writes_what_was_learnt_beside_the_truth(tmp_path):
    arguments = {"iterations": 2, "series": 6, "test_series": 5, "log_every": 1, "shown": 2}
    study = load_study({"profile": "test", "experiments": ["D6"], "overrides": {"D6": {"arguments": arguments}}})
    fit(study.run("D6", "main", 1), tmp_path, tmp_path / "checkpoint.pt", device="cpu", progress=False)
    metrics = pd.read_csv(tmp_path / "metrics.csv").set_index("quantity").value
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert set(curves.series) == {"truth", "learnt", "constant", "event"}
    assert metrics["gained on a constant rate by the true one"] > 0
    assert metrics["gained on a constant rate"] < metrics["gained on a constant rate by the true one"]
    assert metrics["integral error"] < 0.02
