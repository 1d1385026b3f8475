"""Rows D3 and D5: continuous flows fitted to points by maximum likelihood."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nodekit.flows import TRACES, ContinuousFlow, HyperPlanarField, MLPField, PlanarFlow
from pipeline.fit.fitting import Job
from pipeline.fit.planes import density_table, draw_points, points_table, square
from pipeline.fit.tables import Tables, tables
from pipeline.study import Solver

TEST_SEED = 2**31


def continuous_flow(field: nn.Module, solver: Solver, trace: str = "exact") -> ContinuousFlow:
    """The flow of a field over t = 0…1, solved as the settings say."""
    step = {} if solver.step_size is None else {"step_size": solver.step_size}
    return ContinuousFlow(
        field,
        trace=trace,
        method=solver.method,
        rtol=solver.rtol,
        atol=solver.atol,
        options={**step, **solver.options},
        gradient=solver.gradient,
    )


class Points:
    """New training points at every call, and test points that stay, of the run's data set."""

    def __init__(self, job: Job):
        given = job.arguments
        self.job, self.name, self.noise, self.count = job, given["data"], given["noise"], given["samples"]
        self.test = self.draw(given["test_samples"], TEST_SEED + job.run.seed)
        job.data_source = f"generated: scikit-learn's two {self.name}, noise {self.noise:g}"

    def draw(self, count: int, seed: int) -> Tensor:
        """Points (count, 2) on the run's device."""
        return draw_points(self.name, count, self.noise, seed).to(self.job.device)

    def loss(self, model: nn.Module) -> Tensor:
        """The mean negative log-likelihood of new points, in nats."""
        seed = int(torch.randint(2**31, ()))
        return -model.log_prob(self.draw(self.count, seed)).mean()

    def observe(self, model: nn.Module) -> dict[str, float]:
        """The mean log-likelihood of the test points, in nats."""
        return {"test_log_likelihood": model.log_prob(self.test).mean().item()}

    def normal_log_likelihood(self) -> float:
        """That of a normal distribution with the test points' own mean and covariance: what a flow has to beat."""
        points = self.test.double().cpu()
        normal = torch.distributions.MultivariateNormal(points.mean(0), points.T.cov())
        return normal.log_prob(points).mean().item()


def point_flows(job: Job) -> Tables:
    """D3: two moons or two circles to a normal distribution and back, by a planar continuous flow and planar layers."""
    given, solver, points = job.arguments, job.run.settings.solver, Points(job)
    common = {"loss": points.loss, "iterations": given["iterations"], "observe": points.observe}
    cnf = job.fit(
        "CNF", lambda: continuous_flow(HyperPlanarField(2, given["hidden"], given["width"]), solver), **common
    ).model
    planar = job.fit("planar NF", lambda: PlanarFlow(2, given["depth"]), **common).model

    grid, area = square(given["edge"], given["grid"], job.device)
    times = [frame / (given["frames"] - 1) for frame in range(given["frames"])]
    job.seed(0)
    base = torch.randn(given["shown"], 2).to(job.device)
    with torch.no_grad():
        test = points.test[: given["shown"]]
        curves = [points_table("data", test)]
        samples = cnf.trajectory(base, times[::-1])[0].flip(0)
        transformed = cnf.trajectory(test, times)[0]
        for k, t in enumerate(times):
            layers = round(t * given["depth"])
            curves += [
                density_table("CNF", grid, cnf.log_prob(grid, time=t), t=t),
                density_table("planar NF", grid, planar.log_prob(grid, after=layers), t=t),
                points_table("samples", samples[k], t=t),
                points_table("transformed data", transformed[k], t=t),
                points_table("samples, planar NF", planar.inverse(base, after=layers)[0], t=t),
            ]
        latent, _ = cnf(points.test)
        back, _ = cnf.inverse(latent)
        mass = cnf.log_prob(grid).exp().sum().item() * area
    metrics = {
        "test_log_likelihood, CNF": (points.observe(cnf)["test_log_likelihood"], "nats"),
        "test_log_likelihood, planar NF": (points.observe(planar)["test_log_likelihood"], "nats"),
        "test_log_likelihood, normal": (points.normal_log_likelihood(), "nats"),
        "round_trip_error": ((back - points.test).abs().max().item(), "largest absolute difference"),
        "latent_mean": (latent.mean().item(), ""),
        "latent_deviation": (latent.std().item(), "standard deviation"),
        "mass": (mass, "integral of the density over the figure"),
    }
    return tables(job, curves, metrics)


def traces(job: Job) -> Tables:
    """D5: a free-form flow trained with the exact trace and with Hutchinson's estimate, and that estimate's spread."""
    given, solver, points = job.arguments, job.run.settings.solver, Points(job)

    def build(trace: str) -> ContinuousFlow:
        return continuous_flow(MLPField(2, given["hidden"]), solver, trace)

    def observe(model: ContinuousFlow) -> dict[str, float]:
        return points.observe(exactly(model))

    common = {"loss": points.loss, "iterations": given["iterations"], "observe": observe}
    exact = job.fit("exact", lambda: build("exact"), **common).model
    estimated = job.fit("Hutchinson", lambda: build("hutchinson"), **common).model

    grid, area = square(given["edge"], given["grid"], job.device)
    job.seed(0)
    with torch.no_grad():
        curves = [points_table("data", points.test[: given["shown"]])]
        curves += [density_table("exact", grid, exact.log_prob(grid))]
        curves += [density_table("Hutchinson", grid, exactly(estimated).log_prob(grid))]
        truth = exact.log_prob(points.test)
        errors = {}
        for label, trace in {"random signs": "hutchinson", "normal": "hutchinson_gaussian"}.items():
            flow = continuous_flow(exact.field, solver, trace)
            errors[label] = torch.stack([flow.log_prob(points.test) - truth for _ in range(given["probes"])])
            low, high = np.quantile(errors[label].cpu().numpy(), [0.005, 0.995])
            heights, edges = np.histogram(errors[label].cpu().numpy(), bins=60, range=(low, high), density=True)
            centres = (edges[1:] + edges[:-1]) / 2
            curves.append(pd.DataFrame({"series": "error", "probe": label, "x": centres, "density": heights}))
    signs = errors["random signs"]
    standard_error = signs.std().item() / signs.numel() ** 0.5
    likelihoods = {name: observe(model)["test_log_likelihood"] for name, model in (("e", exact), ("h", estimated))}
    metrics = {
        "test_log_likelihood, exact": (likelihoods["e"], "nats"),
        "test_log_likelihood, Hutchinson": (likelihoods["h"], "nats"),
        "test_log_likelihood, normal": (points.normal_log_likelihood(), "nats"),
        "lost_by_estimating": (likelihoods["e"] - likelihoods["h"], "nats"),
        "bias": (signs.mean().item(), "nats"),
        "bias_in_standard_errors": (signs.mean().item() / standard_error, "standard errors"),
        **{f"deviation, {label}": (error.std().item(), "nats, of one estimate") for label, error in errors.items()},
        "mass": (exact.log_prob(grid).exp().sum().item() * area, "integral of the density over the figure"),
    }
    return tables(job, curves, metrics, timing=[trace_times(job, given["dimensions"], given["samples"])])


def exactly(flow: ContinuousFlow) -> ContinuousFlow:
    """The same flow with the exact trace."""
    same = ContinuousFlow(flow.field, flow.base)
    same.arguments = flow.arguments
    return same


def trace_times(job: Job, dimensions: list[int], samples: int) -> pd.DataFrame:
    """Seconds for the velocity and its trace at `samples` points, the least of five, by dimension."""
    rows = []
    for dimension in dimensions:
        field, z = MLPField(dimension).to(job.device), torch.randn(samples, dimension).to(job.device)
        for label, name in {"exact": "exact", "Hutchinson": "hutchinson"}.items():
            trace, draw = TRACES[name]
            probe = draw(z) if draw else None
            seconds = []
            for _ in range(5):
                begin = time.perf_counter()
                with torch.no_grad():
                    trace(field, torch.zeros((), device=job.device), z, probe)[1].sum().item()
                seconds.append(time.perf_counter() - begin)
            rows.append({"series": f"one trace, {label}", "dimension": dimension, "seconds": min(seconds)})
    return pd.DataFrame(rows)
