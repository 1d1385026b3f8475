"""What goes with what: every row of the table is kept to, and printed as it is."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

import nodekit
from docs.tables import filled
from nodekit import errors
from nodekit._choices.requirements import TABLE


class Field(nn.Module):
    """A derivative with a parameter and, if asked for, with batch normalisation."""

    def __init__(self, normalised=False):
        super().__init__()
        self.layer = nn.Linear(2, 2).double()
        self.norm = nn.BatchNorm1d(2).double() if normalised else nn.Identity()

    def forward(self, t, y):
        return self.norm(self.layer(y))


def with_callback():
    field = Field()
    field.callback_step = lambda t, y, dt: None
    return field


def first(t, y):
    return y[:, 0] - 0.5


def grid(func, y0, t):
    return t


Y0 = torch.ones(3, 2, dtype=torch.float64)
ENDLESS = {"t": [0.0, math.inf], "events": [lambda t, y: y[0, 0] - 0.5], "func": lambda t, y: -y}
MASS = {"mass_matrix": torch.tensor([1.0, 2.0])}
#: choice → arguments that make it and go together; then, in the order of the table, what breaks one of its needs each
CASES = {
    "the option mass_matrix": (
        {"method": "radauIIA5", "options": MASS},
        {"method": "gl4"},
        {"gradient": "adjoint"},
        {"y0": Y0 + 0j},
        {"batch": "independent"},
        {"options": {**MASS, "solver": "anderson"}},
    ),
    "batch='independent'": (
        {"batch": "independent"},
        {"method": "alf"},
        {"method": "kvaerno3", "options": {"solver": "krylov"}},
        {"gradient": "interpolated"},
        {"gradient": "adjoint", "method": "auto"},
        {"events": [first], "method": "rk4"},
        {"events": [nodekit.Event(first, max_count=2)]},
        {"options": {"grid_constructor": grid}},
        {"dense": True},
        {"compile": True},
        {"progress": True},
    ),
    "compile=True": (
        {"compile": True},
        {"method": "kvaerno3"},
        {"gradient": "backprop"},
        {"func": Field(normalised=True)},
        {"func": with_callback()},
        {"y0": Y0 + 0j},
        {"rtol": lambda t: 1e-6},
        {"options": {"norm": lambda x: x.abs().max()}},
        {"options": {"perturb": True}, "method": "rk4"},
        {"options": {"checkpoints": 2}},
        {"events": [lambda t, y: y[0, 0] - 0.5]},
    ),
    "gradient='reversible'": ({"gradient": "reversible"}, {"method": "trapezoid"}),
    "method='leapfrog' or 'yoshida4'": (
        {"method": "leapfrog", "y0": (Y0.clone().requires_grad_(), Y0), "func": lambda t, y: (y[1], -y[0])},
        {"y0": Y0},
        {"gradient": "adjoint"},
    ),
    "method='auto'": ({"method": "auto"}, {"options": {"step_size": 0.5}}),
    "method='scipy_solver'": (
        {"method": "scipy_solver", "gradient": "adjoint"},
        {"events": [first]},
        {"dense": True},
        {"atol": lambda t: 1e-6},
    ),
    "the option step_size": (
        {"options": {"step_size": 0.5}},
        {"options": {"step_size": 0.5, "grid_constructor": grid}},
    ),
    "a t that ends in infinity": (ENDLESS, {"method": "rk4"}),
    "adjoint_method": (
        {"gradient": "adjoint", "adjoint_method": "bosh3"},
        {"adjoint_method": "scipy_solver"},
        {"options": {"first_step": 0.1}},
    ),
    "adjoint_options": (
        {"gradient": "adjoint", "adjoint_options": {"norm": "seminorm"}},
        {"adjoint_options": {"norm": "max"}},
    ),
}
BROKEN = [
    (row.choice, words, change) for row in TABLE for words, change in zip(row.needs, CASES[row.choice][1:], strict=True)
]


def solved(**given):
    given = {"func": Field(), "y0": Y0, "t": [0.0, 1.0], **given}
    return nodekit.solve(given.pop("func"), given.pop("y0"), given.pop("t"), **given)


@pytest.mark.parametrize(
    ("choice", "words", "change"), BROKEN, ids=[f"{choice}: {words}" for choice, words, _ in BROKEN]
)
def test_a_choice_is_refused_without_what_it_goes_with_and_nothing_else_is_missed(choice, words, change):
    with pytest.raises(errors.UnsupportedCombination) as refused:
        solved(**{**CASES[choice][0], **change})
    assert refused.value.message == f"{choice} goes only with {words}"


@pytest.mark.parametrize(
    "choice", [choice for choice in CASES if choice != "compile=True"]
)  # which test_compiled solves
def test_a_choice_is_solved_with_what_it_goes_with(choice):
    assert solved(**CASES[choice][0]).success


def test_everything_that_is_missing_is_said_at_once():
    with pytest.raises(errors.UnsupportedCombination, match=r"explicit Runge–Kutta.*checkpoint.*state of real tensors"):
        solved(compile=True, gradient="adjoint", method="trapezoid", y0=Y0 + 0j)


@pytest.mark.parametrize("change", [{"dense": True}, {}])
def test_a_gradient_that_is_not_taken_needs_nothing(change):
    """Dense output is differentiated by backprop, and without gradients there is nothing to undo."""
    with torch.set_grad_enabled(bool(change)):
        assert solved(method="trapezoid", gradient="reversible", **change).success


def test_the_backward_solves_own_options_go_together_too():
    with pytest.raises(errors.UnsupportedCombination, match="exclusive"):
        solved(gradient="adjoint", adjoint_options={"step_size": 0.5, "grid_constructor": grid})


def test_the_tables_of_the_documentation_are_those_of_the_code():
    text = Path("docs/solving.md").read_text(encoding="utf-8")
    assert filled(text) == text, "run: python docs/tables.py"


def growth(method, z):
    """|R(z)|: what one step of length 1 makes of y' = z y from 1, for z on the imaginary axis or to the left of it."""
    turn = torch.tensor([[z.real, -z.imag], [z.imag, z.real]], dtype=torch.float64)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    options = {"step_size": 1.0, "check_finite": False}
    return nodekit.solve(lambda t, y: turn @ y, start, [0.0, 1.0], method=method, options=options).y[-1].norm().item()


@pytest.mark.parametrize("name", [name for name, method in nodekit.METHODS.items() if method.tableau is not None])
def test_steps_of_stiff_methods_and_of_no_others_decay_with_the_solution(name):
    found = [growth(name, z) for z in (-0.1, -1e3 + 1e2j, -1e-3 + 1j, 3j, 1e3j)]
    assert nodekit.METHODS[name].stiff == all(x <= 1 + 1e-6 for x in found)
