"""Pictures: what is drawn is the data, on the axes that were given or returned."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

import nodekit
from nodekit.errors import InvalidState

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402

from nodekit import flows, plot  # noqa: E402

DOUBLE = {"dtype": torch.float64}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def turning(t, y):
    return torch.stack([-y[..., 1], y[..., 0]], dim=-1)


START = torch.tensor([1.0, 0.0], **DOUBLE)
TIMES = torch.linspace(0.0, 3.0, 7, **DOUBLE)


def test_a_solution_is_drawn_component_by_component_with_its_events():
    crossing = nodekit.Event(lambda t, y: y[0], terminal=False)
    solved = nodekit.solve(turning, START, TIMES, events=[crossing])
    ax = plot.solution(solved, labels=["x", "y"])
    curves = [line for line in ax.lines if len(line.get_xdata()) == 7]
    for component, line in enumerate(curves):
        np.testing.assert_allclose(line.get_ydata(), solved.y[:, component])
    assert [line.get_label() for line in curves] == ["x", "y"]
    (event,) = [line for line in ax.lines if line not in curves]
    assert event.get_xdata()[0] == pytest.approx(math.pi / 2, rel=1e-6)


def test_a_dense_solution_is_a_smooth_curve_and_a_nested_one_has_all_its_components():
    given = plt.subplots()[1]
    ax = plot.solution(nodekit.solve(turning, START, [0.0, 3.0], rtol=1e-9, atol=1e-9, dense=True), ax=given)
    assert ax is given
    t, x = ax.lines[0].get_data()
    np.testing.assert_allclose(x, np.cos(t), atol=1e-6)
    state = (torch.ones(2), {"a": torch.zeros(())})
    assert len(plot.solution(nodekit.solve(lambda t, y: y, state, [0.0, 1.0])).lines) == 3


def test_independent_samples_are_drawn_at_their_own_times():
    times = torch.tensor([[0.0, 1.0], [0.0, 5.0]])
    solved = nodekit.solve(lambda t, y: -y, torch.tensor([[1.0], [2.0]]), times, batch="independent")
    lines = plot.solution(solved).lines
    assert [list(line.get_xdata()) for line in lines] == [[0.0, 1.0], [0.0, 5.0]]
    assert [line.get_ydata()[0] for line in lines] == [1.0, 2.0]


def test_a_complex_state_is_refused():
    solved = nodekit.solve(lambda t, y: 1j * y, torch.ones(1, dtype=torch.complex64), [0.0, 1.0])
    with pytest.raises(InvalidState, match="complex"):
        plot.solution(solved)


def test_a_phase_portrait_has_the_field_and_every_path():
    starts = torch.tensor([[1.0, 0.0], [0.5, 0.0]], **DOUBLE)
    solved = nodekit.solve(turning, starts, TIMES)
    ax = plot.phase_portrait(turning, paths=[solved.y, solved.y[:, 0]])
    assert len([line for line in ax.lines if len(line.get_xdata()) == 7]) == 3
    assert len(ax.collections) == 1
    with pytest.raises(InvalidState, match="in the plane"):
        plot.phase_portrait(lambda t, y: y[:, :1])
    with pytest.raises(InvalidState, match="a path in the plane"):
        plot.phase_portrait(turning, paths=[torch.zeros(4, 3)])


def test_the_density_drawn_at_the_end_of_a_flow_is_that_of_its_base():
    flow = flows.ContinuousFlow(flows.MLPField(2))
    axes = plot.densities(flow, times=[0.0, 1.0], data=torch.randn(5, 2), points=41)
    assert [ax.get_title() for ax in axes] == ["t = 0", "t = 1"]
    drawn = axes[1].collections[0].get_array().reshape(41, 41)
    assert drawn[20, 20] == pytest.approx(1 / (2 * math.pi), rel=1e-5)
    assert drawn[20, 0] == pytest.approx(math.exp(-4.5) / (2 * math.pi), rel=1e-4)
    assert len(plot.densities(flows.PlanarFlow(2, 3))) == 1


def test_evaluations_are_drawn_by_iteration():
    ax = plot.evaluations([14, 20, 26], [12, 18, 24])
    assert [list(line.get_ydata()) for line in ax.lines] == [[14, 20, 26], [12, 18, 24]]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]


def test_work_precision_shows_true_errors_and_the_evaluations_that_they_took():
    exact = torch.tensor([math.cos(3.0), math.sin(3.0)], **DOUBLE)
    tolerances = [1e-3, 1e-6]
    for reference in ({"exact": exact}, {}):
        ax = plot.work_precision(turning, START, TIMES, ["bosh3", "dopri5"], tolerances=tolerances, **reference)
        for line, method in zip(ax.lines, ["bosh3", "dopri5"], strict=True):
            for error, work, tolerance in zip(*line.get_data(), tolerances, strict=True):
                solved = nodekit.solve(turning, START, TIMES, method=method, rtol=tolerance, atol=tolerance)
                assert error == pytest.approx((solved.y[-1] - exact).abs().max().item(), rel=1e-3)
                assert work == solved.stats.nfe_forward


def test_a_method_that_fails_is_left_out_of_a_work_precision_diagram():
    ax = plot.work_precision(turning, START, TIMES, ["dopri5"], tolerances=[1e-3, 1e-9], options={"max_num_steps": 12})
    assert len(ax.lines[0].get_xdata()) == 1


def test_the_slope_of_an_order_diagram_is_the_order():
    ax = plot.order(turning, START, TIMES, ["euler", "rk4"], steps=[32, 64, 128])
    for measured, expected, order in ((ax.lines[0], ax.lines[1], 1), (ax.lines[2], ax.lines[3], 4)):
        for line in (measured, expected):
            slopes = np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata()))
            np.testing.assert_allclose(slopes, order, rtol=0.1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["euler, order 1", "rk4, order 4"]


def test_the_library_imports_without_matplotlib_and_its_pictures_say_what_is_missing():
    program = "import sys; sys.modules['matplotlib'] = None; import nodekit; print('solver'); import nodekit.plot"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "solver\n"
    assert "pip install matplotlib" in done.stderr
