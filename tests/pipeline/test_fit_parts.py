"""The parts of rows D1 to D5: systems, series, targets and baselines, held to what is known of them."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from nodekit.flows import ContinuousFlow, MLPField
from pipeline.fit.densities import exactly
from pipeline.fit.latent import RecurrentForecaster, observations, roughness
from pipeline.fit.planes import ENERGIES, draw_points, log_normalizer, square
from pipeline.fit.series import draw_spirals
from pipeline.fit.spiral import SpiralField, SpiralNetwork, Together, frame_iterations, truth
from pipeline.study import load_experiments

SPIRALS = {"end": 6 * math.pi, "points": 500, "piece": 100, "noise": 0.3}


def test_true_spiral_loses_what_its_diagonal_takes():
    # y' = (y³) A: d/dt Σ y⁴/4 = (y³) A (y³)ᵀ = −0.1 Σ y⁶, the rotation drops out.
    start, t = torch.tensor([2.0, 0.0]), torch.linspace(0, 25, 20001)
    states = truth(start, t).double()
    energy = (states**4).sum(1) / 4
    lost = 0.1 * integrate.simpson((states**6).sum(1).numpy(), x=t.numpy())
    assert (energy[0] - energy[-1]).item() == pytest.approx(lost, rel=1e-4)
    torch.testing.assert_close(SpiralField()(t, start), torch.tensor([-0.8, 16.0]))


def test_networks_together_are_the_networks_one_by_one():
    class Fitted:
        model = SpiralNetwork(7)
        snapshots = {k: SpiralNetwork(7).state_dict() for k in (0, 5, 3)}  # noqa: RUF012

    y = torch.randn(3, 2)
    slopes = Together(Fitted)(torch.zeros(()), y)
    for k, iteration in enumerate(sorted(Fitted.snapshots)):
        Fitted.model.load_state_dict(Fitted.snapshots[iteration])
        torch.testing.assert_close(slopes[k], Fitted.model(torch.zeros(()), y[k]))


def test_frames_go_from_the_first_to_the_last_iteration():
    frames = frame_iterations(3000, 24)
    assert frames[0] == 0
    assert frames[-1] == 3000
    assert len(frames) == 24
    assert np.all(np.diff(np.diff(frames)) >= -1), "close together at first"


def test_spirals_are_seen_as_often_as_asked_and_both_ways():
    drawn = draw_spirals(40, 30, np.random.default_rng(1), **SPIRALS)
    assert drawn.clean.shape == (40, 200, 2)
    assert torch.equal(drawn.mask.sum(1), torch.full((40,), 30))
    assert drawn.mask[:, 0].all()
    assert not torch.equal(drawn.mask[0], drawn.mask[1])
    centre = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])[torch.arange(40) % 2]
    arm = drawn.clean - centre[:, None]
    turn = arm[:, 0, 0] * arm[:, 1, 1] - arm[:, 0, 1] * arm[:, 1, 0]
    assert torch.equal(turn > 0, torch.arange(40) % 2 == 1), "every other one turns counter-clockwise"
    noise = drawn.observed - drawn.clean[:, :100]
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    # An Archimedean spiral's radius grows by 0.3 a radian.
    angle = drawn.times[-1] - drawn.times[0]
    assert (arm[1, -1].norm() - arm[1, 0].norm()).item() == pytest.approx(0.3 * angle.item(), rel=1e-3)


def test_forecaster_predicts_the_same_at_once_and_step_by_step():
    torch.manual_seed(0)
    model, times = RecurrentForecaster(2, 8), torch.tensor([0.0, 0.5, 0.7, 2.0])
    x, mask = torch.randn(3, 4, 2), torch.ones(3, 4, dtype=torch.bool)
    later = torch.tensor([2.5, 4.0])
    first, second = model.predict(x, times, later, mask).unbind(1)
    longer = torch.cat((x, first[:, None]), dim=1)
    every = torch.ones(3, 5, dtype=torch.bool)
    again = model.predict(longer, torch.cat((times, later[:1])), later[1:], every)[:, 0]
    torch.testing.assert_close(again, second)
    reconstructed, at = model.reconstruct(longer, torch.cat((times, later[:1])), every)
    torch.testing.assert_close(reconstructed[:, -1], first)
    torch.testing.assert_close(at[0], torch.tensor([0.5, 0.7, 2.0, 2.5]))


def test_observations_are_those_of_the_mask():
    x, times = torch.arange(12.0).view(2, 3, 2), torch.tensor([0.0, 1.0, 5.0])
    values, at = observations(x, times, torch.tensor([[True, False, True], [True, True, False]]))
    assert values.tolist() == [[[0, 1], [4, 5]], [[6, 7], [8, 9]]]
    assert at.tolist() == [[0, 5], [0, 1]]


def test_normalizer_of_the_wave_is_analytic():
    # Normal across the wave, flat along it, with two half normal walls.
    side = 0.4 * math.sqrt(2 * math.pi)
    assert log_normalizer(ENERGIES["wave"]) == pytest.approx(math.log(side * (8 + side)), abs=1e-4)


def test_normalizer_of_the_ring_is_that_of_quadrature():
    def density(y, x):
        return math.exp(-ENERGIES["ring"](torch.tensor([x, y], dtype=torch.float64)).item())

    # Symmetric in both coordinates.
    quarter, _ = integrate.dblquad(density, 0, 5, 0, 5, epsabs=1e-4, epsrel=1e-4)
    assert log_normalizer(ENERGIES["ring"]) == pytest.approx(math.log(4 * quarter), abs=1e-3)


@pytest.mark.parametrize(("name", "radii"), [("circles", {0.5, 1.0})])
def test_circles_have_their_radii(name, radii):
    points = draw_points(name, 400, 0.0, 1)
    assert {round(radius, 4) for radius in points.norm(dim=1).tolist()} == radii


def test_grid_covers_its_square():
    grid, area = square(2.0, 5)
    assert grid.shape == (25, 2)
    assert grid.abs().max() == 2
    assert area == 1


def test_exact_twin_shares_the_field():
    flow = ContinuousFlow(MLPField(2, (4,)), trace="hutchinson", method="rk4", options={"step_size": 0.5})
    twin, x = exactly(flow), torch.randn(5, 2)
    torch.testing.assert_close(twin(x)[0], flow(x)[0])
    torch.testing.assert_close(twin.log_prob(x), twin.log_prob(x))


@pytest.mark.parametrize("name", ["D1", "D2", "D3", "D4", "D5"])
def test_documented_sizes_are_those_of_the_study_map(name):
    given = load_experiments()[name].settings.arguments
    documented = {
        "D1": {"initial": [2.0, 0.0], "end": 25.0, "points": 1000, "window": 20, "hidden": 50, "iterations": 3000},
        "D2": {"series": 1000, "piece": 100, "points": 500, "noise": 0.3, "latent": 4, "hidden": 20, "recurrent": 25},
        "D3": {"hidden": 32, "width": 16, "noise": 0.08, "samples": 512, "iterations": 1100},
        "D4": {"sizes": [2, 8, 32]},
        "D5": {"hidden": [64, 64]},
    }[name]
    assert {key: given[key] for key in documented} == documented


def test_roughness_is_how_far_each_step_differs_from_the_one_before():
    angle = torch.arange(20) * 0.1
    circle = 3 * torch.stack([angle.cos(), angle.sin()], dim=-1)
    line = torch.stack([angle, 2 * angle], dim=-1)
    # A step of a circle is turned by its angle: the difference of two is 2 r (1 − cos 0.1).
    assert roughness(circle[None]) == pytest.approx(2 * 3 * (1 - math.cos(0.1)), rel=1e-4)
    assert roughness(line[None]) == pytest.approx(0, abs=1e-6)
