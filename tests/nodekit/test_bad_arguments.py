"""Any value of any argument of odeint: a solution, or an error with a name; nothing hangs."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils._pytree import tree_map

import nodekit
from tests.trust import refusal

COMMAND = 'make test OPTIONS="-n0 --hypothesis-profile many --record-trust tests/nodekit/test_bad_arguments.py"'
NUMBERS = st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from([0, -1, 1e-300, 1e300, 10**400])
TENSORS = st.builds(
    lambda shape, dtype, value: torch.full(shape, value).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.complex64, torch.int64, torch.bool]),
    st.sampled_from([0.5, -1.0, 0.0, math.nan, math.inf]),
)
ARRAYS = st.sampled_from([np.ones(2, ">f8"), np.ones(2, np.longdouble), np.array(["x"]), np.array([None]), np.ones(0)])
OBJECTS = st.none() | st.booleans() | st.text(max_size=3) | st.binary(max_size=3) | st.just(object()) | st.just(1j)
VALUES = st.recursive(
    NUMBERS | TENSORS | ARRAYS | OBJECTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=2), values, max_size=2),
    max_leaves=4,
)
OPTIONS = [
    *("step_size", "first_step", "min_step", "max_step", "safety", "ifactor", "dfactor", "controller", "pcoeff"),
    *("max_num_steps", "interp", "norm", "step_t", "jump_t", "grid_constructor", "checkpoints", "stepsize"),
]
ARGUMENTS = ["func", "y0", "t", "rtol", "atol", "method", "options", "gradient", "event_fn", "batch"]
VALID = {"t": [0.0, 0.5, 1.0], "rtol": 1e-3, "atol": 1e-3, "y0": torch.ones(2, 3, dtype=torch.float64)}


def decay(t, y):
    return tree_map(lambda x: -x, y)


def solved(name: str, value, option: bool, method: str):
    """Solve with one argument, or one option, changed; a hundred steps are enough for what is valid."""
    options = {"max_num_steps": 100} if method == "dopri5" else {}
    given = {"func": decay, "method": method, **VALID, "options": options}
    if option:
        given["options"] = {**options, name: value}
    else:
        given[name] = value
    return nodekit.odeint(given.pop("func"), given.pop("y0"), given.pop("t"), **given)


@pytest.mark.filterwarnings("ignore")
def test_any_value_of_any_argument_is_solved_with_or_refused_by_name(trust):
    with trust("arguments of odeint, of any kind: a solution, or an error that is nodekit's own", COMMAND) as count:
        refused = 0

        arguments, options = st.sampled_from(ARGUMENTS), st.sampled_from(OPTIONS)

        @given(
            st.tuples(arguments, st.just(False)) | st.tuples(options, st.just(True)),
            VALUES,
            st.sampled_from(["dopri5", "rk4"]),
        )
        @example(("step_size", True), 1e-300, "rk4")
        @example(("step_size", True), math.inf, "rk4")
        @example(("t", False), "abc", "dopri5")
        @example(("t", False), [-1e19, 0.0], "dopri5")
        @example(("first_step", True), 1e-300, "dopri5")
        @example(("max_step", True), 1e-300, "dopri5")
        @example(("method", False), torch.ones(0), "dopri5")
        @example(("y0", False), np.ones(2, np.longdouble), "dopri5")
        @example(("rtol", False), [1.0], "dopri5")
        def try_one(argument, value, method):
            nonlocal refused
            count.tried += 1
            with warnings.catch_warnings(action="ignore"):
                found, message = refusal(nodekit.NodekitError, lambda: solved(argument[0], value, argument[1], method))
            refused += bool(message)
            assert message or found is not None

        try_one()
        count.figure = f"{refused} refused, the others solved"


def test_an_empty_list_of_options_is_none_as_it_arrives_from_r():
    y = nodekit.odeint(lambda t, y: -y, torch.ones(1), [0.0, 1.0], options=[])
    torch.testing.assert_close(y[-1], torch.tensor([math.exp(-1)]))
