"""Stiff problems and the DETEST set, compared with SciPy at a tight tolerance."""

import functools

import numpy as np
import pytest
import torch
from detest import CLASSICAL, NONSTIFF, STIFF
from scipy.integrate import solve_ivp

import nodekit

PROBLEMS = CLASSICAL | NONSTIFF | STIFF


@functools.cache
def reference(name: str) -> np.ndarray:
    """SciPy's solution at the end."""
    problem = PROBLEMS[name]

    def slope(t, y):
        return problem.slope(torch.tensor(t, dtype=torch.float64), torch.tensor(y)).numpy()

    solver = "DOP853" if name in NONSTIFF else "LSODA"
    start = np.array(problem.start, dtype=float)
    solution = solve_ivp(slope, (0, problem.end), start, method=solver, rtol=1e-9, atol=1e-12)
    assert solution.success
    return solution.y[:, -1]


def error(name: str, method: str, rtol: float, atol: float) -> tuple[float, nodekit.Stats]:
    """The largest error at the end, in units of atol + rtol·|y|, and what the solve did."""
    problem = PROBLEMS[name]
    y0 = torch.tensor(problem.start, dtype=torch.float64)
    solution = nodekit.solve(problem.slope, y0, [0.0, problem.end], method=method, rtol=rtol, atol=atol)
    exact = reference(name)
    return float(np.max(np.abs(solution.y[-1].numpy() - exact) / (atol + rtol * np.abs(exact)))), solution.stats


@pytest.mark.parametrize(("name", "atol"), [("robertson", 1e-8), ("van der Pol", 1e-4), ("HIRES", 1e-7)])
@pytest.mark.parametrize("method", ["trbdf2", "kvaerno3", "kvaerno5", "radauIIA3", "radauIIA5", "sdirk2"])
def test_stiff_problems_are_solved_to_tolerance_in_few_steps(name, atol, method):
    """An explicit method would need millions: Robertson's rates reach 1e4, over an interval of 1e4."""
    found, stats = error(name, method, 1e-4, atol)
    assert found < 100
    assert stats.accepted < 1500


@pytest.mark.parametrize("name", ["robertson", "van der Pol", "HIRES"])
def test_radau_follows_the_tolerance_on_stiff_problems(name):
    for rtol in (1e-5, 1e-7):
        assert error(name, "radauIIA5", rtol, 1e-4 * rtol)[0] < 10


@pytest.mark.parametrize("method", ["dopri5", "radauIIA5"])
@pytest.mark.parametrize("name", NONSTIFF)
def test_detest_is_solved_to_tolerance(name, method):
    # Neighbouring solutions part: by a factor of hundreds over the orbits of class D.
    assert error(name, method, 1e-6, 1e-6)[0] < (2000 if name[0] == "D" else 50)


@pytest.mark.parametrize("method", ["kvaerno5", "radauIIA5", "trbdf2"])
@pytest.mark.parametrize("name", STIFF)
def test_stiff_detest_is_solved_to_tolerance(name, method):
    assert error(name, method, 1e-4, 1e-6)[0] < 100
