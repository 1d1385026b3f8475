"""A neural ODE fitted to trajectories at irregular times."""

import itertools

import numpy as np
import torch

import nodekit

from .training import Training

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU, "softplus": torch.nn.Softplus,
               "sigmoid": torch.nn.Sigmoid, "silu": torch.nn.SiLU}  # fmt: skip


def perceptron(inputs, outputs, layers, activation, seed):
    """Dense layers of the given widths with an activation after each but the last, in float64."""
    widths = [inputs, *layers]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stack = [part for a, b in itertools.pairwise(widths)
                 for part in (torch.nn.Linear(a, b), ACTIVATIONS[activation]())]  # fmt: skip
        return torch.nn.Sequential(*stack, torch.nn.Linear(widths[-1], outputs)).double()


class Dynamics(torch.nn.Module):
    """dz/dt = rate · network(z), or network(z, t), on standardised states z.

    Args:
        network: module from (batch, states[+1]) to (batch, states).
        center, scale: of the states, in their own units.
        rate: typical size of each dz/dt, so that the network's outputs are of order one.
        clock: (mean, spread) of the times where the network sees the time, or None.
    """

    def __init__(self, network, center, scale, rate, clock=None):
        super().__init__()
        self.network = network.double()
        self.center, self.scale, self.rate = (
            torch.tensor(np.atleast_1d(x), dtype=torch.float64) for x in (center, scale, rate)
        )
        self.clock, self.start, self.nfe = clock, 0.0, 0

    def forward(self, t, z):
        """Slopes at the time `start + t`; `start` may differ between the samples."""
        self.nfe += 1
        if self.clock is not None:
            now = (self.start + t - self.clock[0]) / self.clock[1]
            z = torch.cat([z, torch.as_tensor(now, dtype=z.dtype).expand(*z.shape[:-1], 1)], -1)
        return self.rate * self.network(z)

    def standardised(self, y):
        return (torch.tensor(y, dtype=torch.float64) - self.center) / self.scale


class InUnits(torch.nn.Module):
    """The dynamics in the units of the data: dy/dt of y."""

    def __init__(self, dynamics):
        super().__init__()
        self.dynamics = dynamics

    def forward(self, t, y):
        dynamics = self.dynamics
        return dynamics.scale * dynamics(t, (y - dynamics.center) / dynamics.scale)


def fit(dynamics, times, states, series, *, solver, gradient, window, batch_size, epochs, learning_rate, seed):
    """A Training of the dynamics on windows of the trajectories.

    Args:
        times: (n,) observation times; states: (n, d), NaN where not observed; series: (n,) which trajectory. Rows are
            sorted by series and time.
        solver: method, rtol, atol, options of `nodekit.odeint`.
        window: observations a window, or None for whole trajectories; neighbouring windows share one observation.
        batch_size: windows a batch, or None for all.
    """
    times, z = torch.tensor(times), dynamics.standardised(states)
    windows = _windows(z, np.asarray(series), window)
    batch_size = min(batch_size or len(windows), len(windows))

    def batches(generator):
        for chosen in torch.randperm(len(windows), generator=generator).split(batch_size):
            yield [windows[i] for i in chosen]

    def loss(batch):
        starts = torch.tensor([rows.start for rows in batch])
        sample = torch.cat([torch.full((len(rows),), i) for i, rows in enumerate(batch)])
        rows = torch.cat([torch.arange(rows.start, rows.stop) for rows in batch])
        since = times[rows] - times[starts][sample]
        tick = since.max() * 1e-9  # times that agree to rounding are one time
        grid, place = torch.unique((since / tick).round(), return_inverse=True)
        dynamics.start = times[starts][:, None]
        solution = nodekit.odeint(dynamics, z[starts], grid * tick, gradient=gradient, **solver)
        error = solution[place, sample] - z[rows]
        error = error[(since > 0)[:, None] & ~error.isnan()]
        return error.square().mean(), error.numel()

    return Training(
        dynamics, loss, batches, batches_per_epoch=-(-len(windows) // batch_size), epochs=epochs,
        learning_rate=learning_rate, seed=seed,
    )  # fmt: skip


def _windows(z, series, window):
    """Ranges of rows, each starting at a row that is wholly observed and holding at least two."""
    complete = ~z.isnan().any(1).numpy()
    windows = []
    for which in dict.fromkeys(series.tolist()):
        rows = np.flatnonzero(series == which)
        start, last = rows[0], rows[-1]
        while start < last:
            stop = last if window is None else min(start + window - 1, last)
            windows.append(range(start, stop + 1))
            start = next((row for row in range(stop, last) if complete[row]), last)
    return windows


def trajectory(dynamics, y0, times, solver):
    """States, in the data's units, at `times` (T,) of the solution from `y0` (d,) at times[0]."""
    dynamics.eval()
    dynamics.start = 0.0
    with torch.no_grad():
        z = nodekit.odeint(dynamics, dynamics.standardised(np.atleast_1d(y0)), torch.tensor(times), **solver)
        return (dynamics.center + dynamics.scale * z).numpy()
