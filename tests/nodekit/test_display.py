"""What is shown of solutions, methods and errors: shapes and what they took, never their numbers or raw HTML."""

import math

import torch

import nodekit
from nodekit.errors import StepSizeUnderflow


def decay(t, y):
    return -y


def test_a_solution_is_shown_by_shapes_and_counts_and_not_by_its_numbers():
    solved = nodekit.solve(decay, torch.ones(1000), torch.linspace(0, 1, 50))
    for shown in (repr(solved), solved._repr_html_()):
        assert "float32 (50, 1000)" in shown
        assert "every output time was reached" in shown
        assert f"{solved.stats.nfe_forward} forward" in shown
        assert f"{solved.stats.accepted} accepted" in shown
        assert len(shown) < 600
        assert "0.36" not in shown


def test_nested_states_events_and_dense_output_are_named():
    state = {"a": torch.ones(2), "b": (torch.ones(3, dtype=torch.float64),)}
    solved = nodekit.solve(lambda t, y: {"a": -y["a"], "b": (-y["b"][0],)}, state, [0.0, 1.0], dense=True)
    assert "{a: float32 (2, 2), b: (float64 (2, 3),)}" in repr(solved)
    assert "from 0 to 1" in repr(solved)
    half = nodekit.Event(lambda t, y: y[0] - 0.5, terminal=False)
    assert "1 happened" in repr(nodekit.solve(decay, torch.ones(1), [0.0, 1.0], events=[half]))
    assert "0 happened" in repr(nodekit.solve(decay, torch.ones(1), [0.0, 0.1], events=[half]))


def test_independent_samples_are_counted_by_sample():
    rates = torch.tensor([[1.0], [100.0]])
    solved = nodekit.solve(lambda t, y: -rates * y, torch.ones(2, 1), [0.0, 1.0], batch="independent")
    few, many = solved.stats.accepted.tolist()
    assert f"{few} to {many} (by sample) accepted" in repr(solved)
    event = nodekit.Event(lambda t, y: y[..., 0] - 0.5)
    solved = nodekit.solve(
        lambda t, y: -rates * y * (rates > 1), torch.ones(2, 1), [0.0, 1.0], batch="independent", events=[event]
    )
    assert "1 happened" in repr(solved)


def test_numpy_states_and_listed_times_are_shown():
    solved = nodekit.solve(decay, torch.ones(2).numpy(), [0.0, 1.0])
    assert "float32 (2, 2)" in repr(solved)
    assert "2 times" in repr(solved)


def test_a_failure_is_shown_with_its_name_and_its_time():
    solved = nodekit.solve(lambda t, y: y**2, torch.ones(1), [0.0, 2.0], throw=False)
    assert type(solved.status).__name__ in repr(solved)
    assert type(solved.status).__name__ in solved._repr_html_()


def test_an_error_is_shown_as_what_where_and_what_to_try():
    shown = StepSizeUnderflow("steps < ε", remedy="try <another>", t=1.5, sample=3)._repr_html_()
    for part in ("StepSizeUnderflow", "steps &lt; ε", "1.5", "<th>sample</th><td>3</td>", "try &lt;another&gt;"):
        assert part in shown
    assert "<th>step</th>" not in shown


def test_methods_are_shown_as_a_table_with_a_row_each():
    shown = nodekit.METHODS._repr_html_()
    assert shown.count("<tr>") == len(nodekit.METHODS) + 1
    assert "<td>dopri5</td><td>5</td><td></td><td>yes</td>" in shown
    assert "Hairer, Nørsett &amp; Wanner" in shown
    lines = repr(nodekit.METHODS).splitlines()
    assert len(lines) == len(nodekit.METHODS) + 1
    assert any(line.split() == ["kvaerno5", "order", "5,", "implicit,", "adaptive"] for line in lines)
    assert "array" not in repr(nodekit.METHODS["dopri5"])


def test_an_open_end_is_shown():
    solved = nodekit.solve(decay, torch.ones(1), [0.0, math.inf], events=[lambda t, y: y[0] - 0.5])
    assert "1 happened" in repr(solved)


def test_an_event_that_ended_the_solve_is_said():
    below = nodekit.Event(lambda t, y: y.amax(-1) - 0.5)
    shared = nodekit.solve(decay, torch.ones(2), [0.0, 2.0], events=[below])
    assert "an event ended the solve" in repr(shared)
    later = nodekit.Event(lambda t, y: y[0] - 0.01)
    assert "every output time was reached" in repr(nodekit.solve(decay, torch.ones(2), [0.0, 2.0], events=[later]))
    rows = torch.tensor([[1.0], [9.0]])
    samples = nodekit.solve(decay, rows, [0.0, 2.0], events=[below], batch="independent")
    assert "events ended 1 of 2 samples" in repr(samples)
