"""Models are built by name, and a wrong name or argument is answered with the right one."""

import pytest

from pipeline.models import MODELS, build
from pipeline.study import ConfigurationError, Model, Solver, load_experiments


def test_every_model_of_the_experiments_is_known():
    used = {e.settings.model.name for e in load_experiments().values() if e.settings.model}
    assert used <= set(MODELS)


def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean 'iceberg_resnet'"):
        build(Model(name="iceberg_resnett"), None)


def test_unknown_argument_names_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"no argument class; it takes channels, classes, filters"):
        build(Model(name="shapes_odenet", arguments={"class": 3}), Solver(method="euler"))


def test_ode_network_without_solver_is_refused():
    with pytest.raises(ConfigurationError, match="solver"):
        build(Model(name="mnist_odenet"), None)
