"""SciPy's solvers as a reference."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import nodekit
from nodekit import errors

T = torch.linspace(0.0, 2.0, 5, dtype=torch.float64)
Y0 = torch.tensor([[0.3, -0.8]], dtype=torch.float64)


def field(t, y):
    return torch.sin(y) * (1 + t)


@pytest.mark.parametrize("solver", ["LSODA", "RK45", "DOP853", "Radau", "BDF"])
@pytest.mark.parametrize("flip", [False, True])
def test_scipy_and_nodekit_agree(solver, flip):
    t = T.flip(0) if flip else T
    theirs = nodekit.odeint(field, Y0, t, rtol=1e-9, atol=1e-11, method="scipy_solver", options={"solver": solver})
    ours = nodekit.odeint(field, Y0, t, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-7)


def test_only_a_continuous_adjoint_differentiates_scipy():
    module = nn.Linear(2, 2).double()

    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = module

        def forward(self, t, y):
            return torch.tanh(self.linear(y))

    gradients = [
        torch.autograd.grad(nodekit.odeint_adjoint(Field(), Y0, T, method=method).sum(), module.parameters())
        for method in ("scipy_solver", "dopri5")
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
    y = nodekit.odeint(Field(), Y0, T, method="scipy_solver")
    with pytest.raises(errors.GradientUnavailable, match="adjoint"):
        y.sum().backward()
    with pytest.raises(errors.GradientUnavailable, match="adjoint"):
        nodekit.odeint(Field(), Y0, T, method="scipy_solver", gradient="backprop")


def test_scipys_failure_is_ours():
    with pytest.raises(errors.SolveFailed, match="SciPy"):
        nodekit.odeint(lambda t, y: y**2, Y0.abs(), 10 * T, method="scipy_solver", options={"solver": "RK45"})


def test_nodekit_imports_nothing_beyond_torch_and_numpy():
    heavy = "scipy pandas rpy2 snakemake pydantic skimage sklearn tqdm"
    code = (
        f"import torch, numpy, sys; before = set(sys.modules); import nodekit; "
        f"print([m for m in '{heavy}'.split() if m in set(sys.modules) - before])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_the_progress_meter_reaches_the_end(capsys):
    nodekit.solve(field, Y0, T, progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert shown.endswith("\n")


def test_a_function_may_keep_the_states_it_is_given():
    kept = []

    def field(t, y):
        kept.append((y, y.clone()))
        return -y

    nodekit.odeint(field, Y0, T, method="scipy_solver")
    assert len(kept) > 10
    assert all(torch.equal(state, then) for state, then in kept)
