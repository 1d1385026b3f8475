"""P5: springs pull as their energy says, nothing pushes from outside, and two of the four methods keep the energy."""

import numpy as np
import pandas as pd
import pytest

from pipeline.compute.physics import Springs, growth, springs
from pipeline.study import load_study


@pytest.fixture
def system():
    return Springs(np.array([1.0, 1.5, 2.0]), np.array([2.0, 3.0, 4.0]), np.array([1.0, 1.5, 0.5]))


@pytest.fixture
def state():
    draw = np.random.default_rng(1)
    return draw.normal(size=(3, 2)), draw.normal(size=(3, 2))


def test_the_energy_of_two_bodies_is_that_of_the_textbook():
    pair = Springs(np.array([2.0, 3.0]), np.array([5.0]), np.array([1.0]))
    positions, velocities = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    # 2·1²/2 + 3·2²/2 of motion; of the spring, 5 long and 1 at rest, 5·4²/2.
    assert pair.energy(positions, velocities) == pytest.approx(1 + 6 + 40)


def test_forces_are_the_slope_of_the_energy(system, state):
    positions, velocities = state
    forces = system.slope(0.0, state)[1] * system.masses[:, None]
    for index in np.ndindex(positions.shape):
        step = np.zeros_like(positions)
        step[index] = 1e-6
        above, below = (system.energy(positions + sign * step, velocities) for sign in (1, -1))
        assert forces[index] == pytest.approx(-(above - below) / 2e-6, abs=1e-6)


def test_forces_add_up_to_nothing(system, state):
    forces = system.slope(0.0, state)[1] * system.masses[:, None]
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-12)


def test_growth_tells_what_stays_from_what_grows_in_proportion_to_time():
    assert growth(pd.Series(np.ones(40))) == 1
    assert growth(pd.Series(np.arange(4000) + 0.5)) == pytest.approx(7)


def test_symplectic_methods_keep_the_energy_and_others_do_not():
    energy = {"end": 120.0, "windows": 24}
    overrides = {"P5": {"arguments": {"energy": energy, "points": 11}}}
    study = load_study({"profile": "test", "experiments": ["P5"], "overrides": overrides})
    metrics = springs(study.run("P5", "main", 1))["metrics"].set_index("quantity").value
    kept = metrics[[f"energy error growth, {method}" for method in ("leapfrog", "yoshida4")]]
    lost = metrics[[f"energy error growth, {method}" for method in ("rk4", "dopri5")]]
    assert (kept < 1.2).all()
    assert (lost > 4).all()
