"""The loops of batch="independent": steps and limits that go wrong, and what its options are."""

import math

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import nodekit
from nodekit import errors


@pytest.mark.parametrize(
    ("func", "t", "options"),
    [
        (lambda t, y: -1e10 * y, [1e9, 1e9 + 1], {}),
        (lambda t, y: -y, [1.0, 2.0], {"first_step": 1e-20}),
    ],
)
def test_a_step_below_the_resolution_of_time_ends_its_sample(func, t, options):
    y0 = torch.ones(2, 1, dtype=torch.float64)
    options = {"max_num_steps": 1000, **options}  # which a solve that stands still would use up
    with pytest.raises(errors.StepSizeUnderflow, match="float64 resolves"):
        nodekit.solve(func, y0[0], t, options=options)
    with pytest.raises(errors.SamplesFailed) as caught:
        nodekit.solve(func, y0, t, options=options, batch="independent")
    for failure in caught.value.failures.values():
        assert isinstance(failure, errors.StepSizeUnderflow)
        assert failure.t == t[0]


def test_a_sample_that_stands_still_leaves_its_neighbours_going():
    t = torch.tensor([[0.0, 1.0], [1e9, 1e9 + 1]], dtype=torch.float64)
    rates = torch.tensor([[1.0], [1e10]], dtype=torch.float64)
    solution = nodekit.solve(
        lambda t, y: -rates * y, torch.ones(2, 1, dtype=torch.float64), t, batch="independent", throw=False
    )
    assert list(solution.status.failures) == [1]
    assert solution.y[-1, 0].item() == pytest.approx(math.exp(-1), rel=1e-6)
    assert solution.y[-1, 1].isnan()


@pytest.mark.parametrize("step_size", [1e-12, 1e-320])
@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_step_size_that_makes_too_many_steps_is_refused(step_size, batch):
    y0, options = torch.ones(2, 1, dtype=torch.float64), {"step_size": step_size}
    with pytest.raises(errors.InvalidOption, match="step_size"):
        nodekit.solve(lambda t, y: -y, y0, [0.0, 1.0], method="rk4", options=options, batch=batch)


def test_the_search_for_an_event_is_bounded_whichever_sample_seeks():
    t = torch.tensor([[0.0, 1.0], [0.0, -math.inf]], dtype=torch.float64)
    y0 = torch.ones(2, 1, dtype=torch.float64)
    options = {"max_step": 0.1, "first_step": 0.1, "max_num_steps": 20}
    arguments = {"events": [lambda t, y: y[:, 0] - 2], "options": options, "throw": False}
    solution = nodekit.solve(lambda t, y: 0 * y, y0, t, batch="independent", **arguments)
    assert isinstance(solution.status.failures[1], errors.EventNotReached)
    assert 0 not in solution.status.failures


@pytest.mark.parametrize("method", ["dopri5", "dopri8"])
def test_a_component_that_stays_zero_has_no_error_in_any_sample(method):
    y0 = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    solution = nodekit.solve(lambda t, y: -y, y0, [0.0, 1.0], atol=0.0, method=method, batch="independent")
    assert solution.y[-1, 0, 0].item() == pytest.approx(math.exp(-1), rel=1e-6)
    assert solution.y[-1].count_nonzero() == 1
    assert (solution.stats.rejected == 0).all()


def test_progress_of_independent_samples_is_refused():
    with pytest.raises(errors.UnsupportedCombination, match="progress"):
        nodekit.solve(lambda t, y: -y, torch.ones(2, 1), [0.0, 1.0], batch="independent", progress=True)


@pytest.mark.parametrize("batch", ["shared", "independent"])
def test_a_norm_that_is_no_function_is_refused(batch):
    with pytest.raises(errors.InvalidOption, match="seminorm"):
        nodekit.solve(lambda t, y: -y, torch.ones(2, 1), [0.0, 1.0], batch=batch, options={"norm": "seminorm"})


@pytest.mark.parametrize(
    "state",
    [
        torch.ones(3, 2, dtype=torch.complex64),
        torch.ones(3, dtype=torch.complex128),
        torch.ones(3, 2, dtype=torch.float16),
        (torch.ones(3, 2, dtype=torch.complex64), torch.ones(3, dtype=torch.float32)),
        {"x": torch.ones(3, 2, 2), "z": torch.ones(3, 1, dtype=torch.complex128)},
    ],
    ids=["complex64", "no further dimension", "float16", "tuple", "dict"],
)
def test_a_norm_takes_a_sample_as_it_is_given(state):
    seen = []

    def norm(sample):
        seen.append(tree_map(lambda x: (x.dtype, x.shape), sample))
        return torch.stack([x.abs().amax().float() for x in tree_leaves(sample)]).amax()

    def decay(t, y):
        return tree_map(lambda x: -x, y)

    solution = nodekit.solve(
        decay, state, [0.0, 1.0], rtol=1e-4, atol=1e-4, batch="independent", options={"norm": norm}
    )
    assert seen[0] == tree_map(lambda x: (x.dtype, x.shape[1:]), state)
    largest = nodekit.solve(
        decay, tree_map(lambda x: x[0], state), [0.0, 1.0], rtol=1e-4, atol=1e-4, options={"norm": norm}
    )
    assert (solution.stats.accepted == largest.stats.accepted).all()
