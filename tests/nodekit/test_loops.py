"""The loops of a shared solve, of independent samples and of a compiled solve take the same steps, and all end."""

import math

import pytest
import torch
from torch import nn

import nodekit
from nodekit import errors

RATE = 50.0


class Relaxation(nn.Module):
    """y' = −50 (y − cos t): y soon follows cos t."""

    def forward(self, t, y):
        return -RATE * (y - torch.cos(t))


def relaxed(t, y0, t0):
    """The exact solution."""

    def slow(t):
        return (RATE**2 * math.cos(t) + RATE * math.sin(t)) / (RATE**2 + 1)

    return slow(t) + (y0 - slow(t0)) * math.exp(-RATE * (t - t0))


FIELD = Relaxation()  # one for all, so that it is compiled once
FORWARDS, BACKWARDS = [0.0, 1.0], [0.1, 0.0]
#: (times, options); no limit is a power of two, which alone survives the rounding of t + size − t
CASES = {
    "no limits": (FORWARDS, {}),
    "backwards": (BACKWARDS, {}),
    "min_step": (FORWARDS, {"min_step": 0.01}),
    "min_step that stretches to the end": (FORWARDS, {"min_step": 0.0287}),
    "min_step backwards": (BACKWARDS, {"min_step": 0.003}),
    "min_step and max_step": (FORWARDS, {"min_step": 0.013, "max_step": 0.017}),
    "both the same": (FORWARDS, {"min_step": 0.013, "max_step": 0.013}),
    "min_step above first_step": (FORWARDS, {"min_step": 0.01, "first_step": 1e-5}),
    "min_step longer than the span": ([0.0, 0.03], {"min_step": 0.07}),
    "max_step and first_step": (FORWARDS, {"max_step": 0.011, "first_step": 0.0003}),
    "factors": (FORWARDS, {"safety": 0.8, "ifactor": 3.0, "dfactor": 0.4}),
}


def steps(times, options, method="dopri5", dtype=torch.float64, **more):
    """The last state, the steps accepted and rejected; more steps than any of these solves needs are a failure."""
    options = {"max_num_steps": 4000, **options}
    y0 = torch.zeros(1, 2, dtype=dtype)
    solution = nodekit.solve(FIELD, y0, times, method=method, options=options, rtol=1e-8, atol=1e-8, **more)
    stats = solution.stats
    return solution.y[-1], (int(stats.accepted), int(stats.rejected))


@pytest.mark.parametrize(
    ("case", "method", "controller"),
    [*((case, "dopri5", "I") for case in CASES), ("min_step", "bosh3", "PID"), ("backwards", "dopri8", "PI")],
)
def test_a_sample_takes_the_steps_of_a_shared_solve(case, method, controller):
    times, options = CASES[case]
    options = {**options, "controller": controller}
    shared, counts = steps(times, options, method)
    independent, counts_independent = steps(times, options, method, batch="independent")
    assert counts_independent == counts
    torch.testing.assert_close(independent, shared, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", [case for case in CASES if case != "factors"])  # which would be compiled anew
def test_a_compiled_solve_takes_the_steps_of_a_shared_one(case):
    shared, counts = steps(*CASES[case])
    compiled, counts_compiled = steps(*CASES[case], compile=True)
    assert counts_compiled == counts
    torch.testing.assert_close(compiled, shared, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", ["shared", "independent"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("min_step", [0.01, 1 / 150, 2**-7])
@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_steps_of_min_step_are_taken_whatever_their_error(method, min_step, dtype, batch):
    y, (accepted, rejected) = steps(FORWARDS, {"min_step": min_step}, method, dtype, batch=batch)
    assert accepted + rejected <= 1.0 / min_step + 10
    assert y[0, 0].item() == pytest.approx(relaxed(1.0, 0.0, 0.0), abs=1e-4)


@pytest.mark.parametrize("name", [name for name, method in nodekit.METHODS.items() if method.adaptive])
@pytest.mark.parametrize("stops", [{}, {"step_t": [0.0504, 0.503, 0.9999], "jump_t": [0.0, 0.0505, 1.0]}])
def test_min_step_ends_with_every_method_and_every_stop(name, stops):
    y, (accepted, rejected) = steps(FORWARDS, {"min_step": 0.0101, **stops}, name)
    assert accepted + rejected <= 1.0 / 0.0101 + 20
    if not name.startswith("reversible"):  # which such steps make unstable
        assert y[0, 0].item() == pytest.approx(relaxed(1.0, 0.0, 0.0), abs=1e-3)


@pytest.mark.parametrize("gradient", ["adjoint", "interpolated"])
def test_min_step_ends_in_a_backward_solve(gradient):
    y0 = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    options = {"min_step": 0.003, "max_num_steps": 400}
    given = {"rtol": 1e-10, "atol": 1e-12, "method": "bosh3", "options": options, "gradient": gradient}
    (found,) = torch.autograd.grad(nodekit.odeint(FIELD, y0, [0.0, 0.1], **given)[-1].sum(), y0)
    assert found.item() == pytest.approx(math.exp(-RATE * 0.1), abs=1e-4)


@pytest.mark.parametrize("method", ["trbdf2", "kvaerno3", "kvaerno5", "radauIIA5", "sdirk2"])
@pytest.mark.parametrize("min_step", [0.1, 0.07])
def test_a_step_of_min_step_whose_equations_have_no_solution_is_a_failure(min_step, method):
    """y' = y² + 1000: implicit steps of a tenth have no real stages, smaller ones are not allowed."""
    options = {"min_step": min_step, "max_num_steps": 400}
    func = lambda t, y: y * y + 1000  # noqa: E731
    y0 = torch.zeros(1, dtype=torch.float64)
    status = nodekit.solve(func, y0, [0.0, 1.0], method=method, options=options, throw=False).status
    assert isinstance(status, errors.NewtonDidNotConverge)
