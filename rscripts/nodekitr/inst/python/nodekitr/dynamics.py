"""The right-hand side that nk_fit() learns: a known part, a network, or both, on standardised states."""

import itertools

import numpy as np
import torch

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU, "elu": torch.nn.ELU, "softplus": torch.nn.Softplus,
               "sigmoid": torch.nn.Sigmoid, "silu": torch.nn.SiLU}  # fmt: skip


def perceptron(inputs, outputs, layers, activation, seed, silent=False):
    """Dense layers of the given widths with an activation after each but the last, in float64.

    Args:
        silent: whether the last layer starts at zero, so that the known part alone is where training begins.
    """
    widths = [inputs, *layers]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stack = [part for a, b in itertools.pairwise(widths)
                 for part in (torch.nn.Linear(a, b), ACTIVATIONS[activation]())]  # fmt: skip
        last = torch.nn.Linear(widths[-1], outputs)
    if silent:
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    return torch.nn.Sequential(*stack, last).double()


class Dynamics(torch.nn.Module):
    """dz/dt of standardised states z = (y - center) / scale, or (log y - center) / scale of positive ones.

    The network gives rate * network(features) for the states at `learnt`; its features are the states at `seen`,
    the time where there is a clock, and the standardised covariates.

    Args:
        network: module from (batch, features) to (batch, learnt), or None.
        center, scale: of the states, in their own units or of their logarithms.
        rate: typical size of each dz/dt, so that the network's outputs are of order one.
        clock: (mean, spread) of the times where the network sees the time, or None.
        positive: which states are kept as logarithms.
        seen, learnt: places of states.
        covariates: {"center": (c,), "scale": (c,)} or None.
        known: (t (b,), y (b, d), parameters (1, p), covariates (b, c)) → dy/dt (b, d), or None.
        parameters: module that gives (1, p), or None.
    """

    def __init__(self, network, center, scale, rate, clock=None, *, positive=None, seen=None, learnt=None,
                 covariates=None, known=None, parameters=None):  # fmt: skip
        super().__init__()
        self.network = network.double() if network is not None else None
        self.parameters_of_known = parameters
        self.known, self.clock = known, clock
        d = len(np.atleast_1d(center))
        covariates = covariates or {"center": [], "scale": []}
        for name, value in {
            "center": center, "scale": scale, "rate": rate, "covariate_center": covariates["center"],
            "covariate_scale": covariates["scale"],
        }.items():  # fmt: skip
            self.register_buffer(name, torch.tensor(np.atleast_1d(value), dtype=torch.float64), persistent=False)
        positive = np.zeros(d, bool) if positive is None else np.atleast_1d(positive)
        self.register_buffer("positive", torch.tensor(positive, dtype=torch.bool), persistent=False)
        self.seen, self.learnt = ([int(i) for i in (range(d) if x is None else x)] for x in (seen, learnt))
        self.sees_all, self.learns_all = self.seen == [*range(d)], self.learnt == [*range(d)]
        self.outside, self.start, self.nfe = None, 0.0, 0

    def forward(self, t, z):
        """Slopes (batch, d) at the time `start + t`; `start` (batch, 1) may differ between the samples."""
        self.nfe += 1
        outside = self.outside(t) if self.outside else z.new_zeros(len(z), 0)
        slopes = 0.0
        if self.network is not None:
            slopes = self._learnt(t, z, outside)
        if self.known is not None:
            slopes = slopes + self._known(t, z, outside)
        return slopes

    def _learnt(self, t, z, outside):
        features = [z if self.sees_all else z[:, self.seen]]
        if self.clock is not None:
            features.append(self._now(t, z, (self.start + t - self.clock[0]) / self.clock[1]))
        if outside.shape[1]:
            features.append((outside - self.covariate_center) / self.covariate_scale)
        found = self.network(torch.cat(features, 1) if len(features) > 1 else features[0])
        if self.learns_all:
            return self.rate * found
        return self.rate * torch.zeros_like(z).index_copy(1, torch.tensor(self.learnt, device=z.device), found)

    def _known(self, t, z, outside):
        y = self.in_units(z)
        now = self._now(t, z, self.start + t)[:, 0]
        slopes = self.known(now, y, self.parameters_of_known(), outside)
        return slopes / self.scale / torch.where(self.positive, y, 1.0)

    @staticmethod
    def _now(t, z, value):
        return torch.as_tensor(value, dtype=z.dtype, device=z.device).expand(len(z), 1)

    def standardised(self, y):
        return (torch.where(self.positive, y.clamp(min=1e-300).log(), y) - self.center) / self.scale

    def stay_within_bounds(self):
        if self.parameters_of_known is not None:
            self.parameters_of_known.stay_within_bounds()

    def in_units(self, z):
        y = self.center + self.scale * z
        return torch.where(self.positive, y.clamp(max=700.0).exp(), y)


class InUnits(torch.nn.Module):
    """The dynamics in the units of the data: dy/dt of y (d,)."""

    def __init__(self, dynamics):
        super().__init__()
        self.dynamics = dynamics

    def forward(self, t, y):
        dynamics = self.dynamics
        slope = dynamics(t, dynamics.standardised(y)[None])[0]
        return dynamics.scale * slope * torch.where(dynamics.positive, y, 1.0)
