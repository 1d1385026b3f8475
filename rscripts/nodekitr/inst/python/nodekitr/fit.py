"""A differential equation fitted to trajectories at irregular times."""

import numpy as np
import torch

import nodekit

from .training import Training


class Starts(torch.nn.Module):
    """Where trajectories start, as parameters: the initial states (windows, d), standardised."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(values.clone())


def fit(dynamics, times, states, series, *, outside, weights, held, estimate_starts, starts, solver, gradient, window,
        batch_size, epochs, learning_rate, patience, seed):  # fmt: skip
    """A Training of the dynamics on windows of the trajectories.

    Args:
        times: (n,) observation times; states: (n, d), NaN where not observed; series: (n,) which trajectory, from 0.
            Rows are sorted by series and time.
        outside: `Outside`, what acts on the trajectories.
        weights: (n,) of the rows; held: (n,) whether a row is for validation alone.
        estimate_starts: whether the state at the start of each window is learnt too, its observation being one like
            the others; otherwise it is what was observed.
        starts: (windows, d) estimated before, standardised, or None.
        solver: method, rtol, atol, options of `nodekit.odeint`.
        window: observations a window, or None for whole trajectories; neighbouring windows share one observation.
        batch_size: windows a batch, or None for all.
        patience: epochs without a better loss of validation after which training ends, or None.
    """
    device = dynamics.center.device
    z = dynamics.standardised(torch.tensor(states, dtype=torch.float64, device=device))
    times, series = np.asarray(times, float), np.asarray(series)
    held = np.broadcast_to(np.asarray(held, bool), times.shape)
    weights = torch.tensor(np.broadcast_to(np.asarray(weights, float), times.shape).copy(), device=device)
    complete = torch.ones(len(z), dtype=torch.bool) if estimate_starts else ~z.isnan().any(1).cpu()
    windows = _windows(complete.numpy(), series, window, ~held)
    batch_size = min(batch_size or len(windows), len(windows))
    if estimate_starts:
        first = torch.stack([_first_seen(z[rows.start : rows.stop]) for rows in windows])
        dynamics.starts = Starts(first if starts is None else torch.tensor(starts, device=device))

    def batches(generator):
        for chosen in torch.randperm(len(windows), generator=generator).split(batch_size):
            yield chosen.tolist()

    def loss_of(windows, z0, from_start):
        starts = np.array([rows.start for rows in windows])
        sample = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(windows)])
        rows = np.concatenate([np.arange(rows.start, rows.stop) for rows in windows])
        since = times[rows] - times[starts][sample]
        solution, place = solve(dynamics, z0, since, sample, series[starts], times[starts], outside, solver, gradient)
        error = solution[place, torch.as_tensor(sample, device=device)] - z[rows]
        counted = ~error.isnan() & (torch.as_tensor(since, device=device) >= (0 if from_start else 1e-300))[:, None]
        weight = weights[rows][:, None].expand_as(error)[counted]
        return (weight * error[counted].square()).sum() / weight.sum(), int(counted.sum())

    def loss(batch):
        chosen = [windows[i] for i in batch]
        if estimate_starts:
            return loss_of(chosen, dynamics.starts.values[batch], True)
        return loss_of(chosen, z[[rows.start for rows in chosen]], False)

    validate = None
    if held.any():
        complete = ~z.isnan().any(1).cpu().numpy()
        apart = _windows(complete, series, window, held)
        if not apart:
            raise ValueError("the rows for validation have no start: no complete row with another behind it")

        def validate():
            return float(loss_of(apart, z[[rows.start for rows in apart]], False)[0])

    def first_states():
        """The estimated state at the start of each trajectory: which (k,), the row, the states (k, d)."""
        firsts = {int(series[rows.start]): i for i, rows in reversed(list(enumerate(windows)))}
        y = dynamics.in_units(dynamics.starts.values.detach()[list(firsts.values())]).cpu().numpy()
        at = np.array([times[windows[i].start] for i in firsts.values()])
        return {"series": np.array(list(firsts)), "time": at, "states": y}

    training = Training(
        dynamics, loss, batches, batches_per_epoch=-(-len(windows) // batch_size), epochs=epochs,
        learning_rate=learning_rate, seed=seed, validate=validate, patience=patience,
    )  # fmt: skip
    training.first_states = first_states
    return training


def solve(dynamics, z0, since, sample, series, starts, outside, solver, gradient="checkpoint"):
    """The solution (times, batch, d) from z0 (batch, d), and at which of its times each observation (n,) is.

    Args:
        since: (n,) times of observations, since the starts (batch,) of their samples; sample: (n,) which.
        series: (batch,) which trajectory each sample is of; outside: what acts on these, or None.
    """
    device = z0.device
    tick = max(np.abs(since).max(), 1e-300) * 1e-9  # times that agree to rounding are one time

    def rounded(t):
        return np.round(t / tick) * tick

    until = np.zeros(len(starts))
    np.maximum.at(until, sample, since)
    dynamics.start = torch.tensor(starts, dtype=torch.float64, device=device)[:, None]
    values, breaks, changes = outside.along(series, starts, until + tick, rounded) if outside else (None, [], {})
    dynamics.outside = values if values is None else lambda t: values(t).to(device)
    adaptive = nodekit.METHODS[solver["method"]].adaptive
    fixed = [] if adaptive else breaks
    grid = np.unique([*rounded(since), 0.0, *changes, *fixed])
    if since.min() < 0:
        grid = grid[::-1].copy()
    place = {t: i for i, t in enumerate(grid)}
    cuts = [i for i, t in enumerate(grid[:-1]) if t in changes]
    states, now = [z0[None]], z0
    for a, b in zip([0, *(i for i in cuts if i)], [*(i for i in cuts if i), len(grid) - 1], strict=True):
        if grid[a] in changes:
            now = _changed(dynamics, now, *changes[grid[a]])
        if b > a:
            piece = _odeint(dynamics, now, torch.tensor(grid[a : b + 1]), breaks, solver, gradient)
            states.append(piece[1:])
            now = piece[-1]
    return torch.cat(states), torch.tensor([place[t] for t in rounded(since)], device=device)


def _odeint(dynamics, z0, times, breaks, solver, gradient):
    """The solution between two events; no step goes over a break, and none sees what is behind it."""
    inside = [t for t in breaks if times[0] <= t < times[-1]]
    if inside:
        options = dict(solver["options"])
        if not nodekit.METHODS[solver["method"]].adaptive:
            options["perturb"] = True  # its steps end at the breaks, which are among the times
        else:
            options["jump_t"] = inside
        if "max_num_steps" in options:
            options["max_num_steps"] += 2 * len(inside)
        solver = {**solver, "options": options}
    return nodekit.odeint(dynamics, z0, times.to(z0.device), gradient=gradient, **solver)


def _changed(dynamics, z, factor, added):
    """The state behind an event; samples that it is not for stay what they are."""
    touched = ((factor != 1) | (added != 0)).to(z.device)
    y = factor.to(z.device) * dynamics.in_units(z) + added.to(z.device)
    if (y[touched & dynamics.positive] <= 0).any():
        raise ValueError("an event makes a state zero or negative that is to be positive")
    return torch.where(touched, dynamics.standardised(torch.where(touched, y, 1.0)), z)


def _windows(complete, series, window, wanted):
    """Ranges of rows, each starting at a row that is wholly observed and holding at least two."""
    windows = []
    for which in dict.fromkeys(series.tolist()):
        rows = np.flatnonzero((series == which) & wanted)
        rows = rows[np.argmax(complete[rows]) :] if len(rows) and complete[rows].any() else []
        if len(rows) < 2:
            continue
        start, last = rows[0], rows[-1]
        while start < last:
            stop = last if window is None else min(start + window - 1, last)
            windows.append(range(start, stop + 1))
            start = next((row for row in range(stop, last) if complete[row]), last)
    return windows


def _first_seen(z):
    """Of each state the first value that was observed, 0 (the mean) where none was."""
    seen = ~z.isnan()
    first = seen.long().argmax(0)
    return torch.where(seen.any(0), z.gather(0, first[None])[0].nan_to_num(), 0.0)


def trajectory(dynamics, y0, times, solver, outside=None, series=0):
    """States, in the data's units, at `times` (T,) of the solution from `y0` (d,) at times[0]."""
    dynamics.eval()
    device = dynamics.center.device
    times = np.asarray(times, float)
    with torch.no_grad():
        z0 = dynamics.standardised(torch.tensor(np.atleast_1d(y0), dtype=torch.float64, device=device))[None]
        since = times - times[0]
        z, place = solve(dynamics, z0, since, np.zeros(len(since), int), [series], times[:1], outside, solver)
        return dynamics.in_units(z[place, 0]).cpu().numpy()


def slopes(dynamics, times, states, outside=None, series=0):
    """The learnt and the known part of dy/dt (n, d) each, at states (n, d) of one trajectory, in the data's units."""
    dynamics.eval()
    device = dynamics.center.device
    y = torch.tensor(np.atleast_2d(states), dtype=torch.float64, device=device)
    times = np.atleast_1d(times)
    parts = []
    with torch.no_grad():
        z = dynamics.standardised(y)
        factor = dynamics.scale * torch.where(dynamics.positive, y, 1.0)
        for part in (dynamics._learnt if dynamics.network is not None else None,
                     dynamics._known if dynamics.known is not None else None):  # fmt: skip
            rows = []
            for i, t in enumerate(times if part else []):
                dynamics.start = torch.tensor([[t]], device=device)
                values = outside.along([series], np.array([t]), [1.0], lambda x: x)[0] if outside else None
                x = values(torch.tensor(0.0)).to(device) if values else z.new_zeros(1, 0)
                rows.append(part(torch.tensor(0.0, device=device), z[i : i + 1], x)[0])
            parts.append((torch.stack(rows) * factor).cpu().numpy() if rows else None)
    return {"learnt": parts[0], "known": parts[1]}
