"""Row D4: planar layers of depth K beside a planar continuous flow of width M, matched to a density (Chen et al. 4.1).

The flows lead from the base to the target here: what is minimised is KL(q ‖ p) with q the density of flow(z).
"""

from __future__ import annotations

import torch
from torch import Tensor

from nodekit.flows import Flow, HyperPlanarField, PlanarFlow
from pipeline.fit.densities import continuous_flow
from pipeline.fit.fitting import Job
from pipeline.fit.planes import ENERGIES, density_table, log_normalizer, square
from pipeline.fit.tables import Tables, tables
from pipeline.study import Optimizer


def capacity(job: Job) -> Tables:
    """D4: the KL divergence that each flow reaches, and its density."""
    given, solver = job.arguments, job.run.settings.solver
    energy = ENERGIES[given["target"]]
    constant = log_normalizer(energy)
    job.data_source = f"computed: the density exp(-energy) of the {given['target']} of Rezende & Mohamed (2015)"

    def divergence(flow: Flow, samples: int) -> Tensor:
        """KL(q ‖ p) in nats, estimated by samples of q."""
        z = flow.base.sample((samples,))
        x, logdet = flow(z)
        return (flow.base.log_prob(z) - logdet + energy(x)).mean() + constant

    kinds = {
        "NF": lambda size: PlanarFlow(2, size),
        "CNF": lambda size: continuous_flow(HyperPlanarField(2, given["hidden"], size), solver),
    }
    grid, _ = square(given["edge"], given["grid"], job.device)
    curves, reached = [density_table("target", grid, -energy(grid) - constant)], {}
    for kind, build in kinds.items():
        for size in given["sizes"]:
            fitted = job.fit(
                f"{kind} {size}",
                lambda build=build, size=size: build(size),
                lambda flow: divergence(flow, given["samples"]),
                iterations=given[kind]["iterations"],
                optimizer=Optimizer.model_validate(given[kind]["optimizer"]),
                observe=lambda flow: {"divergence": divergence(flow, given["test_samples"]).item()},
            )
            reached[kind, size] = fitted.record.history[-1]["divergence"]
            with torch.no_grad():
                z, logdet = fitted.model.inverse(grid)
                log_density = fitted.model.base.log_prob(z) + logdet
            curves.append(density_table(kind, grid, log_density, size=size))
    smallest, largest = min(given["sizes"]), max(given["sizes"])
    metrics = {f"divergence, {kind} {size}": (value, "nats") for (kind, size), value in reached.items()}
    for kind in kinds:
        metrics[f"gained_by_size, {kind}"] = (reached[kind, smallest] - reached[kind, largest], "nats")
    for size in given["sizes"]:
        metrics[f"gained_by_continuity, {size}"] = (reached["NF", size] - reached["CNF", size], "nats")
    return tables(job, curves, metrics)
