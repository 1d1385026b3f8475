"""Rows Q1 to Q6: what each computes is what its text says."""

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.compute.adjoint import small_problem
from pipeline.compute.flow_capacity import fitted_flow, least_increasing_error
from pipeline.compute.functional_input import functional_input, random_functions, values_at
from pipeline.compute.layer_gradients import CLASSES, IMAGE, gradient_norms, sigmoid_network
from pipeline.compute.observed_adjoint import observed_adjoint, with_jumps
from pipeline.compute.samples import sample_images
from pipeline.compute.trace_and_determinant import determinant, operations, trace
from pipeline.data import ImageSplits
from pipeline.study import load_study

EXPERIMENTS = ["Q1", "Q2", "Q3", "Q4", "Q5", "Q6"]


def run_of(experiment, variant="main", **arguments):
    overrides = {experiment: {"arguments": arguments}}
    study = load_study({"profile": "test", "experiments": EXPERIMENTS, "overrides": overrides})
    return study.run(experiment, variant, 1)


def metrics_of(tables):
    return tables["metrics"].set_index("quantity").value


def test_least_error_of_an_increasing_function_is_that_of_the_integral():
    # A constant up to b, then x²: the mean of x² from −1 to b is b² at b = 1/2, and the squared error is 9/160.
    x = np.linspace(-1, 1, 20001)
    assert least_increasing_error(x, x**2) == pytest.approx(np.sqrt(9 / 160), rel=1e-3)
    assert least_increasing_error(x, x**3) == 0


def test_one_dimension_keeps_the_order_of_its_inputs_and_two_need_not():
    flat, round_about = (
        fitted_flow(run_of("Q1", variant, iterations=60, points=17))
        for variant in ("quadratic", "quadratic_in_two_dimensions")
    )
    fitted = [tables["history"].query("series == 'fit'").fitted for tables in (flat, round_about)]
    assert fitted[0].is_monotonic_increasing
    assert not fitted[1].is_monotonic_increasing
    assert metrics_of(flat)["error_less_least_of_an_increasing_function"] > 0


def test_gradient_norms_are_those_of_difference_quotients():
    given = {"depth": 4, "width": 3, "shortcut": True}
    norms = gradient_norms({"kind": "sigmoid", **given}, batch=5, seed=3)
    torch.manual_seed(3)
    network = sigmoid_network(**given)
    images, labels = torch.randn(5, *IMAGE), torch.randint(CLASSES, (5,))
    network.double()

    def loss():
        with torch.no_grad():
            return nn.functional.cross_entropy(network(images.double()), labels).item()

    for layer, norm in list(zip([m for m in network if isinstance(m, nn.Linear)], norms, strict=True))[1:]:
        quotients = []
        for weight in layer.weight.data.view(-1).split(1):
            weight += 1e-5
            above = loss()
            weight -= 2e-5
            quotients.append((above - loss()) / 2e-5)
            weight += 1e-5
        assert norm == pytest.approx(np.linalg.norm(quotients), rel=1e-4)


def test_with_one_observation_the_adjoint_is_that_of_the_end():
    given = run_of("Q3").settings.arguments
    problem = small_problem({**given, "span": [0.0, 2.0]})
    _, at_start, by_theta = with_jumps(problem, np.array([2.0]), problem.target[None], points=3)
    np.testing.assert_allclose(at_start, problem.adjoint()[1], rtol=1e-8)
    np.testing.assert_allclose(by_theta, problem.adjoint()[2], rtol=1e-8)


def test_the_adjoint_jumps_by_each_observation_s_own_gradient():
    given = run_of("Q3").settings.arguments
    problem, times = small_problem(given), np.array([1.0, 2.5])
    targets = np.array([[0.3, 0.2], [-0.4, 1.0]])
    curve = with_jumps(problem, times, targets, points=3)[0].set_index("segment")[["a1", "a2"]]
    before, after = curve.loc[0].iloc[0], curve.loc[1].iloc[-1]
    state = small_problem({**given, "span": [0.0, 1.0]}).solve()
    np.testing.assert_allclose(before - after, 2 * (state - targets[0]), rtol=1e-8)


def test_the_adjoint_with_jumps_agrees_with_differences_and_with_one_call():
    assert (metrics_of(observed_adjoint(run_of("Q3", points=5))) < 1e-9).all()


@pytest.mark.parametrize(("variant", "darkest"), [("iceberg", [0, 0]), ("mnist", [0, 128])])
def test_sample_images_are_scaled_each_or_together(variant, darkest):
    images = np.stack([np.linspace(low, 3, 12, dtype=np.float32).reshape(1, 3, 4) for low in (-1, 1)])
    labels = np.array([1, 0])
    splits = ImageSplits(images, labels, images, labels, "invented", "computed", ("a", "b"))
    tables = sample_images(run_of("Q4", variant, images=2), splits)
    history = tables["history"]
    levels = history.channel1.str.split(expand=True).astype(int)
    assert levels.shape == (6, 4)
    assert levels.groupby(history.image).min().min(axis=1).tolist() == darkest
    assert levels.groupby(history.image).max().max(axis=1).tolist() == [255, 255]
    assert history.groupby("image").label.first().tolist() == ["b", "a"]
    assert metrics_of(tables)["side"] == 3
    assert set(history.data_source) == {"invented"}


@pytest.mark.parametrize(("size", "expected"), [(2, 4), (3, 15)])
def test_operations_of_a_determinant_are_counted(size, expected):
    matrix = np.random.default_rng(1).normal(size=(size, size))
    value, count = operations(determinant, matrix)
    assert value == pytest.approx(np.linalg.det(matrix))
    assert count == expected
    assert operations(trace, matrix) == (pytest.approx(np.trace(matrix)), size - 1)


def test_a_determinant_with_rows_exchanged_has_its_sign():
    assert operations(determinant, np.array([[0.0, 2.0], [3.0, 0.0]]))[0] == -6


def test_what_is_asked_of_a_function_is_its_integral():
    functions, asked = random_functions(4, 3, np.random.default_rng(1))
    fine = (np.arange(2000) + 0.5) / 2000
    np.testing.assert_allclose((values_at(functions, fine)[:, :, 0] ** 2).mean(0), asked, rtol=1e-6)


def test_a_network_given_means_reads_the_mean_of_what_the_other_reads():
    read = {}
    for variant in ("function", "its_mean"):
        history = functional_input(run_of("Q6", variant, iterations=1, functions=8))["history"]
        read[variant] = history[history.series == "read"].groupby("function").x
    assert (read["its_mean"].nunique() == 1).all()
    assert (read["function"].nunique() > 20).all()
    np.testing.assert_allclose(read["its_mean"].first(), read["function"].mean())
