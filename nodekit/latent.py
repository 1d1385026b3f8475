"""The latent ODE: a generative model of time series observed at irregular times (Chen et al. 2018, section 5)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ._choices.times import increases, without_padding
from ._solve import solve


class RecurrentEncoder(nn.Module):
    """A recurrent network that reads a series backwards and ends in a normal distribution of its first latent state.

    Each observation comes with the time to the one read before it, so that irregular gaps are seen. What was not
    observed is not read.

    Args:
        observed: p, dimension of the observations.
        latent: d, dimension of the latent state.
        hidden: units of the recurrent network.
    """

    def __init__(self, observed: int, latent: int, hidden: int = 25):
        super().__init__()
        self.recurrent = nn.RNN(observed + 1, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 2 * latent)

    def forward(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, d) of series x (n, T, p), at times (T,) or (n, T), observed where mask is true."""
        count, length = x.shape[:2]
        if mask is None:
            mask = without_padding(times)[1] if times.ndim == 2 else x.new_ones(count, length).bool()
        # The observed points first, the latest in front.
        order = torch.argsort(mask.flip(1).to(torch.int8), dim=1, descending=True, stable=True)
        order = length - 1 - order
        times = times.to(x.device)
        at = times[order] if times.ndim == 1 else times.gather(1, order)
        # Differences first: large times, as seconds since 1970 are, would lose them in the precision of x.
        gaps = torch.cat((torch.zeros_like(at[:, :1]), at[:, :-1] - at[:, 1:]), dim=1).to(x)
        values = torch.cat((x.gather(1, order[..., None].expand_as(x)), gaps[..., None]), dim=-1)
        lengths = mask.sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        _, last = self.recurrent(packed)
        mean, log_variance = self.output(last[-1]).chunk(2, dim=-1)
        return mean, log_variance


class LatentODE(nn.Module):
    """A variational autoencoder whose decoder solves an ODE from a latent initial state (Chen et al. 2018, app. E).

    A recurrent encoder run backwards gives q(z0 | x) = N(mean, exp(log-variance)), the prior is N(0, I); z(t) solves
    dz/dt = derivative(t, z) from z0 at the first time, and an observation at t is N(decoder(z(t)), noise² I).

    Times are (T,), of all series, or (n, T), of each its own; these are solved as independent samples, by Runge–Kutta
    methods, whose t the derivative sees as (n, 1). Rows of fewer times end in padding, as in `nodekit.solve`: NaN, or
    the last time again. Nothing is observed there.

    Args:
        observed: p, dimension of the observations.
        latent: d, dimension of the latent state.
        hidden: units in the hidden layers of the derivative (two, ELU) and of the decoder (one, ReLU).
        recurrent: units of the encoder.
        noise: standard deviation of the observations' noise.
        encoder: module (x, times, mask) → mean, log-variance; by default `RecurrentEncoder`.
        derivative: module (t, z (…, d)) → (…, d), or (t, z, context); by default the network described above.
        decoder: module z (…, d) → (…, p); by default the network described above.
        method, rtol, atol, options, gradient: see `nodekit.odeint`.
    """

    def __init__(
        self,
        observed: int,
        latent: int = 4,
        *,
        hidden: int = 20,
        recurrent: int = 25,
        noise: float = 0.3,
        encoder: nn.Module | None = None,
        derivative: nn.Module | None = None,
        decoder: nn.Module | None = None,
        method: str = "dopri5",
        rtol: float = 1e-5,
        atol: float = 1e-5,
        options: dict | None = None,
        gradient: str = "checkpoint",
    ):
        super().__init__()
        self.noise = noise
        self.encoder = encoder or RecurrentEncoder(observed, latent, recurrent)
        self.derivative = derivative or _Autonomous(
            nn.Linear(latent, hidden), nn.ELU(), nn.Linear(hidden, hidden), nn.ELU(), nn.Linear(hidden, latent)
        )
        self.decoder = decoder or nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, observed))
        self.arguments = {"method": method, "rtol": rtol, "atol": atol, "options": options, "gradient": gradient}

    def encode(self, x: Tensor, times: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, d) of the latent state at the first time.

        Args:
            x: series (n, T, p); what stands where nothing was observed is not read.
            times: strictly increasing (T,), of all series: the union of theirs where they differ; or (n, T).
            mask: (n, T), true where a series was observed, at least once each; by default everywhere but at padding.

        Raises:
            ValueError: where shapes do not fit, a series has no observation, or one at padding, or times do not
                increase.
        """
        return self.encoder(x, times, self._observed(x, times, mask))

    @staticmethod
    def _observed(x: Tensor, times: Tensor, mask: Tensor | None) -> Tensor | None:
        """Where series were observed: the mask, and no padding; None for everywhere."""
        if x.ndim != 3 or times.shape not in (x.shape[1:2], x.shape[:2]):
            raise ValueError(
                f"x must be (n, T, p) and times (T,) or (n, T), not {tuple(x.shape)} and {tuple(times.shape)}"
            )
        if mask is not None and mask.shape != x.shape[:2]:
            raise ValueError(f"mask must be (n, T) = {tuple(x.shape[:2])}, not {tuple(mask.shape)}")
        if mask is not None and mask.dtype != torch.bool:
            raise ValueError(f"mask must say true or false, not {mask.dtype}: pass mask.bool()")
        if times.ndim == 2:
            full, given = without_padding(times)
            if not increases(full, given).all():
                wrong = int(increases(full, given).long().argmin())
                raise ValueError(
                    f"the times of series {wrong} must increase, up to its padding: {times[wrong].tolist()}"
                )
            if mask is not None and (mask & ~given).any():
                wrong = int((mask & ~given).any(1).nonzero()[0])
                raise ValueError(f"series {wrong} is said to be observed at its padding: {times[wrong].tolist()}")
            mask = given if mask is None else mask
        if mask is not None and not mask.any(1).all():
            empty = int((~mask.any(1)).nonzero()[0])
            raise ValueError(f"series {empty} has no observation: leave it out, or observe it at least once")
        return mask

    def decode(self, z0: Tensor, times: Tensor, context: Any = None) -> Tensor:
        """Means of the observations (n, T, p) at times (T,) or (n, T), from latent states z0 (n, d) at the first.

        Args:
            context: the derivative's third argument, if it takes one: a control, a treatment; differentiated.

        Returns:
            Where times are padded, NaN for NaN, or the last mean again.
        """
        if times.shape[-1] == 1:
            return self.decoder(z0)[..., None, :]
        args = () if context is None else (context,)
        if times.ndim == 1:
            z = solve(self.derivative, z0, times, args=args, **self.arguments).y
            return self.decoder(z).movedim(0, -2)
        full, _ = without_padding(times)
        z = solve(self.derivative, z0, full, args=args, batch="independent", **self.arguments).y
        # The decoder's gradient would not be a number if it had seen one that is none.
        return self.decoder(z).movedim(0, -2).masked_fill(times.isnan()[..., None].to(z.device), torch.nan)

    def elbo(self, x: Tensor, times: Tensor, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """The evidence lower bound (n,) in nats: one sample's log-likelihood of what was observed, minus the KL term.

        The sample z0 = mean + exp(log-variance / 2) ε is drawn from torch's global generator. Arguments as `encode`
        and `decode`.
        """
        mask = self._observed(x, times, mask)
        mean, log_variance = self.encoder(x, times, mask)
        z0 = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        predicted = self.decode(z0, times, context)
        # What stands at unobserved places may be NaN, which no product with zero removes.
        error = x - predicted if mask is None else torch.where(mask[..., None], x - predicted, 0.0)
        seen = x.shape[1] if mask is None else mask.sum(1)
        normalizer = 0.5 * x.shape[2] * math.log(2 * math.pi * self.noise**2)
        likelihood = -0.5 * (error / self.noise).square().sum((-2, -1)) - seen * normalizer
        return likelihood - kl_to_standard_normal(mean, log_variance)

    @torch.no_grad()
    def predict(self, x: Tensor, times: Tensor, at: Tensor, mask: Tensor | None = None, context: Any = None) -> Tensor:
        """Predicted observations (n, T', p) at other times, from the mean of the latent state; without gradient.

        Args:
            x, times, mask: as for `encode`.
            at: strictly increasing (T',) or (n, T'), none before the first time.
            context: as for `decode`.

        Raises:
            ValueError: for a time before the first one.
        """
        times, at = times.to(x.device), at.to(x.device)
        z0, _ = self.encode(x, times, mask)
        if times.ndim != at.ndim:
            times, at = (rows.expand(len(x), -1) for rows in (times, at))
        first, start = at[..., :1], times[..., :1]
        if (first < start).any():
            i = int((first < start).flatten().nonzero()[0])
            early, known = first.flatten()[i], start.flatten()[i]
            raise ValueError(f"cannot predict at {early:g}, before the first time {known:g}")
        if (first == start).all():
            return self.decode(z0, at, context)
        # Series asked at their first time have one time less to come to.
        met = first == start
        rows = torch.where(met, torch.cat((at, at[..., -1:]), dim=-1), torch.cat((start, at), dim=-1))
        means = self.decode(z0, rows, context)
        return torch.where(met[..., None], means[..., :-1, :], means[..., 1:, :])


class _Autonomous(nn.Sequential):
    """Layers as a derivative that does not depend on the time."""

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        return super().forward(z)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) ‖ N(0, I)), summed over the last dimension (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
