"""A tableau checks itself: no slip in a coefficient survives construction."""

import math

import numpy as np
import pytest

import nodekit
from nodekit import ButcherTableau
from nodekit._methods.tableau import rooted_trees
from nodekit.errors import InvalidTableau

TABLEAUS = {name: m.tableau for name, m in nodekit.METHODS.items() if m.tableau is not None}


def test_rooted_trees_are_counted_as_by_cayley():
    assert [len(rooted_trees(order)) for order in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("name", TABLEAUS)
def test_no_method_has_a_higher_order_than_it_declares(name):
    tableau = TABLEAUS[name]
    with pytest.raises(InvalidTableau, match="order"):
        ButcherTableau(tableau.c, tableau.A, tableau.b, tableau.order + 1)


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUS.items() if tableau.explicit])
def test_dense_output_is_as_accurate_as_the_steps(name):
    """Its local error dt^(q+1) is of the order of the global error dt^p when q ≥ p − 1."""
    tableau = TABLEAUS[name]
    assert tableau.dense_order() >= tableau.order - 1


def test_a_wrong_coefficient_is_refused():
    good = {"c": [0, 1 / 2, 1 / 2, 1], "A": [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], "order": 4}
    ButcherTableau(**good, b=[1 / 6, 1 / 3, 1 / 3, 1 / 6])
    with pytest.raises(InvalidTableau, match="order conditions hold up to 1"):
        ButcherTableau(**good, b=[1 / 3, 1 / 6, 1 / 3, 1 / 6])
    with pytest.raises(InvalidTableau, match="row sums"):
        ButcherTableau(**{**good, "c": [0, 1 / 2, 1 / 3, 1]}, b=[1 / 6, 1 / 3, 1 / 3, 1 / 6])
    with pytest.raises(InvalidTableau, match="embedded"):
        ButcherTableau(**good, b=[1 / 6, 1 / 3, 1 / 3, 1 / 6], b_embedded=[1 / 2, 0, 0, 0])
    with pytest.raises(InvalidTableau, match="dense output"):
        ButcherTableau(**good, b=[1 / 6, 1 / 3, 1 / 3, 1 / 6], interpolation=np.ones((4, 1)))


@pytest.mark.parametrize("method", ["dopri5", "tsit5", "dopri8", "bosh3", "rk4"])
def test_dense_output_converges_at_the_order_of_the_method(method):
    """Between the steps too: y' = cos t · y."""
    order = nodekit.METHODS[method].order
    steps = (6, 8) if order == 8 else (20, 40)
    errors = []
    for n in steps:
        h = 2.0 / n
        t = [0.0, *(h * (i + theta) for i in range(n) for theta in (0.21, 0.5, 0.83)), 2.0]
        y = nodekit.solve(lambda t, y: y * math.cos(t), 1.0, t, method=method, options={"step_size": h}).y
        errors.append(np.abs(y - np.exp(np.sin(t))).max())
    slope = math.log(errors[0] / errors[1]) / math.log(steps[1] / steps[0])
    assert slope > order - 0.3
