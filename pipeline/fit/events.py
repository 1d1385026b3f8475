"""Row D6: a latent ODE that learns how often a series is observed, a Poisson process (Chen et al. 2018, 5.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import nodekit
from nodekit.latent import RecurrentEncoder, kl_to_standard_normal
from pipeline.fit.fitting import Job
from pipeline.fit.tables import Tables, tables
from pipeline.study import Solver

GRID = 401


@dataclass(frozen=True)
class Events:
    """Oscillations, seen with noise at events: the more often, the higher the first coordinate.

    times: (n, T), increasing: 0, events, the middle, events, and the end, repeated where there are fewer.
    happened: (n, T), true at events. values: (n, T, 2), noisy. phase, amplitude: (n,). rate: events per unit of time
    where the first coordinate is zero.
    """

    times: Tensor
    happened: Tensor
    values: Tensor
    phase: Tensor
    amplitude: Tensor
    rate: float
    period: float

    @property
    def end(self) -> float:
        """When all of them end, twice the middle."""
        return self.times[0, -1].item()

    def first_half(self) -> Tensor:
        """(n, T), true at what is read: the start, and the events before the middle."""
        start = torch.zeros_like(self.happened)
        start[:, 0] = True
        return start | (self.happened & (self.times < self.end / 2))

    def intensity(self, t: Tensor) -> Tensor:
        """The true one at times t (T,) or (n, T): rate · exp(first coordinate), (n, T)."""
        return self.rate * oscillation(t, self.phase[:, None], self.amplitude[:, None], self.period)[..., 0].exp()


def oscillation(t: Tensor, phase: Tensor, amplitude: Tensor, period: float) -> Tensor:
    """A point (…, 2) on its way around a circle."""
    angle = 2 * math.pi * t / period + phase
    return torch.stack([amplitude * angle.cos(), amplitude * angle.sin()], dim=-1)


def draw_events(
    count: int, draw: np.random.Generator, *, end: float, rate: float, period: float, noise: float
) -> Events:
    """`count` oscillations of random phases, and amplitudes from 1/2 to 3/2, and their events until `end`."""
    phase, amplitude = draw.uniform(0, 2 * math.pi, count), draw.uniform(0.5, 1.5, count)
    # Thinned: candidates at the highest intensity, each kept with the share that the true one is of it.
    highest = rate * math.exp(1.5)
    events = []
    for k in range(count):
        at = draw.uniform(0, end, draw.poisson(highest * end))
        true = rate * np.exp(amplitude[k] * np.cos(2 * math.pi * at / period + phase[k]))
        events.append(at[draw.uniform(0, highest, at.size) < true])
    most = max(map(len, events)) + 3
    times = np.stack([np.sort(np.r_[0, end / 2, at, np.full(most - 2 - len(at), end)]) for at in events])
    happened = (times > 0) & (times != end / 2) & (times < end)
    at, phases, amplitudes = (torch.from_numpy(part).float() for part in (times, phase, amplitude))
    clean = oscillation(at, phases[:, None], amplitudes[:, None], period)
    values = clean + noise * torch.from_numpy(draw.standard_normal(clean.shape)).float()
    return Events(at, torch.from_numpy(happened), values, phases, amplitudes, rate, period)


class EventfulLatentODE(nn.Module):
    """A latent path z(t), a decoder of what is observed, and the intensity λ(z(t)) of events; ∫λ is solved along."""

    def __init__(self, latent: int, hidden: int, recurrent: int, noise: float, solver: Solver):
        super().__init__()
        self.noise, self.solver = noise, solver
        self.encoder = RecurrentEncoder(2, latent, recurrent)
        self.slope = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, latent))
        self.decoder = nn.Linear(latent, 2)
        self.log_rate = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def derivative(self, t: Tensor, state: Tensor) -> Tensor:
        """Of states and integrals (…, d + 1): the slope of z, and λ(z)."""
        z = state[..., :-1]
        return torch.cat([self.slope(z), self.log_rate(z).exp()], dim=-1)

    def solve(self, z0: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The path (n, T, d), log λ (n, T) and ∫λ from the first time on (n, T), at times (n, T) or (T,)."""
        chosen, start = self.solver, torch.cat([z0, torch.zeros_like(z0[:, :1])], dim=1)
        numerics = {"method": chosen.method, "rtol": chosen.rtol, "atol": chosen.atol, "gradient": chosen.gradient}
        batch = {"batch": "independent"} if times.ndim == 2 else {}
        state = nodekit.solve(self.derivative, start, times, **numerics, **batch).y.movedim(0, 1)
        z = state[..., :-1]
        return z, self.log_rate(z)[..., 0], state[..., -1]

    def elbo(self, events: Events) -> Tensor:
        """The evidence lower bound (n,) in nats of all events and what was seen at them; the first half is read."""
        mean, log_variance = self.encode(events)
        z, log_rate, integral = self.solve(mean + torch.exp(log_variance / 2) * torch.randn_like(mean), events.times)
        off = ((events.values - self.decoder(z)) / self.noise).square().sum(-1) / 2
        seen = off + math.log(2 * math.pi * self.noise**2)
        of_events = torch.where(events.happened, log_rate - seen, 0.0).sum(1) - integral[:, -1]
        return of_events - kl_to_standard_normal(mean, log_variance)

    def encode(self, events: Events) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (n, d) of the state at time 0, by the first half."""
        return self.encoder(events.values, events.times, events.first_half())

    def new_events(self, events: Events) -> Tensor:
        """The log-likelihood (n,) in nats of the times of the second half's events, given the first half."""
        _, log_rate, integral = self.solve(self.encode(events)[0], events.times)
        new, middle = events.happened & (events.times > events.end / 2), events.times == events.end / 2
        return torch.where(new, log_rate, 0.0).sum(1) - integral[:, -1] + integral[middle]


def observed_events(job: Job) -> Tables:
    """D6: the likelihood of new events, the error of the learnt intensity, and both intensities of some series."""
    given = job.arguments
    job.data_source = "generated: oscillations observed as a Poisson process, its intensity known"
    train, test = (events_of(job, given[name], part) for part, name in enumerate(("series", "test_series")))
    fitted = job.fit(
        "latent ODE",
        lambda: EventfulLatentODE(
            given["latent"], given["hidden"], given["recurrent"], given["noise"], job.run.settings.solver
        ),
        lambda model: -model.elbo(train).mean(),
        iterations=given["iterations"],
        observe=lambda model: {"new_events": model.new_events(test).mean().item()},
    )
    with torch.no_grad():
        return tables(job, *intensities(fitted.model, train, test, given["shown"]))


def events_of(job: Job, count: int, part: int) -> Events:
    """Training (part 0) or test (1) series of the run."""
    given, device = job.arguments, job.device
    sizes = {name: given[name] for name in ("end", "rate", "period", "noise")}
    drawn = draw_events(count, np.random.default_rng([job.run.seed, part]), **sizes)
    moved = (getattr(drawn, name).to(device) for name in ("times", "happened", "values", "phase", "amplitude"))
    return Events(*moved, drawn.rate, drawn.period)


def intensities(model: EventfulLatentODE, train: Events, test: Events, shown: int) -> tuple[list[pd.DataFrame], dict]:
    """Curves of some test series, and the metrics: beside the model a constant rate, that of all training events."""
    constant = train.happened.sum().item() / (len(train.times) * train.end)
    new_events = test.happened & (test.times > test.end / 2)
    of_constant = new_events.sum() * math.log(constant) - constant * test.end / 2 * len(test.times)
    t = torch.linspace(0, test.end, GRID).to(test.times)
    _, log_rate, integral = model.solve(model.encode(test)[0], t)
    learnt, true, new = log_rate.exp(), test.intensity(t), t >= test.end / 2
    of_truth = test.intensity(test.times)[new_events].log().sum() - torch.trapezoid(true[:, new], t[new], dim=1).sum()
    error, error_of_constant = (
        (rate - true[:, new]).square().mean().sqrt().item() for rate in (learnt[:, new], constant)
    )

    def per_event(likelihood: Tensor) -> float:
        return ((likelihood - of_constant) / new_events.sum()).item()

    summed = torch.trapezoid(learnt, t, dim=1)
    metrics = {
        "gained on a constant rate": (per_event(model.new_events(test).sum()), "nats an event"),
        "gained on a constant rate by the true one": (per_event(of_truth), "nats an event"),
        "intensity error": (error, "root mean squared"),
        "intensity error over that of a constant rate": (error / error_of_constant, ""),
        "integral error": (((integral[:, -1] - summed) / summed).abs().mean().item(), "relative"),
    }
    curves = []
    for k in range(shown):
        for series, rate in (("truth", true[k]), ("learnt", learnt[k]), ("constant", torch.full_like(t, constant))):
            curves.append(pd.DataFrame({"series": series, "path": k, "t": t.cpu(), "intensity": rate.cpu()}))
        at = test.times[k][test.happened[k]].cpu()
        curves.append(pd.DataFrame({"series": "event", "path": k, "t": at, "intensity": 0.0}))
    return curves, metrics
