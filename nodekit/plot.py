"""Pictures of solutions, fields, flows and methods, a line each, by matplotlib (`pip install matplotlib`).

Every function draws on the axes it is given, or on new ones, and returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ._methods import find
from ._solve import Solution, solve
from .errors import InvalidState, SolveFailed

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
except ImportError as error:
    raise ImportError("nodekit.plot draws with matplotlib: pip install matplotlib") from error


def solution(solved: Solution, *, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Every component of a solution against time, with its events as dotted lines.

    A solution kept as a function of time (`dense=True`) is drawn as a curve, with points at the output times.

    Args:
        solved: what `nodekit.solve` returned; of independent samples, each is drawn at its own times.
        labels: a name for each component, in the order of the flattened state.
        ax: where to draw.

    Raises:
        InvalidState: for a complex state.
    """
    ax = _axes(ax)
    t = _array(solved.t)
    if solved.dense is not None:
        fine = np.linspace(solved.dense.t0, solved.dense.t1, 400)
        lines = ax.plot(fine, _components(solved.dense(fine)))
        for line, values in zip(lines, _components(solved.y).T, strict=True):
            ax.plot(t, values, "o", color=line.get_color(), markersize=3)
    elif t.ndim == 2:
        lines = [line for times, y in zip(t, _by_sample(solved.y), strict=True) for line in ax.plot(times, y)]
    else:
        lines = ax.plot(t, _components(solved.y))
    for line, label in zip(lines, labels or (), strict=False):
        line.set_label(label)
    if labels:
        ax.legend()
    if solved.events is not None:
        for at in _array(solved.events.t).reshape(-1):
            ax.axvline(at, color="0.6", linestyle=":", linewidth=1)
    ax.set(xlabel="t", ylabel="y")
    return ax


def phase_portrait(
    func: Callable,
    *,
    paths: Iterable[Any] = (),
    xlim: tuple[float, float] = (-2.0, 2.0),
    ylim: tuple[float, float] = (-2.0, 2.0),
    t: float = 0.0,
    points: int = 24,
    ax: Axes | None = None,
) -> Axes:
    """The field of a derivative in the plane as streamlines, the faster the darker, and paths in it.

    Args:
        func: f(t, y (n, 2)) → (n, 2), as it is solved.
        paths: states (T, 2) or (T, n, 2), such as `Solution.y`.
        xlim, ylim: the part of the plane.
        t: the time at which the field is drawn.
        points: how many along each side the field is evaluated at.
        ax: where to draw.

    Raises:
        InvalidState: for a field or a path that is not in the plane.
    """
    ax = _axes(ax)
    x, y = np.linspace(*xlim, points), np.linspace(*ylim, points)
    slopes = _array(_on_grid(lambda states: func(states.new_tensor(t), states), func, x, y))
    if slopes.shape != (points * points, 2):
        raise InvalidState(f"a phase portrait needs a field in the plane: f(t, y) has shape {slopes.shape}")
    u, v = np.moveaxis(slopes.reshape(points, points, 2), -1, 0)
    speed = np.hypot(u, v)
    shade = 0.4 + 0.5 * speed / max(speed.max(), np.finfo(float).tiny)  # the slowest is still to be seen
    ax.streamplot(x, y, u, v, color=shade, cmap="Greys", norm=Normalize(0, 1), linewidth=0.8, arrowsize=0.8)
    for path in paths:
        states = _array(path)
        if states.shape[-1] != 2:
            raise InvalidState(f"a path in the plane has shape (T, 2) or (T, n, 2), not {states.shape}")
        for one in np.moveaxis(states.reshape(len(states), -1, 2), 1, 0):
            (line,) = ax.plot(one[:, 0], one[:, 1], linewidth=2)
            ax.plot(*one[0], "o", color=line.get_color(), markersize=4)
    ax.set(xlim=xlim, ylim=ylim, xlabel="$y_1$", ylabel="$y_2$", aspect="equal")
    return ax


def densities(
    flow: Any,
    *,
    times: Sequence[float] | None = None,
    data: Any = None,
    xlim: tuple[float, float] = (-3.0, 3.0),
    ylim: tuple[float, float] = (-3.0, 3.0),
    points: int = 60,
    axes: Sequence[Axes] | None = None,
) -> np.ndarray:
    """The density of a flow in the plane, at several times of a continuous one, a panel each.

    Args:
        flow: of `nodekit.flows`, in two dimensions.
        times: at which to draw a `ContinuousFlow`, whose data are at `flow.t[0]`; by default its density of the data.
        data: samples (n, 2) to draw over the first panel.
        xlim, ylim: the part of the plane.
        points: how many along each side the density is evaluated at.
        axes: where to draw, one for each time.

    Returns:
        The axes, one for each panel.
    """
    panels = [None] if times is None else list(times)
    if axes is None:
        axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 3.2), squeeze=False, layout="constrained")[1][0]
    drawn_on = np.asarray(axes).reshape(-1)
    x, y = np.linspace(*xlim, points), np.linspace(*ylim, points)
    for ax, at in zip(drawn_on, panels, strict=True):
        at_time = {} if at is None else {"time": at}
        logarithm = _array(_on_grid(lambda states, named=at_time: flow.log_prob(states, **named), flow, x, y))
        ax.pcolormesh(x, y, np.exp(logarithm).reshape(points, points), shading="gouraud", rasterized=True)
        ax.set(xlim=xlim, ylim=ylim, xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
        if at is not None:
            ax.set_title(f"t = {at:g}")
    if data is not None:
        drawn_on[0].plot(*_array(data).T, ".", color="white", markersize=1, alpha=0.5)
    return drawn_on


def evaluations(forward: Sequence[int], backward: Sequence[int] | None = None, *, ax: Axes | None = None) -> Axes:
    """Evaluations of the derivative over training: a field that becomes hard to solve needs more and more.

    Args:
        forward: `stats.nfe_forward` of every iteration.
        backward: `stats.nfe_backward` of every iteration, read after its backward pass.
        ax: where to draw.
    """
    ax = _axes(ax)
    ax.plot(range(1, len(forward) + 1), forward, label="forward")
    if backward is not None:
        ax.plot(range(1, len(backward) + 1), backward, label="backward")
        ax.legend()
    ax.set(xlabel="iteration", ylabel="evaluations of f", ylim=(0, None))
    return ax


def work_precision(
    func: Callable,
    y0: Any,
    t: Any,
    methods: Iterable[str],
    *,
    tolerances: Sequence[float] = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    exact: Any = None,
    ax: Axes | None = None,
    **more: Any,
) -> Axes:
    """What accuracy costs: the error at the last time against evaluations of the derivative, a line a method.

    Evaluations are counted, not timed, so that every machine draws the same. A solve that fails is left out.

    Args:
        func, y0, t: the problem, as in `nodekit.solve`; in float64, lest rounding be what is measured.
        methods: names in `METHODS`, adaptive ones.
        tolerances: each taken as rtol and atol.
        exact: the state at the last time; by default dopri8's with tolerances of 1e-13.
        ax: where to draw.
        more: other arguments of `nodekit.solve`.
    """
    ax, exact = _axes(ax), _exact(func, y0, t, exact)
    for method in methods:
        work, errors = [], []
        for tolerance in tolerances:
            try:
                with torch.no_grad():
                    solved = solve(func, y0, t, method=method, rtol=tolerance, atol=tolerance, **more)
            except SolveFailed:
                continue
            work.append(solved.stats.nfe_forward)
            errors.append(_distance(solved.y, exact))
        ax.loglog(errors, work, "o-", label=method)
    ax.set(xlabel="error at the last time", ylabel="evaluations of f")
    ax.invert_xaxis()
    ax.legend()
    return ax


def order(
    func: Callable,
    y0: Any,
    t: Any,
    methods: Iterable[str],
    *,
    steps: Sequence[int] = (8, 16, 32, 64, 128),
    exact: Any = None,
    ax: Axes | None = None,
    **more: Any,
) -> Axes:
    """How fast a method converges: the error at the last time against the size of fixed steps, with its order as slope.

    Args:
        func, y0, t: the problem, as in `nodekit.solve`; in float64, lest rounding be what is measured.
        methods: names in `METHODS`; each is drawn with a dotted line of its own order through its error at the largest
            step.
        steps: into how many steps of one size the whole interval is divided.
        exact: the state at the last time; by default dopri8's with tolerances of 1e-13.
        ax: where to draw.
        more: other arguments of `nodekit.solve`.
    """
    ax, exact = _axes(ax), _exact(func, y0, t, exact)
    ends = [float(t[0]), float(t[-1])]
    sizes = np.array([abs(ends[1] - ends[0]) / count for count in steps])
    for method in methods:
        with torch.no_grad():
            solved = [solve(func, y0, ends, method=method, options={"step_size": size}, **more) for size in sizes]
        errors = np.array([_distance(one.y, exact) for one in solved])
        (line,) = ax.loglog(sizes, errors, "o-", label=f"{method}, order {find(method).order}")
        expected = errors[0] * (sizes / sizes[0]) ** find(method).order
        ax.loglog(sizes, expected, ":", color=line.get_color(), linewidth=1)
    ax.set(xlabel="step size", ylabel="error at the last time")
    ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _components(y: Any, keep: int = 1) -> np.ndarray:
    """States with the times first, their dimensions but the first `keep` made one: (T, components)."""
    leaves = [_array(leaf) for leaf in tree_leaves(y)]
    if any(map(np.iscomplexobj, leaves)):
        raise InvalidState("a complex state is not drawn", remedy="Draw its real and its imaginary part")
    return np.concatenate([leaf.reshape(*leaf.shape[:keep], -1) for leaf in leaves], -1)


def _by_sample(y: Any) -> np.ndarray:
    """Of states (T, batch, …), the components of each sample: (batch, T, components)."""
    return np.moveaxis(_components(y, keep=2), 1, 0)


def _on_grid(function: Callable, owner: Any, x: np.ndarray, y: np.ndarray) -> Tensor:
    """A function of points (n, 2) at the points of a grid, row by row, as its owner's parameters are."""
    like = next(iter(owner.parameters()), None) if isinstance(owner, torch.nn.Module) else None
    grid = torch.tensor(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2), dtype=torch.get_default_dtype())
    with torch.no_grad():
        return function(grid if like is None else grid.to(like))


def _exact(func: Callable, y0: Any, t: Any, exact: Any) -> Any:
    """The state at the last time as a vector: as given, or solved far more accurately than what is measured."""
    if exact is None:
        with torch.no_grad():
            exact = solve(func, y0, [float(t[0]), float(t[-1])], method="dopri8", rtol=1e-13, atol=1e-13).y
        return np.concatenate([_array(leaf)[-1].reshape(-1) for leaf in tree_leaves(exact)])
    return np.concatenate([_array(leaf).reshape(-1) for leaf in tree_leaves(exact)])


def _distance(y: Any, exact: np.ndarray) -> float:
    """The largest error of the last state."""
    last = np.concatenate([_array(leaf)[-1].reshape(-1) for leaf in tree_leaves(y)])
    return float(np.abs(last - exact).max())
