"""Row D2: a latent ODE beside a recurrent network on spirals seen in part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nodekit.latent import LatentODE
from pipeline.fit.fitting import Job
from pipeline.fit.series import Spirals, draw_spirals
from pipeline.fit.tables import Tables, tables


class RecurrentForecaster(nn.Module):
    """A recurrent network that reads a series forwards, each value with the time to the next, and predicts the next.

    The baseline of Chen et al. 2018, section 5.1. Every series must have equally many observations.
    """

    def __init__(self, observed: int, hidden: int = 25):
        super().__init__()
        self.recurrent = nn.RNN(observed + 1, hidden, batch_first=True)
        self.output = nn.Linear(hidden, observed)

    def error(self, x: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """The mean squared error of predicting every observation but the first from those before it."""
        values, at = observations(x, times, mask)
        predicted, _ = self.step(values[:, :-1], at.diff(dim=1))
        return (predicted - values[:, 1:]).square().mean()

    def step(self, values: Tensor, gaps: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What follows values (n, T, p) after gaps (n, T): predictions (n, T, p), and the last hidden state."""
        states, hidden = self.recurrent(torch.cat((values, gaps[..., None]), dim=-1), hidden)
        return self.output(states), hidden

    @torch.no_grad()
    def predict(self, x: Tensor, times: Tensor, at: Tensor, mask: Tensor) -> Tensor:
        """Predictions (n, T', p) at later times (T',), each fed back to make the next."""
        values, observed_at = observations(x, times, mask)
        to_first = at[0] - observed_at[:, -1:]
        predicted, hidden = self.step(values, torch.cat((observed_at.diff(dim=1), to_first), dim=1))
        following = [predicted[:, -1:]]
        for gap in at.diff():
            value, hidden = self.step(following[-1], gap.expand(len(x), 1), hidden)
            following.append(value)
        return torch.cat(following, dim=1)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, times: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """One-step predictions of the observations but the first (n, seen − 1, p), and their times (n, seen − 1)."""
        values, at = observations(x, times, mask)
        return self.step(values[:, :-1], at.diff(dim=1))[0], at[:, 1:]


def observations(x: Tensor, times: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What was observed (n, seen, p), and when (n, seen)."""
    return x[mask].view(len(x), -1, x.shape[-1]), times.expand(len(x), -1)[mask].view(len(x), -1)


def latent_spirals(job: Job) -> Tables:
    """D2: error and roughness of predictions of what follows 30, 50 or 100 observations, and some predictions."""
    given = job.arguments
    job.data_source = f"generated: the torchdiffeq example's spirals, noise {given['noise']:g}"
    curves, metrics = [], {}
    for seen in given["seen"]:
        train, test = spirals(job, seen, given["series"], 0), spirals(job, seen, given["test_series"], 1)
        model = MODELS[given["model"]](job, seen, train, test)
        predicted = model.predict(test.observed, test.seen_times(), test.future_times(), test.mask)
        metrics[f"predictive_rmse_at_{seen}"] = (test.predictive_error(predicted), "root mean squared error")
        metrics[f"roughness_at_{seen}"] = (roughness(predicted) / roughness(test.future()), "of the true spirals'")
        curves += [table.assign(seen=seen) for table in examples(model, test, given["shown"])]
    return tables(job, curves, metrics)


def spirals(job: Job, seen: int, count: int, part: int) -> Spirals:
    """Training (part 0) or test (1) series of the run: the same for every model and every number of observations."""
    given = job.arguments
    sizes = {name: given[name] for name in ("end", "points", "piece", "noise")}
    drawn = draw_spirals(count, seen, np.random.default_rng([job.run.seed, part]), **sizes)
    return Spirals(*(getattr(drawn, name).to(job.device) for name in ("times", "clean", "observed", "mask")))


def fit_latent_ode(job: Job, seen: int, train: Spirals, test: Spirals) -> LatentODE:
    """A latent ODE that maximises the bound of all training series."""
    given, solver = job.arguments, job.run.settings.solver
    sizes = {name: given[name] for name in ("latent", "hidden", "recurrent", "noise")}
    numerics = {"method": solver.method, "rtol": solver.rtol, "atol": solver.atol, "gradient": solver.gradient}
    return job.fit(
        f"latent ODE, {seen} seen",
        lambda: LatentODE(2, **sizes, **numerics, options=solver.options or None),
        lambda model: -model.elbo(train.observed, train.seen_times(), train.mask).mean(),
        iterations=given["iterations"],
        observe=lambda model: measured(model, test),
    ).model


def fit_recurrent(job: Job, seen: int, train: Spirals, test: Spirals) -> RecurrentForecaster:
    """A recurrent network that minimises its error one observation ahead."""
    return job.fit(
        f"RNN, {seen} seen",
        lambda: RecurrentForecaster(2, job.arguments["recurrent"]),
        lambda model: model.error(train.observed, train.seen_times(), train.mask),
        iterations=job.arguments["iterations"],
        observe=lambda model: measured(model, test),
    ).model


MODELS = {"latent ODE": fit_latent_ode, "RNN": fit_recurrent}


def measured(model: LatentODE | RecurrentForecaster, test: Spirals) -> dict[str, float]:
    """What the history says of a model."""
    predicted = model.predict(test.observed, test.seen_times(), test.future_times(), test.mask)
    return {"predictive_rmse": test.predictive_error(predicted)}


def roughness(paths: Tensor) -> float:
    """How much the steps of paths (n, T, 2) change from one to the next, in the mean: their second differences."""
    return paths.diff(n=2, dim=1).norm(dim=-1).mean().item()


def examples(model: LatentODE | RecurrentForecaster, test: Spirals, shown: int) -> list[pd.DataFrame]:
    """Some test series: where they are, what was seen, and what the model makes of it."""
    few = Spirals(test.times, test.clean[:shown], test.observed[:shown], test.mask[:shown])
    seen_times, future_times = few.seen_times(), few.future_times()
    ahead = model.predict(few.observed, seen_times, future_times, few.mask)
    if isinstance(model, LatentODE):
        behind = model.predict(few.observed, seen_times, seen_times, few.mask)
        behind_times = seen_times.expand(shown, -1)
    else:
        behind, behind_times = model.reconstruct(few.observed, seen_times, few.mask)
    values, at = observations(few.observed, seen_times, few.mask)
    parts = {
        "truth": (few.clean, few.times.expand(shown, -1)),
        "observation": (values, at),
        "reconstruction": (behind, behind_times),
        "extrapolation": (ahead, future_times.expand(shown, -1)),
    }
    return [
        pd.DataFrame(points[k].cpu().numpy(), columns=["x", "y"]).assign(
            series=name, spiral=k, t=times[k].cpu().numpy()
        )
        for name, (points, times) in parts.items()
        for k in range(shown)
    ]
