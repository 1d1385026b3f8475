"""Wrong configurations: every one is refused by name, with the place and, for a misspelt key, the nearest name."""

import copy
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import study
from pipeline.study import ConfigurationError, Profile, Settings, known_keys, load_study
from tests.trust import refusal

COMMAND = 'make test OPTIONS="-n0 --hypothesis-profile many --record-trust tests/pipeline/test_bad_configurations.py"'
VALID = {
    "profile": "test",
    "experiments": ["P3", "N1", "N3", "M1"],
    "device": "cpu",
    "checkpoint_seconds": 5,
    "expected_seconds": {"M1": 30},
    "overrides": {
        "M1": {"seeds": 1, "dataset": {"train_images": 100}, "solver": {"step_size": 0.1, "rtol": 0.1}},
        "N3": {"epochs": 2, "batch_size": 8, "optimizer": {"arguments": {"lr": 0.1}}},
    },
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), values, max_size=3)
    ),
    max_leaves=5,
)


def places(values, path=()):
    """The path to every value of a nested mapping."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def changed(path, change):
    """The valid configuration, its mapping at `path[:-1]` changed by `change(mapping, path[-1])`."""
    config = copy.deepcopy(VALID)
    mapping = config
    for key in path[:-1]:
        mapping = mapping[key]
    change(mapping, path[-1])
    return config


@pytest.fixture(autouse=True)
def experiments_read_once(monkeypatch):
    known = study.load_experiments()
    monkeypatch.setattr(study, "load_experiments", lambda: known)


def test_any_value_in_any_place_is_taken_or_refused_by_name(trust):
    with trust("configurations with any value in any place: valid, or refused with its place", COMMAND) as count:
        refused = 0

        @given(st.sampled_from(list(places(VALID))), ANYTHING)
        def try_one(path, value):
            nonlocal refused
            count.tried += 1
            config = changed(path, lambda mapping, key: mapping.update({key: value}))
            _, message = refusal(ConfigurationError, lambda: load_study(config))
            refused += bool(message)
            assert not message or message.startswith(("configuration: ", "M1, ", "N3, "))

        try_one()
        count.figure = f"{refused} refused, the others valid"


def misspelt(draw, key):
    """`key` with one letter left out, doubled or replaced."""
    at = draw(st.integers(0, len(key) - 1))
    return key[:at] + draw(st.sampled_from(["", key[at] * 2, "x"])) + key[at + 1 :]


def test_a_misspelt_key_is_refused_with_the_nearest_name(trust):
    keys = known_keys(Profile) + known_keys(Settings)
    schema = [path for path in places(VALID) if path[-1] in keys]
    with trust("configurations with a misspelt key: refused, naming the nearest", COMMAND) as count:

        @given(st.data())
        def try_one(data):
            path = data.draw(st.sampled_from(schema))
            wrong = misspelt(data.draw, path[-1])
            if wrong in keys:
                return
            count.tried += 1
            config = changed(path, lambda mapping, key: mapping.update({wrong: mapping.pop(key)}))
            with pytest.raises(ConfigurationError) as error:
                load_study(config)
            if difflib.get_close_matches(wrong, [path[-1]]):
                assert f"{wrong}'" in str(error.value) or "Field required" in str(error.value)
                assert "did you mean '" in str(error.value) or "Field required" in str(error.value)

        try_one()
